package profiles

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Element is one step of an address: the type of a child and its name. The name
// "*" stands for every name in addresses that read.
type Element struct{ Type, Name string }

// Address names a resource: the path from the root of the tree to it. The empty
// address is the root. Addresses made by ParseAddress or from JSON hold plain
// names; WildFly's names are aliases.
type Address []Element

// Wildcard matches every name of a child type.
const Wildcard = "*"

// aliasTypes maps WildFly's resource types to ours.
var aliasTypes = map[string]string{"jvm": "process"}

// aliasSubsystems maps WildFly's and Keycloak's subsystem names to ours.
var aliasSubsystems = map[string]string{
	"keycloak-server": "identity",
	"infinispan":      "caches",
	"jgroups":         "cluster",
	"undertow":        "http",
}

// Canonical is a with aliases replaced by plain names.
func (a Address) Canonical() Address {
	out := slices.Clone(a)
	for i, e := range out {
		out[i] = e.canonical()
	}
	return out
}

func (e Element) canonical() Element {
	if t, ok := aliasTypes[e.Type]; ok {
		e.Type = t
	}
	if n, ok := aliasSubsystems[e.Name]; ok && e.Type == "subsystem" {
		e.Name = n
	}
	return e
}

// Child is the address of a child of a. It never shares memory with a.
func (a Address) Child(typ, name string) Address {
	return append(slices.Clip(slices.Clone(a)), Element{typ, name})
}

// Join is the address b relative to a.
func (a Address) Join(b Address) Address { return slices.Concat(a, b) }

// Parent is a without its last step; the root's parent is the root.
func (a Address) Parent() Address {
	if len(a) == 0 {
		return nil
	}
	return slices.Clone(a[:len(a)-1])
}

// Last is the last step of a; the zero Element for the root.
func (a Address) Last() Element {
	if len(a) == 0 {
		return Element{}
	}
	return a[len(a)-1]
}

// Under reports whether a is b or inside it.
func (a Address) Under(b Address) bool {
	return len(a) >= len(b) && slices.Equal(a[:len(b)], b)
}

// HasWildcard reports whether a names more than one resource.
func (a Address) HasWildcard() bool {
	return slices.ContainsFunc(a, func(e Element) bool { return e.Name == Wildcard })
}

// Matches reports whether a, which may hold wildcards, names b.
func (a Address) Matches(b Address) bool {
	return slices.EqualFunc(a, b, func(x, y Element) bool {
		return x.Type == y.Type && (x.Name == Wildcard || x.Name == y.Name)
	})
}

// Compare orders addresses so that a parent comes before its children.
func (a Address) Compare(b Address) int {
	return slices.CompareFunc(a, b, func(x, y Element) int {
		return cmp.Or(cmp.Compare(x.Type, y.Type), cmp.Compare(x.Name, y.Name))
	})
}

// String is the command line's form, "/profile=web/subsystem=identity"; the
// root is "/". Names with special characters are quoted.
func (a Address) String() string {
	if len(a) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, e := range a {
		b.WriteByte('/')
		b.WriteString(quoteName(e.Type))
		b.WriteByte('=')
		b.WriteString(quoteName(e.Name))
	}
	return b.String()
}

func quoteName(s string) string {
	if s != "" && !strings.ContainsAny(s, "/=:\"\\(){},;#!") && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) { // bytes, so that any name comes back as it was
		if c := s[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// ParseAddress reads the command line's form. A leading and a trailing slash
// may be left out; names may be quoted, with backslash escapes.
func ParseAddress(s string) (Address, error) {
	a := Address{}
	rest := strings.TrimPrefix(strings.TrimSpace(s), "/")
	for rest != "" {
		typ, r, err := scanName(rest, "=/")
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read address %q: %w", s, err)
		}
		if !strings.HasPrefix(r, "=") {
			return nil, problem.Invalid.Errorf("cannot read address %q: %q is not followed by =name (valid: /type=name/type=name)", s, typ)
		}
		name, r, err := scanName(r[1:], "/")
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read address %q: %w", s, err)
		}
		if typ == "" || name == "" {
			return nil, problem.Invalid.Errorf("cannot read address %q: a type or a name is empty (valid: /type=name/type=name)", s)
		}
		a = append(a, Element{typ, name}.canonical())
		rest = strings.TrimPrefix(r, "/")
	}
	return a, nil
}

// scanName reads a bare or quoted name up to one of the stop characters.
func scanName(s, stops string) (name, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, stops)
		if i < 0 {
			i = len(s)
		}
		return strings.TrimSpace(s[:i]), s[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", problem.Invalid.Errorf("a quoted name has no end")
}

// MarshalJSON gives the form of the wire: [{"profile":"web"},{"subsystem":"identity"}].
func (a Address) MarshalJSON() ([]byte, error) {
	out := make([]map[string]string, len(a))
	for i, e := range a {
		out[i] = map[string]string{e.Type: e.Name}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads the form of the wire, WildFly's flat list
// ["profile","web"], or a string in the command line's form.
func (a *Address) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		parsed, err := ParseAddress(text)
		*a = parsed
		return err
	}
	var flat []string
	if json.Unmarshal(data, &flat) == nil && len(flat)%2 == 0 {
		out := Address{}
		for i := 0; i < len(flat); i += 2 {
			out = append(out, Element{flat[i], flat[i+1]}.canonical())
		}
		*a = out
		return out.check()
	}
	var steps []map[string]string
	if err := json.Unmarshal(data, &steps); err != nil {
		return problem.Invalid.Errorf(`cannot read an address: %w (valid: [{"type":"name"}, ...])`, err)
	}
	out := make(Address, 0, len(steps))
	for _, s := range steps {
		if len(s) != 1 {
			return problem.Invalid.Errorf(`cannot read an address: each step has one type and one name, as {"profile":"web"}`)
		}
		for t, n := range s {
			out = append(out, Element{t, n}.canonical())
		}
	}
	*a = out
	return out.check()
}

func (a Address) check() error {
	for _, e := range a {
		if e.Type == "" || e.Name == "" {
			return problem.Invalid.Errorf("cannot read an address: a type or a name is empty")
		}
	}
	return nil
}
