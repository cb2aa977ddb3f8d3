package model

// RequiredAction is something a user may have to do before a login completes.
type RequiredAction struct {
	Document
	Alias         string            `json:"alias"`
	Name          string            `json:"name"`
	ProviderID    string            `json:"providerId"`
	Enabled       bool              `json:"enabled"`
	DefaultAction bool              `json:"defaultAction"`
	Priority      int               `json:"priority"`
	Config        map[string]string `json:"config"`
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (r *RequiredAction) UnmarshalJSON(data []byte) error {
	type plain RequiredAction
	fresh := plain{}
	fresh.Meta = r.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*r = RequiredAction(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (r RequiredAction) MarshalJSON() ([]byte, error) {
	type plain RequiredAction
	return encode(plain(r), &r.Document)
}
