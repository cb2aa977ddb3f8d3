package profiles

import (
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// unlimited is deeper than any address.
const unlimited = 1 << 20

func (r *request) flag(name string) bool { b, _ := r.params[name].(bool); return b }

func (r *request) text(name string) string { s, _ := r.params[name].(string); return s }

// depth is how many levels of children a read shows whole.
func (r *request) depth() int {
	n, given := r.params["recursive-depth"].(int64)
	switch {
	case given:
		return int(n)
	case r.flag("recursive"):
		return unlimited
	}
	return 0
}

// each runs a read at every address that the wildcards match. Resources that do
// not have what is asked are left out.
func (r *request) each(run func(*request) (Tree, any, error)) (any, error) {
	out := []any{}
	for _, a := range r.tree.expand(r.at) {
		d, err := r.tree.Mode().Describe(a)
		if err != nil {
			return nil, err
		}
		one := &request{tree: r.tree, op: r.op, at: a, desc: d, params: r.params}
		_, result, err := run(one)
		if err != nil {
			if r.op.Name == "read-attribute" && problem.Is(err, problem.NotFound) {
				continue
			}
			return nil, problem.KindOf(err).Errorf("cannot run %s at %s: %w", r.op.Name, a, err)
		}
		entry := outcome(result)
		entry[keyAddress] = addressValue(a)
		out = append(out, entry)
	}
	return out, nil
}

func addressValue(a Address) []any {
	out := make([]any, len(a))
	for i, e := range a {
		out[i] = map[string]any{e.Type: e.Name}
	}
	return out
}

// expand lists the addresses that exist and match an address with wildcards.
func (t Tree) expand(a Address) []Address {
	found := []Address{{}}
	for _, e := range a {
		var next []Address
		for _, f := range found {
			names := []string{e.Name}
			if e.Name == Wildcard {
				names = t.childNames(f, e.Type)
			}
			for _, n := range names {
				if at := f.Child(e.Type, n); t.exists(at) {
					next = append(next, at)
				}
			}
		}
		found = next
	}
	return found
}

func (r *request) readResource() (any, error) {
	depth := r.depth()
	if r.flag("attributes-only") {
		depth = -1
	}
	return r.tree.read(r.at, r.desc, depth, r.flag("include-defaults")), nil
}

// read shows a resource: its attributes, and its children by type and name:
// whole to a depth, undefined below it. Depth -1 leaves the children out.
func (t Tree) read(a Address, d *Description, depth int, defaults bool) map[string]any {
	out := map[string]any{}
	set := map[string]any{}
	if n := t.at(a); n != nil {
		set = n.attrs
	}
	for _, attr := range d.Attributes {
		switch v := set[attr.Name]; {
		case v != nil:
			out[attr.Name] = v
		case defaults:
			out[attr.Name] = attr.Default
		}
	}
	for name, v := range set { // what another version knew
		if _, known := out[name]; !known {
			out[name] = v
		}
	}
	if depth < 0 {
		return out
	}
	for _, typ := range d.ChildTypes() {
		if children := t.readChildren(a, d, typ, depth, defaults); len(children) > 0 {
			out[typ] = children
		} else if defaults {
			out[typ] = nil
		}
	}
	return out
}

func (t Tree) readChildren(a Address, d *Description, typ string, depth int, defaults bool) map[string]any {
	out := map[string]any{}
	for _, name := range t.childNames(a, typ) {
		at := a.Child(typ, name)
		c, ok := d.Child(typ, name)
		switch {
		case !ok, c.Runtime, !defaults && !t.Has(at):
		case depth == 0:
			out[name] = nil
		default:
			out[name] = t.read(at, c.Description, depth-1, defaults)
		}
	}
	return out
}

func (r *request) readAttribute() (any, error) {
	attr, path, err := r.attribute(r.text("name"))
	if err != nil {
		return nil, err
	}
	v := r.tree.Attribute(r.at, attr.Name)
	if v == nil && r.flag("include-defaults") {
		v = attr.Default
	}
	if v, err = part(v, path); err != nil {
		return nil, err
	}
	if r.flag("resolve-expressions") && v != nil && !attr.Literal {
		return expandAll(v, r.tree.Lookup(r.at))
	}
	return v, nil
}

func (r *request) readChildrenTypes() (any, error) { return strings2any(r.desc.ChildTypes()), nil }

func (r *request) childType() (string, error) {
	typ, types := r.text("child-type"), r.desc.ChildTypes()
	if alias, ok := aliasTypes[typ]; ok {
		typ = alias
	}
	if !slices.Contains(types, typ) {
		return "", problem.NotFound.Errorf("%s has no children of type %q%s", r.at, typ, suggest(typ, types))
	}
	return typ, nil
}

func (r *request) readChildrenNames() (any, error) {
	typ, err := r.childType()
	if err != nil {
		return nil, err
	}
	return strings2any(r.tree.childNames(r.at, typ)), nil
}

func (r *request) readChildrenResources() (any, error) {
	typ, err := r.childType()
	if err != nil {
		return nil, err
	}
	return r.tree.readChildren(r.at, r.desc, typ, max(r.depth(), 0)+1, r.flag("include-defaults")), nil
}

func (r *request) resolveExpression() (any, error) {
	return Expand(r.text("expression"), r.tree.Lookup(r.at))
}

// Lookup finds names in the system properties that hold at an address: of the
// server, its host, its server group, the domain. A property's value may hold
// expressions itself; one that leads back to itself has no value. What only a
// host knows, as its environment, is not there.
func (t Tree) Lookup(a Address) Lookup {
	return t.lookup(t.levels(a), map[string]bool{})
}

func (t Tree) lookup(levels []Address, busy map[string]bool) Lookup {
	return func(name string) (string, bool) {
		if busy[name] {
			return "", false
		}
		for _, level := range levels {
			at := level.Child("system-property", name)
			if !t.Has(at) {
				continue
			}
			value, _ := t.Attribute(at, "value").(string)
			inner := maps.Clone(busy)
			inner[name] = true
			expanded, err := Expand(value, t.lookup(levels, inner))
			return expanded, err == nil
		}
		return "", false
	}
}

// levels lists the resources whose system properties hold at an address, the
// nearest first.
func (t Tree) levels(a Address) []Address {
	var out []Address
	if len(a) > 1 && a[0].Type == "host" && (a[1].Type == "server-config" || a[1].Type == "server") {
		server := Address{a[0], {"server-config", a[1].Name}}
		group, _ := t.Attribute(server, "group").(string)
		return []Address{server, a[:1], {{"server-group", group}}, {}}
	}
	if len(a) > 0 && (a[0].Type == "host" || a[0].Type == "server-group") {
		out = append(out, a[:1])
	}
	return append(out, Address{})
}

func (r *request) readConfig() (Tree, any, error) {
	if r.params["revision"] != nil {
		return r.tree, nil, problem.Unsupported.Errorf("only who keeps the history has older revisions")
	}
	return r.tree, string(EncodeTOML(r.tree)), nil
}

func strings2any(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
