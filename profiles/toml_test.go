package profiles_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Malformed TOML names file, line and column; an unknown key names the nearest
// valid one.
func TestFileErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct {
		name, text string
		says       []string
	}{
		{"syntax", "mode = \"domain\"\n[profile.x\n", []string{"d.toml:2:"}},
		{"unknown key", "[profile.x.subsystem.identity]\n  web-contxt = \"auth\"\n", []string{"d.toml:2:3:", `unknown key "web-contxt"`, `did you mean "web-context"?`}},
		{"unknown table", "[profile.x.subsystem.identty]\nweb-context = \"a\"", []string{"d.toml:1:22:", `"identty"`, `did you mean "identity"?`}},
		{"unknown type", "[profil.x]\n", []string{"d.toml:1:2:", `did you mean "profile"?`}},
		{"wrong type", "[profile.x.subsystem.identity]\nweb-context = 5\n", []string{"d.toml:2:1:", "web-context must be a string, not 5"}},
		{"out of range", "[interface.public]\n[socket-binding-group.s]\ndefault-interface = \"public\"\n[socket-binding-group.s.socket-binding]\nhttp.port = 99999", []string{"d.toml:5:6:", "99999", "0 to 65535"}},
		{"inline", "[profile.x.subsystem.identity.spi.dblock]\nprovider = { jpa = { enabld = true } }", []string{"d.toml:2:22:", `did you mean "enabled"?`}},
		{"required", "[server-group.g]\nprofile = \"p\"\n[profile.p]", []string{"d.toml:1:15:", "socket-binding-group is required"}},
		{"dangling", "[interface.i]\n[socket-binding-group.s]\ndefault-interface = \"i\"\n[profile.web]\n[server-group.g]\nprofile = \"wep\"\nsocket-binding-group = \"s\"\n", []string{"d.toml:6:1:", `profile "wep"`, `did you mean "web"?`}},
		{"by two names", "[profile.x.subsystem.identity]\n[profile.x.subsystem.keycloak-server]\n", []string{"d.toml:2:22:", "there twice"}},
		{"expression", "[profile.x.subsystem.identity]\nweb-context = \"${a\"", []string{"d.toml:2:1:", "has no end"}},
		{"date", "[profile.x.subsystem.identity]\nweb-context = 2020-01-01", []string{"d.toml:2:1:"}},
		{"all of a file", "[profile.x.subsystem.identity]\nweb-contxt = \"a\"\n\n[profil.y]\n", []string{"d.toml:2:1:", "d.toml:4:2:"}},
		{"one port", `
[interface.i]
[socket-binding-group.s]
default-interface = "i"
[socket-binding-group.s.socket-binding.http]
port = "${http.port:8080}"
[profile.p]
[server-group.g]
profile = "p"
socket-binding-group = "s"
[host.h.server-config.one]
group = "g"
[host.h.server-config.two]
group = "g"`, []string{"d.toml:13:23:", "port 8080", `"one"`, "/host=h/server-config=two"}},
		{"mode", "mode = \"cluster\"", []string{"d.toml:1:1:", `"standalone"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := profiles.ParseTOML("d.toml", []byte(c.text))
			if err == nil {
				t.Fatal("was read")
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func TestAliasesAreReadInFiles(t *testing.T) {
	tree, err := profiles.ParseTOML("d.toml", []byte(`
[profile.x.subsystem.keycloak-server.spi.dblock.provider.jpa.properties]
lockWaitTimeout = 900
[interface.i]
[socket-binding-group.s]
default-interface = "i"
[server-group.g]
profile = "x"
socket-binding-group = "s"
[server-group.g.jvm.default]
max-heap-size = "512m"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `mode: domain
/interface=i {}
/profile=x/subsystem=identity/spi=dblock/provider=jpa {"properties" => {"lockWaitTimeout" => "900"}}
/server-group=g {"profile" => "x", "socket-binding-group" => "s"}
/server-group=g/process=default {"memory-limit" => "512m"}
/socket-binding-group=s {"default-interface" => "i"}
`
	got := "mode: " + string(tree.Mode()) + "\n"
	tree.Walk(func(a profiles.Address, attrs map[string]any) {
		if len(attrs) > 0 || len(a) == 2 && a[0].Type == "interface" || len(a) == 1 && a[0].Type == "interface" {
			got += a.String() + " " + profiles.Format(any(orEmpty(attrs))) + "\n"
		}
	})
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func FuzzParseTOML(f *testing.F) {
	f.Add(string(profiles.DefaultTOML(profiles.Standalone)))
	f.Add("[profile.x.subsystem.identity]\nweb-context = '''a\n'''\nimport = [ # c\n \"x\", ]\n")
	f.Add("profile.\"a.b\" = { subsystem = { identity = {} } }")
	f.Add("[[profile]]\nx = {y = [{a=1}]}")
	f.Add("a = \"\\\"]\"\nb.c.'d' = '}'")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := profiles.ParseTOML("f", []byte(text))
		if err != nil {
			return
		}
		back, err := profiles.ParseTOML("f", profiles.EncodeTOML(tree))
		if err != nil || len(profiles.Diff(tree, back)) > 0 {
			t.Errorf("%q: %v, %s", text, err, profiles.Diff(tree, back))
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"/", "/profile=x/subsystem=undertow", `/a="b/c"`, "a=b/", "//", "/a", `/a="`, "=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := profiles.ParseAddress(s)
		if err != nil {
			return
		}
		if back, err := profiles.ParseAddress(a.String()); err != nil || back.Compare(a) != 0 {
			t.Errorf("%q is %v, which comes back as %v, %v", s, a, back, err)
		}
	})
}

func FuzzOperation(f *testing.F) {
	f.Add([]byte(`{"operation":"write-attribute","address":[{"subsystem":"identity"}],"name":"import","value":["a"]}`))
	f.Add([]byte(`{"operation":"composite","steps":[{"operation":"add","address":"/system-property=x","value":"${y:1}"}]}`))
	f.Add([]byte(`{"operation":"list-remove","address":["subsystem","keycloak-server"],"name":"import","index":0}`))
	tree, err := profiles.Default(profiles.Standalone)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var op profiles.Operation
		if op.UnmarshalJSON(data) != nil {
			return
		}
		next, changes, _, err := profiles.Apply(tree, op)
		if err == nil && len(profiles.Diff(changes.Patch(tree), next)) > 0 {
			t.Errorf("%s: the changes do not lead to the next tree", data)
		}
		if err == nil && len(next.Check()) > 0 {
			t.Errorf("%s: left the tree invalid: %v", data, next.Check())
		}
	})
}
