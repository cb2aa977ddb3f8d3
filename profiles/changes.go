package profiles

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind says what a Change does.
type Kind string

// The kinds of change.
const (
	Added   Kind = "add"    // a resource; New is the map of its attributes
	Removed Kind = "remove" // a resource; Old is the map of its attributes
	Written Kind = "write"  // an attribute; nil means undefined
)

// Change is one difference between two trees.
type Change struct {
	Kind      Kind    `json:"kind"`
	Address   Address `json:"address"`
	Attribute string  `json:"attribute,omitempty"` // of Written
	Old       any     `json:"old,omitempty"`
	New       any     `json:"new,omitempty"`
	Effect    Effect  `json:"effect"` // what the servers that it concerns need
	// Sensitive are the attributes whose values are secrets.
	Sensitive []string `json:"sensitive,omitempty"`
}

// UnmarshalJSON reads a Change with its numbers exact.
func (c *Change) UnmarshalJSON(data []byte) error {
	type plain Change // without this method
	var p plain
	if err := decodeJSON(data, &p); err != nil {
		return err
	}
	var err error
	if p.Old, err = Normalize(p.Old); err != nil {
		return err
	}
	if p.New, err = Normalize(p.New); err != nil {
		return err
	}
	*c = Change(p)
	return nil
}

// String is one line of a printed diff; secrets are masked.
func (c Change) String() string {
	c = c.Masked()
	switch c.Kind {
	case Added:
		return fmt.Sprintf("+ %s %s", c.Address, Format(c.New))
	case Removed:
		return fmt.Sprintf("- %s", c.Address)
	}
	return fmt.Sprintf("~ %s %s: %s -> %s (%s)", c.Address, c.Attribute, Format(c.Old), Format(c.New), c.Effect)
}

// ChangeSet is what turns one tree into another: removals, children first, then
// additions, parents first, then attributes, in the order of addresses.
type ChangeSet []Change

// String prints one change a line.
func (cs ChangeSet) String() string {
	var b strings.Builder
	for _, c := range cs {
		b.WriteString(c.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Effect is the greatest effect of the changes.
func (cs ChangeSet) Effect() Effect {
	e := None
	for _, c := range cs {
		e = max(e, c.Effect)
	}
	return e
}

// Patch is t with the changes made, as they are: they were validated when they
// were decided.
func (cs ChangeSet) Patch(t Tree) Tree {
	for _, c := range cs {
		switch c.Kind {
		case Removed:
			t = t.remove(c.Address)
		case Added:
			attrs, _ := c.New.(map[string]any)
			t = t.insert(c.Address, attrs)
		case Written:
			t = t.set(c.Address, c.Attribute, c.New)
		}
	}
	return t
}

// Diff gives the changes that turn a into b: what both share costs nothing. The
// trees must be of one mode.
func Diff(a, b Tree) ChangeSet {
	d := differ{}
	d.compare(nil, a.top(), b.top(), b.Mode().root())
	slices.Reverse(d.removed)
	return slices.Concat(d.removed, d.added, d.written)
}

type differ struct{ removed, added, written ChangeSet }

// compare collects the differences of two nodes at one address. d describes
// them; it is nil for what this version does not know.
func (df *differ) compare(a Address, x, y *node, d *Description) {
	if x == y {
		return
	}
	for _, name := range keysOf(x.attrs, y.attrs) {
		if o, n := x.attrs[name], y.attrs[name]; !Equal(o, n) {
			df.written = append(df.written, Change{
				Kind: Written, Address: slices.Clone(a), Attribute: name, Old: o, New: n,
				Effect: effectOf(d, name), Sensitive: d.secrets([]string{name}),
			})
		}
	}
	for _, typ := range keysOf(x.children, y.children) {
		for _, name := range keysOf(x.children[typ], y.children[typ]) {
			o, n := x.children[typ][name], y.children[typ][name]
			at := a.Child(typ, name)
			cd := childOf(d, typ, name)
			switch {
			case o == nil:
				df.whole(&df.added, Added, at, n, cd)
			case n == nil:
				df.whole(&df.removed, Removed, at, o, cd)
			default:
				df.compare(at, o, n, cd)
			}
		}
	}
}

// whole collects a resource and all below it, parents first.
func (df *differ) whole(to *ChangeSet, kind Kind, a Address, n *node, d *Description) {
	c := Change{Kind: kind, Address: a, Effect: Reload}
	if d != nil {
		c.Effect = d.resourceEffect()
	}
	attrs := maps.Clone(n.attrs)
	if attrs == nil {
		attrs = map[string]any{}
	}
	c.Sensitive = d.secrets(slices.Sorted(maps.Keys(attrs)))
	if kind == Added {
		c.New = attrs
	} else {
		c.Old = attrs
	}
	*to = append(*to, c)
	for _, typ := range slices.Sorted(maps.Keys(n.children)) {
		for _, name := range slices.Sorted(maps.Keys(n.children[typ])) {
			df.whole(to, kind, a.Child(typ, name), n.children[typ][name], childOf(d, typ, name))
		}
	}
}

func effectOf(d *Description, name string) Effect {
	if d != nil {
		if attr, ok := d.Attribute(name); ok {
			return attr.Effect
		}
	}
	return Restart // not known here: the safe answer
}

func childOf(d *Description, typ, name string) *Description {
	if d == nil {
		return nil
	}
	if c, ok := d.Child(typ, name); ok {
		return c.Description
	}
	return nil
}

// keysOf lists the keys of both maps, sorted.
func keysOf[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}
