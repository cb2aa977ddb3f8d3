package console

import (
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// sent is what a browser sends of a field that nobody touched.
func sent(f field) url.Values {
	form := url.Values{f.Input(): {f.Text}}
	if f.WithExpression() {
		form.Set(f.ExpressionInput(), f.Expression)
	}
	return form
}

func TestAFormThatNobodyTouchedSaysWhatThereWas(t *testing.T) {
	word := rapid.StringMatching(`[a-zA-Z0-9/:._-]{1,12}`)
	expression := rapid.StringMatching(`\$\{[a-z.]{1,8}:[a-z0-9]{0,5}\}`)
	secretKeys := rapid.SampledFrom([]string{"password", "keystore-password", "file", "url"})
	kinds := map[string]struct {
		attribute profiles.Attribute
		values    *rapid.Generator[any]
	}{
		"string":  {profiles.Attribute{Type: profiles.String}, rapid.OneOf(word, expression).AsAny()},
		"choice":  {profiles.Attribute{Type: profiles.String, Allowed: []string{"a", "b"}}, rapid.OneOf(rapid.SampledFrom([]string{"a", "b"}), expression).AsAny()},
		"boolean": {profiles.Attribute{Type: profiles.Bool}, rapid.OneOf(rapid.Bool().AsAny(), expression.AsAny())},
		"int":     {profiles.Attribute{Type: profiles.Long}, rapid.OneOf(rapid.Int64().AsAny(), expression.AsAny())},
		"list":    {profiles.Attribute{Type: profiles.List}, rapid.Map(rapid.SliceOfN(word, 1, 4), anys).AsAny()},
		"map": {profiles.Attribute{Type: profiles.Map, Elem: profiles.Text}, rapid.Map(rapid.MapOfN(secretKeys, rapid.OneOf(word.AsAny(), rapid.Map(rapid.SliceOfN(word, 1, 3), anys).AsAny()), 1, 4),
			func(m map[string]any) any { return m })},
		"object": {profiles.Attribute{Type: profiles.Object}, rapid.Map(rapid.MapOfN(secretKeys, rapid.OneOf(word.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny()), 1, 4),
			func(m map[string]any) any { return m })},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				a := kind.attribute
				a.Name = "x"
				was := kind.values.Draw(t, "value")
				f := fieldOf(&a, was)
				got, err := valueOf(sent(f), &a, was)
				if err != nil || !profiles.Equal(got, was) {
					t.Fatalf("%v became %v (%v) through %q %q", was, got, err, f.Text, f.Expression)
				}
			})
		})
	}
}

func anys(list []string) any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func TestASecretThatTheCallerMayNotSeeIsNotOverwrittenByItsMask(t *testing.T) {
	a := profiles.Attribute{Name: "properties", Type: profiles.Map, Elem: profiles.Text}
	for name, was := range map[string]any{"masked for the caller": map[string]any{"password": access.Masked}, "not there": nil} {
		if got, err := valueOf(url.Values{"value.properties": {"password = " + access.Masked}}, &a, was); err == nil {
			t.Errorf("%s: took %v", name, got)
		}
	}
}

func TestEveryDescribedAttributeHasAField(t *testing.T) {
	var walk func(at string, d *profiles.Description, depth int)
	walk = func(at string, d *profiles.Description, depth int) {
		for i := range d.Attributes {
			a := &d.Attributes[i]
			f := fieldOf(a, a.Default)
			if f.Kind == "" || len(f.Help) == 0 || a.Sensitive && f.Text != "" {
				t.Errorf("%s %s: field %+v", at, a.Name, f)
			}
			if a.Default == nil || a.Sensitive {
				continue
			}
			if got, err := valueOf(sent(f), a, a.Default); err != nil || !profiles.Equal(got, a.Default) && f.Text != "" {
				t.Errorf("%s %s: the default %v became %v (%v)", at, a.Name, a.Default, got, err)
			}
		}
		for _, c := range d.Children {
			if depth < 8 {
				walk(at+"/"+c.Type+"="+c.Name, c.Description, depth+1)
			}
		}
	}
	root, err := profiles.Domain.Describe(nil)
	if err != nil {
		t.Fatal(err)
	}
	walk("", root, 0)
}
