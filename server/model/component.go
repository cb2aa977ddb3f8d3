package model

// Component is a configured provider: a key source, a user storage, a
// registration policy. Parent is the id of the component it is in, or "".
type Component struct {
	Document
	ID           string              `json:"id"`
	Name         string              `json:"name"`
	ProviderID   string              `json:"providerId"`
	ProviderType string              `json:"providerType"` // in the Admin API; files say it once for all
	ParentID     string              `json:"parentId"`     // in the Admin API
	SubType      string              `json:"subType"`
	Config       map[string][]string `json:"config"`
}

// Ident is the component's id and name.
func (c *Component) Ident() (id, name string) { return c.ID, c.Name }

// SetID gives the component its id.
func (c *Component) SetID(id string) { c.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (c *Component) UnmarshalJSON(data []byte) error {
	type plain Component
	fresh := plain{}
	fresh.Meta = c.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*c = Component(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (c Component) MarshalJSON() ([]byte, error) {
	type plain Component
	return encode(plain(c), &c.Document)
}
