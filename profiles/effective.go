package profiles

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Effective are the children of a type of a resource and of the resources of
// its kind that it includes, by name, each as Subtree gives it. A child of its
// own goes before an included one. It refuses includes that are missing or form
// a circle.
func (t Tree) Effective(a Address, typ string) (map[string]any, error) {
	return t.effective(a, typ, nil)
}

func (t Tree) effective(a Address, typ string, seen []string) (map[string]any, error) {
	e := a.Last()
	if !t.Has(a) {
		return nil, problem.Invalid.Errorf("%s %q does not exist%s", e.Type, e.Name, suggest(e.Name, t.Names(a.Parent(), e.Type)))
	}
	if slices.Contains(seen, e.Name) {
		return nil, problem.Invalid.Errorf("%s %q includes itself (%s)", e.Type, e.Name, strings.Join(append(seen, e.Name), " -> "))
	}
	seen = append(slices.Clip(seen), e.Name)
	out := map[string]any{}
	includes, _ := t.Attribute(a, "includes").([]any)
	for _, v := range includes {
		name, _ := v.(string)
		more, err := t.effective(a.Parent().Child(e.Type, name), typ, seen)
		if err != nil {
			return nil, err
		}
		maps.Copy(out, more)
	}
	for _, name := range t.Names(a, typ) {
		out[name] = t.Subtree(a.Child(typ, name))
	}
	return out, nil
}
