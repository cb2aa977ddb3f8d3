package lang_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestOperationSyntax(t *testing.T) {
	node := profiles.Address{{Type: "profile", Name: "web"}}
	for in, want := range map[string]string{
		":read-resource":                                  "/profile=web:read-resource",
		"/:read-resource":                                 ":read-resource",
		"  / : read-resource ( ) ":                        ":read-resource",
		"subsystem=undertow:read-resource":                "/profile=web/subsystem=http:read-resource",
		"./subsystem=http:x":                              "/profile=web/subsystem=http:x",
		"..:x":                                            ":x",
		"../profile=b/:x":                                 "/profile=b:x",
		"/a=b/:add":                                       "/a=b:add",
		"/a=*:read(recursive)":                            `/a=*:read(recursive=true)`,
		"/:read(!recursive, x)":                           `:read(recursive=false,x=true)`,
		`/a="b/c\"d":x`:                                   `/a="b/c\"d":x`,
		`/data-source=java\:jboss\/x:y`:                   `/data-source="java:jboss/x":y`,
		"/:x(a=1,b=2L,c=-3,d=007,e=1.5)":                  `:x(a=1,b=2,c=-3,d="007",e=1.5)`,
		"/:x(a=true,b=false,c=undefined)":                 `:x(a=true,b=false,c=undefined)`,
		`/:x(a=hello world , b="x, (y)")`:                 `:x(a="hello world",b="x, (y)")`,
		`/:x(a=${a:b,c})`:                                 `:x(a="${a:b,c}")`,
		`/:x(a=f(x,y),b=1)`:                               `:x(a="f(x,y)",b=1)`,
		`/:x(a=http://h:1/p?q=r)`:                         `:x(a="http://h:1/p?q=r")`,
		`/:x(p={a => "900", "b"=c, d=>[1,two,{}]})`:       `:x(p={"a" => "900", "b" => "c", "d" => [1, "two", {}]})`,
		`/:x(p=[("a" => "b"),("c" => 1)])`:                `:x(p=[{"a" => "b"}, {"c" => 1}])`,
		`/:x(p=[],q={},r="")`:                             `:x(p=[],q={},r="")`,
		`/:x(p=".*\\.acme\\.com;NO")`:                     `:x(p=".*\\.acme\\.com;NO")`,
		`/:x(p="C:\dir")`:                                 `:x(p="C:\\dir")`,
		`/:x(p=expression "${y}")`:                        `:x(p="${y}")`,
		`/:x(steps=[{operation=>add,address=>[{a=>b}]}])`: `:x(steps=[{"address" => [{"a" => "b"}], "operation" => "add"}])`,
		"/:x{allow-stale=true; comment=\"a;b\"}":          `:x{allow-stale=true,comment="a;b"}`,
		"/:x(a=1){rollout main(batch-size=2,canary=1),b^c rollback-across-groups; dry-run}": `:x(a=1){dry-run=true,rollout="main(batch-size=2,canary=1),b^c rollback-across-groups"}`,
	} {
		op, err := lang.ParseOperation(in, node)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if got := op.String(); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func TestMistakesHaveTheirColumn(t *testing.T) {
	for _, c := range []struct {
		in     string
		column int
		says   string
	}{
		{"/a", 3, `"a" needs a name`},
		{"/a=", 4, `name of "a" is missing`},
		{"/a=b", 5, "a colon and an operation are missing"},
		{"/a=b:", 6, "operation's name is missing"},
		{"/=b:x", 2, "a type is missing"},
		{"/a=b:x(", 7, "no partner"},
		{"/a=b:x(a=1", 11, "comma or a closing bracket"},
		{"/a=b:x(a=)", 10, "a value is missing"},
		{"/a=b:x(a=1,a=2)", 12, "there twice"},
		{"/a=b:x(é={x)", 13, "=> is missing"},
		{"/a=b:x(a=[1)", 13, `a comma or "]" is missing`},
		{`/a=b:x(a="b)`, 10, "no partner"},
		{"/a=b:x()y", 9, "not expected"},
		{"/a=b:x(a=1){b", 12, "no partner"},
		{"/a=b:x(!a=1)", 8, "takes no value"},
	} {
		_, err := lang.ParseOperation(c.in, nil)
		caret := lang.Caret(err)
		if err == nil || !strings.Contains(err.Error(), c.says) || !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v, want %q", c.in, err, c.says)
			continue
		}
		if want := c.in + "\n" + strings.Repeat(" ", c.column-1) + "^"; caret != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.in, err, caret, want)
		}
	}
}

func TestLinesThatSayNothingAndCommands(t *testing.T) {
	for line, want := range map[string][2]bool{
		"": {true, false}, "  # x": {true, false}, "connect": {false, false}, "embed-server --server-config=standalone.xml": {false, false},
		"/a=b:x": {false, true}, ":x": {false, true}, "a=b:x": {false, true}, "..:x": {false, true}, "echo SETUP: a=b": {false, false},
	} {
		if got := [2]bool{lang.Blank(line), lang.IsOperation(line)}; got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// What the model prints, the language reads.
func TestPrintedValuesComeBack(t *testing.T) {
	texts := rapid.StringMatching(`[a-z0-9"\\ ={}(),\[\]$é>-]{0,8}`)
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case kind == 0:
				return rapid.Int64().Draw(t, "int")
			case kind == 1:
				return rapid.Bool().Draw(t, "bool")
			case kind == 2 && depth > 0:
				return anys(rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list"))
			case kind == 3 && depth > 0:
				return rapid.MapOfN(texts, value(depth-1), 0, 3).Draw(t, "object")
			}
			return texts.Draw(t, "text")
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		back, err := lang.ParseValue(profiles.Format(v))
		if err != nil || !profiles.Equal(v, back) {
			t.Fatalf("%s came back as %s, %v", profiles.Format(v), profiles.Format(back), err)
		}
	})
}

func anys(l []any) []any {
	if l == nil {
		return []any{}
	}
	return l
}

func FuzzParseOperation(f *testing.F) {
	for _, s := range []string{
		`/subsystem=keycloak-server/theme=defaults/:write-attribute(name=cacheThemes,value=false)`,
		`/a=b:add(properties={lockWaitTimeout => "900"},enabled=true){rollout main; x=1}`,
		`:x(value=[".*\\.(google|googleapis)\\.com;http://p:8080",("a" => "b")])`,
		`./a=b/../c="d/e":x(!y, z=${a:{b}})`, `/a\=b=c:x(v=expression "y")`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		op, err := lang.ParseOperation(line, nil)
		if err != nil {
			if lang.Caret(err) == "" {
				t.Errorf("%q: %v has no column", line, err)
			}
			return
		}
		again, err := lang.ParseOperation(op.String(), nil)
		if _, rollout := op.Headers["rollout"]; rollout {
			return // its text is printed as a value
		}
		if err != nil || again.String() != op.String() {
			t.Errorf("%q is %s, which comes back as %s, %v", line, op, again, err)
		}
	})
}
