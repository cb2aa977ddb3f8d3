package model

// Group is a group of users; Parent is the id of the group it is in. SubGroups
// are stored by themselves.
type Group struct {
	Document
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Path        string              `json:"path"` // as the file says it; rely on Groups.Path
	Attributes  map[string][]string `json:"attributes"`
	RealmRoles  []string            `json:"realmRoles"`
	ClientRoles map[string][]string `json:"clientRoles"` // by clientId
}

// Ident is the group's id and name.
func (g *Group) Ident() (id, name string) { return g.ID, g.Name }

// SetID gives the group its id.
func (g *Group) SetID(id string) { g.ID = id }

// UnmarshalJSON reads the representation and keeps what has no field.
func (g *Group) UnmarshalJSON(data []byte) error {
	type plain Group
	fresh := plain{}
	fresh.Meta = g.Meta
	if err := decode(data, &fresh, &fresh.Document); err != nil {
		return err
	}
	*g = Group(fresh)
	return nil
}

// MarshalJSON writes the representation, whole.
func (g Group) MarshalJSON() ([]byte, error) {
	type plain Group
	return encode(plain(g), &g.Document)
}
