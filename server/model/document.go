package model

import (
	"encoding/json"
	"reflect"
)

// Meta is what storage keeps beside a document; it is not part of the JSON.
type Meta struct {
	Version  int64  // optimistic lock version; 0 before the first Create
	Position int    // order among its siblings, as in the file it came from
	Parent   string // the id of the client of a client role, of a group's parent group, of a component's parent; else ""
	Kind     string // the provider type of a component; else storage's own
	Section  string // the deprecated section of the realm file that held it, such as "clientTemplates"; else ""
	Added    bool   // not in the file: added as Keycloak's migration or defaults would
}

// Document keeps the JSON object a noun was read from. Nouns embed it.
type Document struct {
	Meta
	members []member
}

type member struct {
	key string
	raw json.RawMessage
}

// Raw is the member named key as it was read, for members that have no field.
func (d *Document) Raw(key string) (json.RawMessage, bool) {
	for i := range d.members {
		if d.members[i].key == key {
			return d.members[i].raw, true
		}
	}
	return nil, false
}

// Has reports whether the JSON the noun was read from had a member named key,
// be it null.
func (d *Document) Has(key string) bool { _, ok := d.Raw(key); return ok }

// SetRaw sets the member named key, which must not be one that has a field;
// nil removes it.
func (d *Document) SetRaw(key string, raw json.RawMessage) {
	kept := make([]member, 0, len(d.members)+1)
	found := false
	for _, m := range d.members {
		if m.key == key {
			found = true
			if raw == nil {
				continue
			}
			m.raw = raw
		}
		kept = append(kept, m)
	}
	if !found && raw != nil {
		kept = append(kept, member{key, raw})
	}
	d.members = kept
}

// Stored is the document itself: what generic storage needs of every noun.
func (d *Document) Stored() *Document { return d }

// Noun is a document that storage can keep: *Realm, *Client, *Role ...
type Noun interface {
	// Ident is the noun's id and its name among its siblings.
	Ident() (id, name string)
	// SetID gives a noun that has none its id.
	SetID(id string)
	// Stored is the embedded Document.
	Stored() *Document
}

// Clone returns a deep copy of v, storage's Meta included.
func Clone[T any](v *T) *T {
	c := reflect.New(reflect.TypeFor[T]()).Elem()
	deepCopy(c, reflect.ValueOf(v).Elem())
	return c.Addr().Interface().(*T)
}

var (
	documentType = reflect.TypeFor[Document]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

func deepCopy(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Pointer:
		if !from.IsNil() {
			p := reflect.New(from.Type().Elem())
			deepCopy(p.Elem(), from.Elem())
			to.Set(p)
		}
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		s := reflect.MakeSlice(from.Type(), from.Len(), from.Len())
		if k := from.Type().Elem().Kind(); k == reflect.String || k == reflect.Uint8 {
			reflect.Copy(s, from)
		} else {
			for i := range from.Len() {
				deepCopy(s.Index(i), from.Index(i))
			}
		}
		to.Set(s)
	case reflect.Map:
		if from.IsNil() {
			return
		}
		m := reflect.MakeMapWithSize(from.Type(), from.Len())
		for it := from.MapRange(); it.Next(); {
			v := reflect.New(from.Type().Elem()).Elem()
			deepCopy(v, it.Value())
			m.SetMapIndex(it.Key(), v)
		}
		to.Set(m)
	case reflect.Struct:
		to.Set(from) // members of a Document are never changed in place
		if from.Type() == documentType {
			return
		}
		for i := range from.NumField() {
			if f := from.Type().Field(i); f.IsExported() {
				deepCopy(to.Field(i), from.Field(i))
			}
		}
	default:
		to.Set(from)
	}
}
