package model

// IdentityProvider is another identity provider that a realm trusts.
type IdentityProvider struct {
	Document
	InternalID                string            `json:"internalId"`
	Alias                     string            `json:"alias"`
	DisplayName               string            `json:"displayName"`
	ProviderID                string            `json:"providerId"` // oidc, saml, google ...
	Enabled                   bool              `json:"enabled"`
	TrustEmail                bool              `json:"trustEmail"`
	StoreToken                bool              `json:"storeToken"`
	LinkOnly                  bool              `json:"linkOnly"`
	HideOnLogin               bool              `json:"hideOnLogin"`
	FirstBrokerLoginFlowAlias string            `json:"firstBrokerLoginFlowAlias"`
	PostBrokerLoginFlowAlias  string            `json:"postBrokerLoginFlowAlias"`
	Config                    map[string]string `json:"config"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (p *IdentityProvider) UnmarshalJSON(data []byte) error {
	type plain IdentityProvider
	fresh := plain{}
	fresh.Meta = p.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*p = IdentityProvider(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (p IdentityProvider) MarshalJSON() ([]byte, error) {
	type plain IdentityProvider
	return encode(plain(p), &p.Document)
}
