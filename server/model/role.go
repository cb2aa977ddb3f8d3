package model

// Role is a role of a realm or, when ClientRole, of a client: Parent is then
// the client's id.
type Role struct {
	Document
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Composite   bool                `json:"composite"`
	Composites  *Composites         `json:"composites"`
	ClientRole  bool                `json:"clientRole"`
	ContainerID string              `json:"containerId"` // the realm's or client's id, where the file says it; rely on Parent
	Attributes  map[string][]string `json:"attributes"`
}

// Ident is the role's id and name.
func (r *Role) Ident() (id, name string) { return r.ID, r.Name }

// SetID gives the role its id.
func (r *Role) SetID(id string) { r.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (r *Role) UnmarshalJSON(data []byte) error {
	type plain Role
	fresh := plain{}
	fresh.Meta = r.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*r = Role(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (r Role) MarshalJSON() ([]byte, error) {
	type plain Role
	return encode(plain(r), &r.Document)
}
