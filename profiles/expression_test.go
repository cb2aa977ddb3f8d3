package profiles_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestExpressions(t *testing.T) {
	values := map[string]string{"a": "1", "b": "2", "name": "a", "brace": "}", "empty": ""}
	for _, c := range []struct{ in, want, err string }{
		{"plain", "plain", ""},
		{"${a}", "1", ""},
		{"${a}-${b}", "1-2", ""},
		{"${x:7}", "7", ""},
		{"${x:}", "", ""},
		{"${empty:7}", "", ""},
		{"${x:${y:${a}}}", "1", ""},
		{"${${name}}", "1", ""},
		{"${x:a:b}", "a:b", ""},
		{"${a:${none}}", "1", ""}, // a default that is not needed does no harm
		{"$${a}", "${a}", ""},
		{"$$", "$", ""},
		{"5$", "5$", ""},
		{"$a", "$a", ""},
		{"${brace}}", "}}", ""},
		{"http://${x:localhost}:${p:8080}/", "http://localhost:8080/", ""},
		{"${x}", "", `"x" has no value and no default`},
		{"${x:${y}}", "", `"y" has no value`},
		{"${a", "", "has no end"},
		{"${a:b", "", "has no end"},
		{"${}", "", "has no name"},
		{"${:x}", "", "has no name"},
		{strings.Repeat("${a:", 40) + strings.Repeat("}", 40), "", "nest deeper"},
	} {
		got, err := profiles.Expand(c.in, func(n string) (string, bool) { v, ok := values[n]; return v, ok })
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("Expand(%q) = %q, %v; want %q", c.in, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("Expand(%q) = %q, %v; want an error with %q", c.in, got, err, c.err)
		}
	}
}

// piece is an expression as a tree: the dumb implementation evaluates that.
type piece struct {
	literal string
	name    string
	def     []piece // nil: none
	hasDef  bool
	isExpr  bool
}

func (p piece) text() string {
	if !p.isExpr {
		return strings.ReplaceAll(p.literal, "$", "$$")
	}
	if !p.hasDef {
		return "${" + p.name + "}"
	}
	return "${" + p.name + ":" + textOf(p.def) + "}"
}

func textOf(ps []piece) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.text())
	}
	return b.String()
}

// eval is the meaning of pieces; false when one has no value.
func eval(ps []piece, values map[string]string) (string, bool) {
	out := ""
	for _, p := range ps {
		v, ok := p.literal, true
		if p.isExpr {
			if v, ok = values[p.name]; !ok && p.hasDef {
				v, ok = eval(p.def, values)
			}
		}
		if !ok {
			return "", false
		}
		out += v
	}
	return out, true
}

func pieces(depth int) *rapid.Generator[[]piece] {
	return rapid.Custom(func(t *rapid.T) []piece {
		n := rapid.IntRange(0, 4).Draw(t, "n")
		out := make([]piece, n)
		for i := range out {
			if depth == 0 || rapid.Bool().Draw(t, "literal") {
				out[i] = piece{literal: rapid.StringMatching(`[a-z:$ /"\\{]{0,5}`).Draw(t, "text")}
				continue
			}
			p := piece{isExpr: true, name: rapid.SampledFrom([]string{"a", "b", "c.d", "none"}).Draw(t, "name")}
			if p.hasDef = rapid.Bool().Draw(t, "default"); p.hasDef {
				p.def = pieces(depth-1).Draw(t, "def")
			}
			out[i] = p
		}
		return out
	})
}

func TestExpandAgreesWithDirectEvaluation(t *testing.T) {
	values := map[string]string{"a": "1", "b": "${a}", "c.d": ""}
	rapid.Check(t, func(t *rapid.T) {
		ps := pieces(4).Draw(t, "expression")
		in := textOf(ps)
		want, ok := eval(ps, values)
		got, err := profiles.Expand(in, func(n string) (string, bool) { v, found := values[n]; return v, found })
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("Expand(%q) = %q, %v; want %q, %v", in, got, err, want, ok)
		}
		if err := profiles.CheckExpression(in); err != nil {
			t.Fatalf("CheckExpression(%q): %v", in, err)
		}
	})
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"${a}", "${a:b}", "$${", "${${a}:${b:}}", "${", "$", "${a:$}", "$$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found := func(n string) (string, bool) { return "v", true }
		_, err := profiles.Expand(s, found)
		if check := profiles.CheckExpression(s); (check == nil) != (err == nil) {
			t.Errorf("%q: check says %v, expand %v", s, check, err)
		}
		escaped := strings.ReplaceAll(s, "$", "$$")
		if out, err := profiles.Expand(escaped, found); err != nil || out != s {
			t.Errorf("escaped %q comes back as %q, %v", s, out, err)
		}
	})
}

func ExampleExpand() {
	out, _ := profiles.Expand("${jboss.bind.address:127.0.0.1}:${port:8080}", func(string) (string, bool) { return "", false })
	fmt.Println(out)
	// Output: 127.0.0.1:8080
}
