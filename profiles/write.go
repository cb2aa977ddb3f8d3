package profiles

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// write gives the tree with an attribute set; what the description does not
// allow is refused.
func (r *request) write(attr *Attribute, value any) (Tree, any, error) {
	v, err := attr.coerce(value, true)
	if err != nil {
		return r.tree, nil, err
	}
	if v == nil && attr.Required {
		return r.tree, nil, problem.Invalid.Errorf("%s is required and cannot be undefined", attr.Name)
	}
	if Equal(r.tree.Attribute(r.at, attr.Name), v) {
		return r.tree, nil, nil
	}
	return r.tree.set(r.at, attr.Name, v), nil, nil
}

func (r *request) writeAttribute() (Tree, any, error) {
	attr, path, err := r.attribute(r.text("name"))
	if err != nil {
		return r.tree, nil, err
	}
	value, err := graft(r.tree.Attribute(r.at, attr.Name), path, r.params["value"])
	if err != nil {
		return r.tree, nil, err
	}
	return r.write(attr, value)
}

func (r *request) undefineAttribute() (Tree, any, error) {
	r.params["value"] = nil
	return r.writeAttribute()
}

func (r *request) add() (Tree, any, error) {
	if len(r.at) == 0 {
		return r.tree, nil, problem.Invalid.Errorf("the root cannot be added")
	}
	if err := checkName(r.at.Last().Name); err != nil {
		return r.tree, nil, err
	}
	if r.tree.Has(r.at) {
		return r.tree, nil, problem.Conflict.Errorf("%s exists already", r.at)
	}
	d := r.tree.Mode().root()
	for i, e := range r.at.Parent() {
		c, ok := d.Child(e.Type, e.Name)
		if !ok || !c.Ensured && !r.tree.exists(r.at[:i+1]) {
			return r.tree, nil, r.tree.missing(r.at[:i+1])
		}
		d = c.Description
	}
	return r.tree.insert(r.at, r.params), nil, nil
}

// nameLimit bounds the length of a resource's name, in bytes.
const nameLimit = 255

func checkName(name string) error {
	if name == "" || name == Wildcard || len(name) > nameLimit || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return problem.Invalid.Errorf("%q cannot be a name (valid: up to %d bytes, no control characters, not *)", name, nameLimit)
	}
	return nil
}

func (r *request) remove() (Tree, any, error) {
	if len(r.at) == 0 {
		return r.tree, nil, problem.Invalid.Errorf("the root cannot be removed")
	}
	if !r.tree.Has(r.at) {
		return r.tree, nil, problem.Invalid.Errorf("%s is always there and has only its defaults", r.at)
	}
	return r.tree.remove(r.at), nil, nil
}

func (r *request) clone() (Tree, any, error) {
	to := r.at.Parent().Child(r.at.Last().Type, r.text("to-profile"))
	if err := checkName(to.Last().Name); err != nil {
		return r.tree, nil, err
	}
	if r.tree.Has(to) {
		return r.tree, nil, problem.Conflict.Errorf("%s exists already", to)
	}
	from := r.tree.at(r.at)
	return r.tree.with(to, func(*node) *node { return from }), nil, nil
}

// object is the attribute that map-put and its like mean, and its value.
func (r *request) object() (*Attribute, map[string]any, error) {
	attr, path, err := r.attribute(r.text("name"))
	if err != nil {
		return nil, nil, err
	}
	if len(path) > 0 || attr.Type != Map && attr.Type != Object {
		return nil, nil, problem.Invalid.Errorf("the attribute %q is %s, not an object", attr.Name, attr.Type.article())
	}
	m, _ := r.tree.Attribute(r.at, attr.Name).(map[string]any)
	return attr, m, nil
}

func (r *request) mapPut() (Tree, any, error) {
	attr, m, err := r.object()
	if err != nil {
		return r.tree, nil, err
	}
	return r.write(attr, withKey(m, r.text("key"), r.params["value"]))
}

// withKey is m with one key replaced; a nil value removes it.
func withKey(m map[string]any, key string, value any) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	if out[key] = value; value == nil {
		delete(out, key)
	}
	return out
}

func (r *request) mapGet() (any, error) {
	_, m, err := r.object()
	return m[r.text("key")], err
}

// mapRemove removes a key; one that is not there is no problem.
func (r *request) mapRemove() (Tree, any, error) {
	attr, m, err := r.object()
	if err != nil || m == nil {
		return r.tree, nil, err
	}
	return r.write(attr, withKey(m, r.text("key"), nil))
}

func (r *request) mapClear() (Tree, any, error) {
	attr, m, err := r.object()
	if err != nil || m == nil {
		return r.tree, nil, err
	}
	return r.write(attr, map[string]any{})
}

// list is the attribute that list-add and its like mean, how it is written, and
// a copy of its value. A key of properties may hold a list as well.
func (r *request) list() (list []any, write func([]any) (Tree, any, error), err error) {
	attr, path, err := r.attribute(r.text("name"))
	if err != nil {
		return nil, nil, err
	}
	whole := r.tree.Attribute(r.at, attr.Name)
	v, err := part(whole, path)
	if err != nil {
		return nil, nil, err
	}
	list, ok := v.([]any)
	if !ok && (v != nil || len(path) == 0 && attr.Type != List) {
		return nil, nil, problem.Invalid.Errorf("the attribute %q is not a list", r.text("name"))
	}
	return slices.Clone(list), func(l []any) (Tree, any, error) {
		value, err := graft(whole, path, l)
		if err != nil {
			return r.tree, nil, err
		}
		return r.write(attr, value)
	}, nil
}

// index is the position that the operation names; -1 when it names none.
func (r *request) index(limit int) (int, error) {
	n, given := r.params["index"].(int64)
	switch {
	case !given:
		return -1, nil
	case n < 0 || n >= int64(limit):
		return -1, problem.Invalid.Errorf("index must not be %d (the list has positions 0 to %d)", n, limit-1)
	}
	return int(n), nil
}

func (r *request) listAdd() (Tree, any, error) {
	list, write, err := r.list()
	if err != nil {
		return r.tree, nil, err
	}
	i, err := r.index(len(list) + 1)
	if err != nil {
		return r.tree, nil, err
	}
	if i < 0 {
		i = len(list)
	}
	return write(slices.Insert(list, i, r.params["value"]))
}

func (r *request) listGet() (any, error) {
	list, _, err := r.list()
	if err != nil {
		return nil, err
	}
	i, err := r.index(len(list))
	if err != nil || i < 0 {
		return nil, orElse(err, problem.Invalid.Errorf("index is required"))
	}
	return list[i], nil
}

// listRemove removes what is at the index, or the first element that is the
// value; a value that is not there is no problem.
func (r *request) listRemove() (Tree, any, error) {
	list, write, err := r.list()
	if err != nil {
		return r.tree, nil, err
	}
	i, err := r.index(len(list))
	if err != nil {
		return r.tree, nil, err
	}
	value := r.params["value"]
	if i < 0 && value == nil {
		return r.tree, nil, problem.Invalid.Errorf("value or index is required")
	}
	if i < 0 {
		i = slices.IndexFunc(list, func(v any) bool { return Format(v) == Format(value) })
	}
	if i < 0 {
		return r.tree, nil, nil
	}
	return write(slices.Delete(list, i, i+1))
}

func (r *request) listClear() (Tree, any, error) {
	list, write, err := r.list()
	if err != nil || list == nil {
		return r.tree, nil, err
	}
	return write([]any{})
}

func orElse(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
