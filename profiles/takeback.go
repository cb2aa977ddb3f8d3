package profiles

import (
	"maps"
	"slices"
)

// Retained is a place where a change could not be taken back, because somebody
// changed it again since.
type Retained struct {
	Address Address `json:"address"`
	// Attribute, with a key of its value where it has keys, as
	// properties.frontendUrl; "" stands for the resource.
	Attribute string `json:"attribute,omitempty"`
	Reason    string `json:"reason"`
}

// String is the place with its reason.
func (k Retained) String() string {
	if k.Attribute == "" {
		return k.Address.String() + ": " + k.Reason
	}
	return k.Address.String() + " " + k.Attribute + ": " + k.Reason
}

// The reasons.
const (
	writtenSince = "was written again since"
	removedSince = "was removed since"
	addedSince   = "was added again since"
	changedSince = "was changed since"
)

// TakeBack gives now without the changes that led from base to failed: a merge
// of three trees. What others changed since stays. Where they changed the same,
// theirs stays too, and kept names it. Objects are merged by their keys. The
// result is not checked: see Check.
func TakeBack(base, failed, now Tree) (merged Tree, kept []Retained) {
	m := merger{}
	now.root = m.node(nil, base.top(), failed.top(), now.top())
	return now, m.kept
}

type merger struct{ kept []Retained }

func (m *merger) keep(a Address, attribute, reason string) {
	m.kept = append(m.kept, Retained{slices.Clone(a), attribute, reason})
}

// node merges one resource and all below it; nil is one that is not there.
func (m *merger) node(a Address, b, f, n *node) *node {
	switch {
	case b == f:
		return n
	case n == nil && f == nil:
		return b
	case n == nil:
		if b != nil && !same(b, f) {
			m.keep(a, "", removedSince)
		}
		return nil
	case f == nil:
		if !same(b, n) {
			m.keep(a, "", addedSince)
		}
		return n
	case b == nil:
		return m.added(a, f, n)
	}
	out := &node{attrs: maps.Clone(n.attrs), children: n.children}
	for _, name := range keysOf(b.attrs, f.attrs) {
		v := m.value(a, name, b.attrs[name], f.attrs[name], n.attrs[name])
		if v == nil {
			delete(out.attrs, name)
			continue
		}
		if out.attrs == nil {
			out.attrs = map[string]any{}
		}
		out.attrs[name] = v
	}
	return m.children(a, b, f, n, out)
}

// children gives out the merged children of a resource.
func (m *merger) children(a Address, b, f, n, out *node) *node {
	for _, typ := range keysOf(b.children, f.children) {
		for _, name := range keysOf(b.children[typ], f.children[typ]) {
			was := n.children[typ][name]
			child := m.node(a.Child(typ, name), b.children[typ][name], f.children[typ][name], was)
			if child != was {
				out = out.put(Element{typ, name}, child)
			}
		}
	}
	return out
}

// added merges a resource that the change made. It stays, as it is now, when
// somebody changed it or has something of their own below it.
func (m *merger) added(a Address, f, n *node) *node {
	if same(f, n) {
		return nil
	}
	below := len(m.kept)
	out := m.children(a, empty, f, n, &node{attrs: n.attrs, children: n.children})
	if len(out.children) == 0 && maps.EqualFunc(f.attrs, n.attrs, Equal) {
		return nil
	}
	m.kept = slices.Insert(m.kept, below, Retained{slices.Clone(a), "", changedSince})
	return out
}

// value merges an attribute, or one key of it.
func (m *merger) value(a Address, name string, b, f, n any) any {
	switch {
	case Equal(b, f), Equal(n, b):
		return n
	case Equal(n, f):
		return b
	}
	bm, bOK := object(b)
	fm, fOK := object(f)
	nm, nOK := object(n)
	if !bOK || !fOK || !nOK {
		m.keep(a, name, writtenSince)
		return n
	}
	out := map[string]any{}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(keysOf(bm, fm), keysOf(nm, nil))))) {
		if v := m.value(a, name+"."+key, bm[key], fm[key], nm[key]); v != nil {
			out[key] = v
		}
	}
	if len(out) == 0 && (b == nil || n == nil) {
		return nil
	}
	return out
}

// object is a value as an object; undefined is an empty one.
func object(v any) (map[string]any, bool) {
	m, ok := v.(map[string]any)
	return m, ok || v == nil
}

// same reports whether two resources and all below them are the same.
func same(x, y *node) bool {
	d := differ{}
	d.compare(nil, x, y, nil)
	return len(d.removed)+len(d.added)+len(d.written) == 0
}
