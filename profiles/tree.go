package profiles

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Mode says which root a tree has.
type Mode string

// The modes.
const (
	Domain     Mode = "domain"     // profiles, server groups, hosts
	Standalone Mode = "standalone" // the same without the domain level: subsystems at the root
)

// Tree is a management model: resources with attributes. It is immutable and
// shares what did not change with the trees it came from, so copying is free
// and readers need no lock. The zero Tree is an empty domain.
type Tree struct {
	mode Mode
	root *node
}

// node is one resource. Nodes are never changed once they are part of a Tree.
type node struct {
	attrs    map[string]any
	children map[string]map[string]*node // type, name
}

var empty = &node{}

// New is an empty tree.
func New(mode Mode) Tree { return Tree{mode: mode} }

// Mode is the tree's mode.
func (t Tree) Mode() Mode {
	if t.mode == "" {
		return Domain
	}
	return t.mode
}

func (t Tree) top() *node {
	if t.root == nil {
		return empty
	}
	return t.root
}

// Has reports whether the resource was added to the tree; Implicit resources
// that nobody touched are not.
func (t Tree) Has(a Address) bool { return t.at(a) != nil }

func (t Tree) at(a Address) *node {
	n := t.top()
	for _, e := range a {
		if n = n.children[e.Type][e.Name]; n == nil {
			return nil
		}
	}
	return n
}

// Attribute is an attribute's value as it was written, nil when it is undefined
// or the resource is not there.
func (t Tree) Attribute(a Address, name string) any {
	if n := t.at(a); n != nil {
		return n.attrs[name]
	}
	return nil
}

// Value is an attribute's value as it was written, or its default.
func (t Tree) Value(a Address, name string) any {
	if v := t.Attribute(a, name); v != nil {
		return v
	}
	if d, err := t.Mode().Describe(a); err == nil {
		if attr, ok := d.Attribute(name); ok {
			return attr.Default
		}
	}
	return nil
}

// Attributes are the attributes of a resource that are set. The map is a copy,
// its values are not.
func (t Tree) Attributes(a Address) map[string]any {
	if n := t.at(a); n != nil {
		return maps.Clone(n.attrs)
	}
	return nil
}

// Names lists the children of a type that are in the tree, sorted.
func (t Tree) Names(a Address, typ string) []string {
	n := t.at(a)
	if n == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(n.children[typ]))
}

// Subtree is what is at and below an address as nested maps: attributes and
// child types side by side, children by name below their type. It is nil when
// the resource is not there. Values are shared with the tree.
func (t Tree) Subtree(a Address) map[string]any {
	n := t.at(a)
	if n == nil {
		return nil
	}
	return n.nested()
}

func (n *node) nested() map[string]any {
	out := make(map[string]any, len(n.attrs)+len(n.children))
	maps.Copy(out, n.attrs)
	for typ, named := range n.children {
		children := make(map[string]any, len(named))
		for name, c := range named {
			children[name] = c.nested()
		}
		out[typ] = children
	}
	return out
}

// Walk calls f for each resource of the tree, parents first, in the order of
// addresses. f must not keep the address.
func (t Tree) Walk(f func(a Address, attrs map[string]any)) { t.top().walk(nil, f) }

func (n *node) walk(a Address, f func(Address, map[string]any)) {
	f(a, n.attrs)
	for _, typ := range slices.Sorted(maps.Keys(n.children)) {
		for _, name := range slices.Sorted(maps.Keys(n.children[typ])) {
			n.children[typ][name].walk(append(a, Element{typ, name}), f)
		}
	}
}

// with is t with the resource at a replaced by what edit makes of a copy of it;
// resources on the way that are not there are made. A nil result removes it.
func (t Tree) with(a Address, edit func(*node) *node) Tree {
	t.root = t.top().with(a, edit)
	if t.root == nil {
		t.root = &node{}
	}
	return t
}

func (n *node) with(a Address, edit func(*node) *node) *node {
	if len(a) == 0 {
		return edit(&node{attrs: maps.Clone(n.attrs), children: n.children})
	}
	e := a[0]
	child := n.children[e.Type][e.Name]
	if child == nil {
		child = empty
	}
	return n.put(e, child.with(a[1:], edit))
}

