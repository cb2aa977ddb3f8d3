package script_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli/script"
)

func TestVariablesAreReplacedAndExpressionsStay(t *testing.T) {
	values := map[string]string{"host": "master", "x1": "1"}
	lookup := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	for text, want := range map[string]string{
		`/host=$host/server=s:start`:          `/host=master/server=s:start`,
		`:add(value=${jboss.http.port:8080})`: `:add(value=${jboss.http.port:8080})`,
		`a\$host`:                             `a$host`,
		`".*\\.acme\\.com$"`:                  `".*\\.acme\\.com$"`,
		`$x1$host$`:                           `1master$`,
		`".*\\.(google|googleapis)\\.com;http://p:8080"`: `".*\\.(google|googleapis)\\.com;http://p:8080"`,
	} {
		if got, err := script.Expand(text, lookup); err != nil || got != want {
			t.Errorf("Expand(%s) = %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := script.Expand("ls $nobody", lookup); err == nil || !strings.Contains(err.Error(), "column 4") {
		t.Errorf("a name that is not set: %v", err)
	}
}

func TestConditions(t *testing.T) {
	response := map[string]any{"outcome": "success", "result": map[string]any{"value": "auth", "n": "10", "list": []any{"a"}}}
	for condition, want := range map[string]bool{
		`outcome == success`:                                  true,
		`(outcome != success)`:                                false,
		`result.value == "auth"`:                              true,
		`result.n > 9`:                                        true,
		`result.n <= 9`:                                       false,
		`result.value ~= "a.*h"`:                              true,
		`result.nobody == undefined`:                          true,
		`result.list.0 == a`:                                  true,
		`outcome == failed || result.n == 10 && 1 == 1`:       true,
		`(outcome == failed || result.n == 10) && outcome==x`: false,
		`8080 == 8080`:                                        true,
	} {
		if got, err := script.Evaluate(condition, response); err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", condition, got, err, want)
		}
	}
	for _, condition := range []string{``, `outcome`, `outcome ==`, `(outcome == a`, `a == b c`, `"a == b`, `a ~= "["`, `&& a`} {
		if _, err := script.Evaluate(condition, response); err == nil {
			t.Errorf("condition %q was accepted", condition)
		}
	}
}

func TestBlocksNest(t *testing.T) {
	lines, err := script.Read(strings.NewReader(`
# a comment
try
  if (outcome == success) of /a=b:read-resource
    :one( \
      x=1)
  else
    for h in :read-children-names(child-type=host)
      :two
    done
  end-if
catch
  :three
finally
  :four
end-try
:five
`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := script.Parse(lines)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) != 2 || s[1].Line != (script.Line{Text: ":five", Number: 17}) {
		t.Fatalf("statements: %+v", s)
	}
	try := s[0].Try
	branch := try.Body[0].If
	if branch.Condition != "(outcome == success)" || branch.Command != "/a=b:read-resource" || branch.Then[0].Line.Text != ":one(        x=1)" {
		t.Errorf("if: %+v", branch)
	}
	loop := branch.Else[0].For
	if loop.Variable != "h" || loop.Command != ":read-children-names(child-type=host)" || loop.Body[0].Line.Text != ":two" {
		t.Errorf("for: %+v", loop)
	}
	if try.Catch[0].Line.Text != ":three" || try.Finally[0].Line.Text != ":four" {
		t.Errorf("try: %+v", try)
	}
}

func TestMisplacedBlockWordsAreRefusedWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"else":                        "no open block",
		"try\n:a\nend-try":            "needs catch or finally",
		"if a == b\n:x":               "line 1",
		"if a == b\ndone":             "ends with end-if",
		"for in x\ndone":              "for VARIABLE in COMMAND",
		"if a == b\nelse\nelse":       "line 3",
		"try\nfinally\ncatch\nend-if": "line 3",
		"if\nend-if":                  "without a condition",
	} {
		lines, err := script.Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := script.Parse(lines); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestCommandsAndWordsRespectQuotesAndBrackets(t *testing.T) {
	got := script.Commands(`/a=b:add(x=1,y=[1,2]), echo "a,b",ls`)
	if want := []string{"/a=b:add(x=1,y=[1,2])", `echo "a,b"`, "ls"}; !slices.Equal(got, want) {
		t.Errorf("Commands = %q", got)
	}
	got = script.Words(`diff -f "my file.toml" --x={a => "b c"}`)
	if want := []string{"diff", "-f", "my file.toml", `--x={a => "b c"}`}; !slices.Equal(got, want) {
		t.Errorf("Words = %q", got)
	}
	name, value, command, err := script.Assignment("port=`:read-attribute(name=port)`")
	if name != "port" || value != ":read-attribute(name=port)" || !command || err != nil {
		t.Errorf("Assignment = %q %q %v %v", name, value, command, err)
	}
}

func FuzzEvaluate(f *testing.F) {
	f.Add(`(outcome == failed || result.n == 10) && outcome==x`)
	f.Add(`result.value ~= "a.*h"`)
	f.Fuzz(func(t *testing.T, condition string) {
		_, _ = script.Evaluate(condition, map[string]any{"outcome": "success"})
		_, _ = script.Expand(condition, func(string) (string, bool) { return "", false })
		_ = script.Words(condition)
		_ = script.Commands(condition)
	})
}

// FuzzCutPipe: what is cut is whole, each filter has a name, and what is put
// together again is cut the same.
func FuzzCutPipe(f *testing.F) {
	for _, seed := range []string{
		"", "ls", "ls | grep x", "ls >f", "ls > f", "ls >> 'a file'", `echo "a | b" > f`, ":op(a=[x | y], b={c => d}) | grep -i \"x y\" | grep -v z >> f",
		"a |", "a > f | grep x", "a |> b", ") | (", "a | grep ( | grep ) > f", "a\t|\tb", "`a | b`", `"\" | x`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		command, pipe, err := script.CutPipe(text)
		if err != nil {
			return
		}
		if !strings.Contains(text, command) {
			t.Fatalf("%q is cut to %q", text, command)
		}
		again := command
		for _, filter := range pipe.Filters {
			if words := script.Words(filter); len(words) == 0 {
				t.Errorf("%q has the filter %q without a name", text, filter)
			}
			if strings.TrimLeft(filter, "|>") != filter {
				return // after a character that is a blank only where a line ends
			}
			again += " | " + filter
		}
		if pipe.Empty() {
			if command != text {
				t.Errorf("nothing follows %q, and it became %q", text, command)
			}
			return
		}
		if pipe.File != "" {
			again += map[bool]string{false: " > ", true: " >> "}[pipe.Append] + pipe.File
		}
		c, p, err := script.CutPipe(again)
		if strings.ContainsFunc(pipe.File, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`|>", r) }) {
			return // it has to be in quotes
		}
		if err != nil || c != command || !slices.Equal(p.Filters, pipe.Filters) || p.File != pipe.File || p.Append != pipe.Append {
			t.Errorf("%q is %q and %+v; put together, %q is %q and %+v, %v", text, command, pipe, again, c, p, err)
		}
	})
}
