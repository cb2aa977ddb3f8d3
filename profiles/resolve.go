package profiles

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Resolve gives a resource, as Tree.Subtree does, with its expressions
// resolved, its values of the types described, and defaults filled in, those of
// implicit children too. What cannot be resolved is an error that names the
// address and the attribute; all of them are reported together.
func (d *Description) Resolve(at Address, nested map[string]any, lookup Lookup) (map[string]any, error) {
	r := resolver{lookup: lookup}
	out := r.resource(d, at, nested)
	if len(r.errors) > 0 {
		return nil, problem.Invalid.Errorf("%s", strings.Join(r.errors, "; "))
	}
	return out, nil
}

type resolver struct {
	lookup Lookup
	errors []string
}

func (r *resolver) resource(d *Description, at Address, nested map[string]any) map[string]any {
	out := make(map[string]any, len(d.Attributes))
	for i := range d.Attributes {
		attr := &d.Attributes[i]
		v := nested[attr.Name]
		if v == nil {
			v = attr.Default
		}
		if v == nil {
			continue
		}
		resolved, err := attr.Resolved(v, r.lookup)
		if err != nil {
			r.errors = append(r.errors, "cannot resolve "+at.String()+": "+attr.Name+": "+err.Error())
			continue
		}
		if attr.Elem == Text {
			resolved = bracketLists(resolved)
		}
		out[attr.Name] = resolved
	}
	for _, typ := range d.ChildTypes() {
		named, _ := nested[typ].(map[string]any)
		if children := r.children(d, at, typ, named); len(children) > 0 {
			out[typ] = children
		}
	}
	return out
}

func (r *resolver) children(d *Description, at Address, typ string, named map[string]any) map[string]any {
	names := slices.Collect(maps.Keys(named))
	for _, c := range d.Children {
		if c.Type == typ && c.Implicit {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	out := map[string]any{}
	for _, name := range slices.Compact(names) {
		c, ok := d.Child(typ, name)
		if !ok || c.Runtime {
			continue
		}
		child, _ := named[name].(map[string]any)
		out[name] = r.resource(c.Description, at.Child(typ, name), child)
	}
	return out
}

// bracketLists gives the values of a provider's properties that are written
// between square brackets as lists (guide, "Configure SPI Providers").
func bracketLists(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for k, e := range m {
		out[k] = bracketList(e)
	}
	return out
}

func bracketList(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") || len(s) < 2 {
		return v
	}
	var list []string
	if json.Unmarshal([]byte(s), &list) != nil {
		list = nil
		for part := range strings.SplitSeq(s[1:len(s)-1], ",") {
			if part = strings.Trim(strings.TrimSpace(part), `"`); part != "" {
				list = append(list, part)
			}
		}
	}
	return strings2any(list)
}

// DiffResolved gives the differences of two resources that Resolve gave, with
// the effects that the description says.
func (d *Description) DiffResolved(at Address, a, b map[string]any) ChangeSet {
	var out ChangeSet
	for i := range d.Attributes {
		attr := &d.Attributes[i]
		if o, n := a[attr.Name], b[attr.Name]; !Equal(o, n) {
			out = append(out, Change{Kind: Written, Address: at, Attribute: attr.Name, Old: o, New: n, Effect: attr.Effect, Sensitive: d.secrets([]string{attr.Name})})
		}
	}
	for _, typ := range d.ChildTypes() {
		before, _ := a[typ].(map[string]any)
		after, _ := b[typ].(map[string]any)
		for _, name := range keysOf(before, after) {
			c, ok := d.Child(typ, name)
			if !ok {
				continue
			}
			o, was := before[name].(map[string]any)
			n, is := after[name].(map[string]any)
			child := at.Child(typ, name)
			switch {
			case was && is:
				out = append(out, c.DiffResolved(child, o, n)...)
			case was:
				out = append(out, Change{Kind: Removed, Address: child, Old: o, Effect: c.resourceEffect(), Sensitive: c.secrets(slices.Sorted(maps.Keys(o)))})
			case is:
				out = append(out, Change{Kind: Added, Address: child, New: n, Effect: c.resourceEffect(), Sensitive: c.secrets(slices.Sorted(maps.Keys(n)))})
			}
		}
	}
	return out
}
