package model

// FederatedIdentity links a user to an account at an identity provider.
type FederatedIdentity struct {
	Document
	IdentityProvider string `json:"identityProvider"` // alias
	UserID           string `json:"userId"`
	UserName         string `json:"userName"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (f *FederatedIdentity) UnmarshalJSON(data []byte) error {
	type plain FederatedIdentity
	fresh := plain{}
	fresh.Meta = f.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*f = FederatedIdentity(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (f FederatedIdentity) MarshalJSON() ([]byte, error) {
	type plain FederatedIdentity
	return encode(plain(f), &f.Document)
}
