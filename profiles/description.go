package profiles

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Type is the type of an attribute's or parameter's value.
type Type string

// The types of values.
const (
	String Type = "string"
	Int    Type = "int"    // 32 bits
	Long   Type = "long"   // 64 bits
	Double Type = "double" // a decimal of 64 bits
	Bool   Type = "boolean"
	List   Type = "list"   // of strings, see Attribute.Elem
	Map    Type = "map"    // names to strings, see Attribute.Elem
	Object Type = "object" // any nesting
	Any    Type = "any"
	Size   Type = "size"         // bytes: a number, or with a unit as "512m", "2g"
	Text   Type = "text-or-list" // a string, or a list of strings
)

// Effect says what a running server needs to apply a change. Effects are
// ordered: the greater includes the smaller.
type Effect uint8

// The effects.
const (
	None    Effect = iota // nothing: no server sees it
	Live                  // applied while running
	Reload                // the server's services start anew, the process stays
	Restart               // the process starts anew
)

var effectNames = [...]string{"none", "live", "reload", "restart"}

// String is the effect's name: none, live, reload, restart.
func (e Effect) String() string { return effectNames[min(int(e), len(effectNames)-1)] }

// MarshalText gives the effect's name.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the effect's name.
func (e *Effect) UnmarshalText(text []byte) error {
	i := slices.Index(effectNames[:], string(text))
	if i < 0 {
		return problem.Invalid.Errorf("cannot read effect %q (valid: %s)", text, strings.Join(effectNames[:], ", "))
	}
	*e = Effect(i)
	return nil
}

// Attribute describes an attribute of a resource, or a parameter of an
// operation.
type Attribute struct {
	Name      string
	Aliases   []string // WildFly's other names of it
	Type      Type
	Elem      Type     // of a List's elements and a Map's values; String when empty
	Default   any      // nil: none
	Allowed   []string // the only valid values, when there are any
	Range     *Range   // limits of a number
	Unit      string   // of a number: "seconds", "milliseconds", "entries" ...
	Literal   bool     // expressions are not allowed
	Verbatim  bool     // of a parameter: the text is taken as it is, ${ included
	Sensitive bool     // masked for those who may not see it
	Required  bool
	Effect    Effect
	Reference string // the value names a resource of this type, see consistency.go
	Since     string // the guide's chapter or WildFly's name, for the reference
	Text      string
}

// Kept ends the text of an attribute that is taken from files of others, or is
// for later: it is checked and kept, and no server does anything with it.
const Kept = "Kept; nothing is done with it yet."

// kept is an attribute that no server acts on: a change of it needs nothing.
func kept(a Attribute) Attribute {
	a.Effect = None
	a.Text += " " + Kept
	return a
}

// Range limits a number, both ends included.
type Range struct{ Min, Max int64 }

// Child describes a type of children.
type Child struct {
	Type string
	Name string // the only name this description holds for; Wildcard for any
	// Implicit children exist with their defaults though nobody added them; the
	// first change makes them real. They need a Name.
	Implicit bool
	// Ensured children come into being when something below them is added.
	Ensured bool
	// Runtime children are not in the tree: running things answer for them.
	Runtime bool
	*Description
}

// Description describes a type of resources.
type Description struct {
	Text       string
	Effect     Effect // of adding or removing one; Reload when not said
	Attributes []Attribute
	Runtime    []Attribute // what is known only while it runs, for reading
	Children   []Child
	Operations []OperationDescription // beyond those that every resource has
}

// OperationDescription describes an operation.
type OperationDescription struct {
	Name     string
	Text     string
	Params   []Attribute
	Reply    Type
	ReadOnly bool
	// Runtime operations are answered by what runs, not by the tree.
	Runtime bool
}

// Attribute finds an attribute by its name or an alias of it.
func (d *Description) Attribute(name string) (*Attribute, bool) {
	for i := range d.Attributes {
		a := &d.Attributes[i]
		if a.Name == name || slices.Contains(a.Aliases, name) {
			return a, true
		}
	}
	return nil, false
}

// Child finds the description of a child; one made for the name goes before the
// one for any name. With name Wildcard it is the general one, or the only one.
func (d *Description) Child(typ, name string) (*Child, bool) {
	var found *Child
	for i := range d.Children {
		c := &d.Children[i]
		switch {
		case c.Type != typ:
		case c.Name == name:
			return c, true
		case c.Name == Wildcard, name == Wildcard && found == nil:
			found = c
		}
	}
	return found, found != nil
}

// ChildTypes lists the types of children, sorted, each once.
func (d *Description) ChildTypes() []string {
	var types []string
	for _, c := range d.Children {
		types = append(types, c.Type)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func (d *Description) attributeNames() []string {
	names := make([]string, len(d.Attributes))
	for i, a := range d.Attributes {
		names[i] = a.Name
	}
	slices.Sort(names)
	return names
}

// resourceEffect is the effect of adding or removing the resource.
func (d *Description) resourceEffect() Effect {
	if d.Effect == None {
		return Reload
	}
	return d.Effect
}

// Describe finds the description of the resources at an address, which may hold
// wildcards.
func (m Mode) Describe(a Address) (*Description, error) {
	d := m.root()
	for i, e := range a {
		c, ok := d.Child(e.Type, e.Name)
		if !ok {
			return nil, unknownChild(d, a[:i], e)
		}
		d = c.Description
	}
	return d, nil
}

// unknownChild refuses a step of an address, naming what would be valid.
func unknownChild(d *Description, parent Address, e Element) error {
	types := d.ChildTypes()
	if !slices.Contains(types, e.Type) {
		return problem.NotFound.Errorf("cannot find %s: %s has no children of type %q%s", parent.Child(e.Type, e.Name), parent, e.Type, suggest(e.Type, types))
	}
	var names []string
	for _, c := range d.Children {
		if c.Type == e.Type {
			names = append(names, c.Name)
		}
	}
	return problem.NotFound.Errorf("cannot find %s: there is no %s %q%s", parent.Child(e.Type, e.Name), e.Type, e.Name, suggest(e.Name, names))
}
