package model

// ScopeMapping lets a client or a client scope put roles into tokens although
// full scope is off.
type ScopeMapping struct {
	Document
	Client         string   `json:"client"`         // clientId; or
	ClientScope    string   `json:"clientScope"`    // name; or
	ClientTemplate string   `json:"clientTemplate"` // name, before Keycloak 4
	Roles          []string `json:"roles"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (s *ScopeMapping) UnmarshalJSON(data []byte) error {
	type plain ScopeMapping
	fresh := plain{}
	fresh.Meta = s.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*s = ScopeMapping(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (s ScopeMapping) MarshalJSON() ([]byte, error) {
	type plain ScopeMapping
	return encode(plain(s), &s.Document)
}
