package profiles

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// step is one step into an attribute's value: a key of an object, or the
// position of a list's element.
type step struct {
	key      string
	index    int
	position bool
}

// AttributeHead is the attribute that a name begins with, in jboss-cli's syntax
// of parts: properties.frontendUrl and handlers[0] are parts of properties and
// of handlers.
func AttributeHead(name string) string {
	if i := strings.IndexAny(name, ".["); i > 0 {
		return name[:i]
	}
	return name
}

// attribute finds the attribute that a name means, and the way into its value.
func (r *request) attribute(name string) (*Attribute, []step, error) {
	if attr, ok := r.desc.Attribute(name); ok {
		return attr, nil, nil
	}
	head := AttributeHead(name)
	attr, ok := r.desc.Attribute(head)
	if !ok {
		return nil, nil, problem.NotFound.Errorf("%s has no attribute %q%s", r.at, name, suggest(name, r.desc.attributeNames()))
	}
	rest := name[len(head):]
	if rest == "" || rest == "." {
		return nil, nil, problem.NotFound.Errorf("%q names no part of the attribute %q", name, head)
	}
	if attr.Type == Map && rest[0] == '.' {
		m, _ := r.tree.Attribute(r.at, attr.Name).(map[string]any)
		return attr, mapSteps(attr, m, rest[1:]), nil
	}
	switch attr.Type {
	case Map, Object, List, Any, Text:
	default:
		return nil, nil, problem.Invalid.Errorf("the attribute %q is %s: it has no parts", head, attr.Type.article())
	}
	steps, err := steps(rest)
	if err != nil {
		return nil, nil, problem.Invalid.Errorf("cannot find the part %q of the attribute %q: %w", rest, head, err)
	}
	if attr.Type == Map && steps[0].position || (attr.Type == List || attr.Type == Text) && !steps[0].position {
		return nil, nil, problem.Invalid.Errorf("the attribute %q is %s: it has no part %q", head, attr.Type.article(), rest)
	}
	return attr, steps, nil
}

// mapSteps is the way to a key of a map. The key may hold dots and brackets
// itself; a position behind it counts where values may be lists and there is no
// such key.
func mapSteps(attr *Attribute, m map[string]any, rest string) []step {
	whole := []step{{key: rest}}
	at := strings.LastIndexByte(rest, '[')
	if at <= 0 || attr.elem() == String || m[rest] != nil {
		return whole
	}
	position, err := steps(rest[at:])
	if err != nil || len(position) != 1 {
		return whole
	}
	return append([]step{{key: rest[:at]}}, position...)
}

// positionLimit bounds a position: no list of a configuration is as long.
const positionLimit = 1 << 20

// steps reads .key and [position], one after the other.
func steps(text string) ([]step, error) {
	var out []step
	for text != "" {
		first := text[0]
		text = text[1:]
		switch first {
		case '.':
			end := strings.IndexAny(text, ".[")
			if end < 0 {
				end = len(text)
			}
			if end == 0 {
				return nil, problem.Invalid.Errorf("a key is missing (valid: name.key)")
			}
			out = append(out, step{key: text[:end]})
			text = text[end:]
		case '[':
			number, rest, closed := strings.Cut(text, "]")
			n, err := strconv.Atoi(number)
			if !closed || err != nil || n < 0 || n > positionLimit || strconv.Itoa(n) != number {
				return nil, problem.Invalid.Errorf("[%s is no position (valid: name[0])", text)
			}
			out = append(out, step{index: n, position: true})
			text = rest
		default:
			return nil, problem.Invalid.Errorf("%q is neither .key nor [position]", string(first)+text)
		}
	}
	return out, nil
}

// part is what is at the end of a way into a value; undefined where a key is
// not there.
func part(v any, way []step) (any, error) {
	for _, s := range way {
		if !s.position {
			m, isObject := v.(map[string]any)
			if !isObject && v != nil {
				return nil, problem.Invalid.Errorf("there is no key %q: the value is no object", s.key)
			}
			v = m[s.key]
			continue
		}
		list, isList := v.([]any)
		if !isList && v != nil {
			return nil, problem.Invalid.Errorf("there is no position %d: the value is no list", s.index)
		}
		if s.index >= len(list) {
			return nil, outside(s.index, len(list), len(list)-1)
		}
		v = list[s.index]
	}
	return v, nil
}

func outside(index, length, last int) error {
	if last < 0 {
		return problem.Invalid.Errorf("there is no position %d: the list is empty", index)
	}
	return problem.Invalid.Errorf("there is no position %d: the list has %d elements (valid: 0 to %d)", index, length, last)
}

// graft is v with the part at the end of a way replaced; a nil part is removed.
// The position behind the last element adds one.
func graft(v any, way []step, to any) (any, error) {
	if len(way) == 0 {
		return to, nil
	}
	if way[0].position {
		return graftElement(v, way, to)
	}
	old, isObject := v.(map[string]any)
	if !isObject && v != nil {
		return nil, problem.Invalid.Errorf("there is no key %q: the value is no object", way[0].key)
	}
	m := maps.Clone(old)
	if m == nil {
		m = map[string]any{}
	}
	key := way[0].key
	inner, err := graft(m[key], way[1:], to)
	if err != nil {
		return nil, err
	}
	if m[key] = inner; inner == nil {
		delete(m, key)
	}
	return m, nil
}

func graftElement(v any, way []step, to any) (any, error) {
	list, isList := v.([]any)
	if !isList && v != nil {
		return nil, problem.Invalid.Errorf("there is no position %d: the value is no list", way[0].index)
	}
	i := way[0].index
	removes := len(way) == 1 && to == nil
	last := len(list)
	if removes {
		last--
	}
	if i > last {
		return nil, outside(i, len(list), last)
	}
	list = slices.Clone(list)
	if removes {
		return slices.Delete(list, i, i+1), nil
	}
	if i == len(list) {
		list = append(list, nil)
	}
	inner, err := graft(list[i], way[1:], to)
	if err != nil {
		return nil, err
	}
	if list[i] = inner; inner == nil {
		list = slices.Delete(list, i, i+1)
	}
	return list, nil
}
