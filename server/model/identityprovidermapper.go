package model

// IdentityProviderMapper carries something from an identity provider's answer
// into the user.
type IdentityProviderMapper struct {
	Document
	ID                     string            `json:"id"`
	Name                   string            `json:"name"`
	IdentityProviderAlias  string            `json:"identityProviderAlias"`
	IdentityProviderMapper string            `json:"identityProviderMapper"`
	Config                 map[string]string `json:"config"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (m *IdentityProviderMapper) UnmarshalJSON(data []byte) error {
	type plain IdentityProviderMapper
	fresh := plain{}
	fresh.Meta = m.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*m = IdentityProviderMapper(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (m IdentityProviderMapper) MarshalJSON() ([]byte, error) {
	type plain IdentityProviderMapper
	return encode(plain(m), &m.Document)
}
