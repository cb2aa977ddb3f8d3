package model

// Composites names the roles that a composite role includes.
type Composites struct {
	Document
	Realm       []string            `json:"realm"`
	Client      map[string][]string `json:"client"`      // by clientId
	Application map[string][]string `json:"application"` // the same, before Keycloak 1.3
}

// UnmarshalJSON reads the representation and keeps what has no field.
func (c *Composites) UnmarshalJSON(data []byte) error {
	type plain Composites
	fresh := plain{}
	fresh.Meta = c.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*c = Composites(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (c Composites) MarshalJSON() ([]byte, error) {
	type plain Composites
	return encode(plain(c), &c.Document)
}
