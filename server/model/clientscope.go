package model

// ClientScope is a named set of protocol mappers and scope mappings that
// clients share.
type ClientScope struct {
	Document
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	Description     string            `json:"description"`
	Protocol        string            `json:"protocol"`
	Attributes      map[string]string `json:"attributes"`
	ProtocolMappers []ProtocolMapper  `json:"protocolMappers"`
}

// Ident is the scope's id and name.
func (s *ClientScope) Ident() (id, name string) { return s.ID, s.Name }

// SetID gives the scope its id.
func (s *ClientScope) SetID(id string) { s.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (s *ClientScope) UnmarshalJSON(data []byte) error {
	type plain ClientScope
	fresh := plain{}
	fresh.Meta = s.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*s = ClientScope(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (s ClientScope) MarshalJSON() ([]byte, error) {
	type plain ClientScope
	return encode(plain(s), &s.Document)
}
