package model

// User is an account of a realm. Roles and groups are named, as in realm files.
type User struct {
	Document
	ID               string              `json:"id"`
	Username         string              `json:"username"`
	Email            string              `json:"email"`
	EmailVerified    bool                `json:"emailVerified"`
	FirstName        string              `json:"firstName"`
	LastName         string              `json:"lastName"`
	Enabled          bool                `json:"enabled"`
	CreatedTimestamp int64               `json:"createdTimestamp"` // milliseconds since 1970
	NotBefore        int64               `json:"notBefore"`        // seconds since 1970
	Attributes       map[string][]string `json:"attributes"`
	Credentials      []Credential        `json:"credentials"`
	RequiredActions  []string            `json:"requiredActions"`
	RealmRoles       []string            `json:"realmRoles"`
	ClientRoles      map[string][]string `json:"clientRoles"`      // by clientId
	ApplicationRoles map[string][]string `json:"applicationRoles"` // the same, before Keycloak 1.3
	Groups           []string            `json:"groups"`           // paths
	ClientConsents   []Consent           `json:"clientConsents"`
	FederationLink   string              `json:"federationLink"`

	FederatedIdentities    []FederatedIdentity `json:"federatedIdentities"`
	ServiceAccountClientID string              `json:"serviceAccountClientId"` // clientId
}

// Ident is the user's id and username.
func (u *User) Ident() (id, name string) { return u.ID, u.Username }

// SetID gives the user its id.
func (u *User) SetID(id string) { u.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (u *User) UnmarshalJSON(data []byte) error {
	type plain User
	fresh := plain{}
	fresh.Meta = u.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*u = User(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (u User) MarshalJSON() ([]byte, error) {
	type plain User
	return encode(plain(u), &u.Document)
}
