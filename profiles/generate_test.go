package profiles_test

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// anyValue draws a value that an attribute may have.
func anyValue(t *rapid.T, a profiles.Attribute) any {
	if !a.Literal && a.Type != profiles.Object && rapid.IntRange(0, 5).Draw(t, "expression?") == 0 {
		return "${some.name:7}"
	}
	if len(a.Allowed) > 0 {
		return rapid.SampledFrom(a.Allowed).Draw(t, a.Name)
	}
	texts := rapid.StringMatching("[a-zA-Z0-9 ./:'\"\\\\\n\téß€-]{0,12}")
	switch a.Type {
	case profiles.Bool:
		return rapid.Bool().Draw(t, a.Name)
	case profiles.Int, profiles.Long:
		r := a.Range
		if r == nil {
			r = &profiles.Range{Min: -1 << 31, Max: 1<<31 - 1}
		}
		return rapid.Int64Range(r.Min, r.Max).Draw(t, a.Name)
	case profiles.Size:
		return rapid.SampledFrom([]any{int64(1), "512m", "2g", int64(1 << 40)}).Draw(t, a.Name)
	case profiles.List:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			out = append(out, texts.Draw(t, a.Name))
		}
		return out
	case profiles.Map, profiles.Object:
		out := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "n") {
			var v any = texts.Draw(t, "value")
			if a.Elem == profiles.Text && rapid.Bool().Draw(t, "list?") {
				v = []any{"EVENT1", texts.Draw(t, "element")}
			}
			if a.Type == profiles.Object && rapid.Bool().Draw(t, "deep?") {
				v = map[string]any{"deep": []any{int64(1), true, map[string]any{"x": "y"}}}
			}
			out[texts.Draw(t, "key")] = v
		}
		return out
	}
	return texts.Draw(t, a.Name)
}

// anyTree draws a valid tree: it adds random resources with random attributes
// as operations and keeps what is not refused.
func anyTree(t *rapid.T) profiles.Tree {
	mode := rapid.SampledFrom([]profiles.Mode{profiles.Domain, profiles.Standalone}).Draw(t, "mode")
	tree := profiles.New(mode)
	for range rapid.IntRange(0, 25).Draw(t, "resources") {
		tree, _, _, _ = profiles.Apply(tree, anyAdd(t, mode))
	}
	return tree
}

func anyAdd(t *rapid.T, mode profiles.Mode) profiles.Operation {
	at := profiles.Address{}
	d, err := mode.Describe(at)
	for range rapid.IntRange(1, 6).Draw(t, "depth") {
		if err != nil || len(d.Children) == 0 {
			break
		}
		c := rapid.SampledFrom(d.Children).Draw(t, "child")
		name := c.Name
		if name == profiles.Wildcard {
			name = rapid.SampledFrom([]string{"x", "y", "a b", "p.q/r", "\"quoted\"", "keycloak-server"}).Draw(t, "name")
		}
		at = at.Child(c.Type, name)
		if d, err = mode.Describe(at); err != nil {
			panic(fmt.Sprintf("%s: %v", at, err))
		}
	}
	params := map[string]any{}
	for _, a := range d.Attributes {
		if a.Reference == "" && a.Name != "features" && (a.Required || rapid.IntRange(0, 3).Draw(t, "set?") == 0) {
			params[a.Name] = anyValue(t, a)
		}
		if a.Reference != "" && a.Required {
			params[a.Name] = rapid.SampledFrom([]string{"x", "y", "sqlite"}).Draw(t, a.Name)
		}
	}
	return profiles.Operation{Name: "add", Address: at, Params: params}
}
