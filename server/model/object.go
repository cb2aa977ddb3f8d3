package model

// Object is a JSON object of which nothing is known: its members in order.
type Object struct{ Document }

// UnmarshalJSON reads the members.
func (o *Object) UnmarshalJSON(data []byte) error {
	members, err := readObject(data)
	o.members = members
	return err
}

// MarshalJSON writes the members.
func (o Object) MarshalJSON() ([]byte, error) {
	out := object{}
	for _, m := range o.members {
		out.add(m.key, m.raw)
	}
	return out.bytes(), nil
}

// Keys are the names of the members, in order.
func (o *Object) Keys() []string {
	keys := make([]string, len(o.members))
	for i, m := range o.members {
		keys[i] = m.key
	}
	return keys
}