// put is a copy of n with one child replaced, or removed when child is nil.
func (n *node) put(e Element, child *node) *node {
	named := maps.Clone(n.children[e.Type])
	switch {
	case child == nil:
		delete(named, e.Name)
	case named == nil:
		named = map[string]*node{e.Name: child}
	default:
		named[e.Name] = child
	}
	children := maps.Clone(n.children)
	if children == nil {
		children = map[string]map[string]*node{}
	}
	children[e.Type] = named
	if len(named) == 0 {
		delete(children, e.Type)
	}
	return &node{attrs: n.attrs, children: children}
}

// set is t with one attribute written; nil undefines it. Missing resources on
// the way are made.
func (t Tree) set(a Address, name string, value any) Tree {
	return t.with(a, func(n *node) *node {
		if n.attrs == nil {
			n.attrs = map[string]any{}
		}
		n.attrs[name] = value
		if value == nil {
			delete(n.attrs, name)
		}
		return n
	})
}

// insert is t with a resource made at a, or given these attributes.
func (t Tree) insert(a Address, attrs map[string]any) Tree {
	return t.with(a, func(n *node) *node {
		n.attrs = maps.Clone(attrs)
		return n
	})
}

// remove is t without the resource at a and all below it.
func (t Tree) remove(a Address) Tree {
	if !t.Has(a) {
		return t
	}
	return t.with(a, func(*node) *node { return nil })
}

// jsonTree and jsonNode are the stored form: attributes and children apart, so
// that a reader needs no descriptions and loses nothing it does not know.
type jsonTree struct {
	Mode  Mode      `json:"mode"`
	Model *jsonNode `json:"model"`
}

type jsonNode struct {
	Attributes map[string]any                  `json:"attributes,omitempty"`
	Children   map[string]map[string]*jsonNode `json:"children,omitempty"`
}

// MarshalJSON gives the stored form: lossless, and the same bytes for the same
// tree.
func (t Tree) MarshalJSON() ([]byte, error) {
	return json.Marshal(jsonTree{t.Mode(), t.top().toJSON()})
}

// UnmarshalJSON reads the stored form. It does not validate: what was committed
// by another version is kept.
func (t *Tree) UnmarshalJSON(data []byte) error {
	var j jsonTree
	if err := decodeJSON(data, &j); err != nil {
		return err
	}
	if j.Mode != Domain && j.Mode != Standalone {
		return problem.Invalid.Errorf("cannot read a tree: mode %q (valid: %s, %s)", j.Mode, Domain, Standalone)
	}
	root := &node{}
	if j.Model != nil {
		n, err := j.Model.toNode()
		if err != nil {
			return err
		}
		root = n
	}
	*t = Tree{mode: j.Mode, root: root}
	return nil
}

func (n *node) toJSON() *jsonNode {
	j := &jsonNode{Attributes: n.attrs}
	if len(n.children) > 0 {
		j.Children = make(map[string]map[string]*jsonNode, len(n.children))
	}
	for typ, named := range n.children {
		j.Children[typ] = make(map[string]*jsonNode, len(named))
		for name, c := range named {
			j.Children[typ][name] = c.toJSON()
		}
	}
	return j
}

func (j *jsonNode) toNode() (*node, error) {
	n := &node{}
	if len(j.Attributes) > 0 {
		attrs, err := Normalize(j.Attributes)
		if err != nil {
			return nil, err
		}
		n.attrs = attrs.(map[string]any)
	}
	for typ, named := range j.Children {
		for name, c := range named {
			if c == nil {
				c = &jsonNode{}
			}
			child, err := c.toNode()
			if err != nil {
				return nil, err
			}
			if n.children == nil {
				n.children = map[string]map[string]*node{}
			}
			if n.children[typ] == nil {
				n.children[typ] = map[string]*node{}
			}
			n.children[typ][name] = child
		}
	}
	return n, nil
}
