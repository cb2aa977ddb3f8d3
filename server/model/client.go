package model

// Client is an application that logs users in or calls with a realm's tokens.
type Client struct {
	Document
	ID          string `json:"id"`
	ClientID    string `json:"clientId"`
	Name        string `json:"name"`
	Description string `json:"description"`
	RootURL     string `json:"rootUrl"`
	AdminURL    string `json:"adminUrl"`
	BaseURL     string `json:"baseUrl"`
	Enabled     *bool  `json:"enabled"` // default true: IsEnabled

	ClientAuthenticatorType string   `json:"clientAuthenticatorType"` // "" is client-secret
	Secret                  string   `json:"secret"`
	RedirectURIs            []string `json:"redirectUris"`
	WebOrigins              []string `json:"webOrigins"`
	NotBefore               int64    `json:"notBefore"` // seconds since 1970

	BearerOnly                bool   `json:"bearerOnly"`
	ConsentRequired           bool   `json:"consentRequired"`
	StandardFlowEnabled       *bool  `json:"standardFlowEnabled"` // default true: StandardFlow
	ImplicitFlowEnabled       bool   `json:"implicitFlowEnabled"`
	DirectAccessGrantsEnabled bool   `json:"directAccessGrantsEnabled"`
	ServiceAccountsEnabled    bool   `json:"serviceAccountsEnabled"`
	PublicClient              bool   `json:"publicClient"`
	FrontchannelLogout        bool   `json:"frontchannelLogout"`
	Protocol                  string `json:"protocol"`         // "" is openid-connect
	FullScopeAllowed          *bool  `json:"fullScopeAllowed"` // default: FullScope
	SurrogateAuthRequired     bool   `json:"surrogateAuthRequired"`

	Attributes                         map[string]string `json:"attributes"`
	AuthenticationFlowBindingOverrides map[string]string `json:"authenticationFlowBindingOverrides"` // binding -> flow id
	ProtocolMappers                    []ProtocolMapper  `json:"protocolMappers"`
	DefaultClientScopes                []string          `json:"defaultClientScopes"`
	OptionalClientScopes               []string          `json:"optionalClientScopes"`
	ClientTemplate                     string            `json:"clientTemplate"` // before Keycloak 4
	DefaultRoles                       []string          `json:"defaultRoles"`   // before Keycloak 13
	AuthorizationServicesEnabled       bool              `json:"authorizationServicesEnabled"`
}

// Ident is the client's id and clientId.
func (c *Client) Ident() (id, name string) { return c.ID, c.ClientID }

// SetID gives the client its id.
func (c *Client) SetID(id string) { c.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (c *Client) UnmarshalJSON(data []byte) error {
	type plain Client
	fresh := plain{}
	fresh.Meta = c.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*c = Client(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (c Client) MarshalJSON() ([]byte, error) {
	type plain Client
	return encode(plain(c), &c.Document)
}
