package profiles_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// domain is the default domain with a host of two servers.
func domain(t testing.TB) profiles.Tree {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{
		`{"operation":"add","address":"/host=master"}`,
		`{"operation":"add","address":"/host=master/server-config=load-balancer","group":"load-balancer-group"}`,
		`{"operation":"add","address":"/host=master/server-config=server-one","group":"auth-server-group","socket-binding-port-offset":150}`,
	} {
		tree, _, _ = apply(t, tree, step)
	}
	return tree
}

func operation(t testing.TB, text string) profiles.Operation {
	t.Helper()
	var op profiles.Operation
	if err := json.Unmarshal([]byte(text), &op); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return op
}

func apply(t testing.TB, tree profiles.Tree, text string) (profiles.Tree, profiles.ChangeSet, any) {
	t.Helper()
	next, changes, result, err := profiles.Apply(tree, operation(t, text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return next, changes, result
}

const identityAt = `"address":"/profile=auth-server-clustered/subsystem=keycloak-server`

// Each operation runs on a fresh domain; changes are compared with their print,
// the result with its JSON.
func TestOperations(t *testing.T) {
	const at = "/profile=auth-server-clustered/subsystem=identity"
	for _, c := range []struct{ op, changes, result string }{
		{`{"operation":"write-attribute",` + identityAt + `","name":"display-name","value":"Hello"}`,
			"~ " + at + ` display-name: undefined -> "Hello" (live)`, `null`},
		{`{"operation":"write-attribute",` + identityAt + `","name":"web-context","value":"auth"}`, "", `null`},
		{`{"operation":"undefine-attribute",` + identityAt + `","name":"web-context"}`,
			"~ " + at + ` web-context: "auth" -> undefined (reload)`, `null`},
		{`{"operation":"map-put",` + identityAt + `/spi=dblock/provider=jpa","name":"properties","key":"lockWaitTimeout","value":777}`,
			"+ " + at + `/spi=dblock {}` + "\n+ " + at + `/spi=dblock/provider=jpa {"properties" => {"lockWaitTimeout" => "777"}}`, `null`},
		{`{"operation":"write-attribute",` + identityAt + `/spi=hostname/provider=default","name":"properties.frontendUrl","value":"https://x"}`,
			"+ " + at + `/spi=hostname {}` + "\n+ " + at + `/spi=hostname/provider=default {"properties" => {"frontendUrl" => "https://x"}}`, `null`},
		{`{"operation":"map-remove",` + identityAt + `/spi=dblock/provider=jpa","name":"properties","key":"none"}`, "", `null`},
		{`{"operation":"add",` + identityAt + `/spi=mySPI/provider=p","enabled":"true"}`,
			"+ " + at + "/spi=mySPI {}\n+ " + at + `/spi=mySPI/provider=p {"enabled" => true}`, `null`},
		{`{"operation":"list-add",` + identityAt + `","name":"import","value":"a.json"}`,
			"~ " + at + ` import: undefined -> ["a.json"] (restart)`, `null`},
		{`{"operation":"read-attribute",` + identityAt + `","name":"master-realm-name"}`, "", `"master"`},
		{`{"operation":"read-attribute",` + identityAt + `","name":"master-realm-name","include-defaults":false}`, "", `null`},
		{`{"operation":"read-attribute","address":"/socket-binding-group=ha-sockets/socket-binding=http","name":"port"}`, "", `"${jboss.http.port:8080}"`},
		{`{"operation":"read-attribute","address":"/socket-binding-group=ha-sockets/socket-binding=http","name":"port","resolve-expressions":true}`, "", `"8080"`},
		{`{"operation":"read-children-names","child-type":"server-group"}`, "", `["auth-server-group","load-balancer-group"]`},
		{`{"operation":"read-children-names","address":"/host=master","child-type":"server-config"}`, "", `["load-balancer","server-one"]`},
		{`{"operation":"read-attribute","address":"/host=*/server-config=*","name":"group"}`, "",
			`[{"address":[{"host":"master"},{"server-config":"load-balancer"}],"outcome":"success","result":"load-balancer-group"},{"address":[{"host":"master"},{"server-config":"server-one"}],"outcome":"success","result":"auth-server-group"}]`},
		{`{"operation":"read-resource","address":"/server-group=load-balancer-group","include-defaults":false}`, "",
			`{"process":{"default":null},"profile":"load-balancer","socket-binding-group":"load-balancer-sockets"}`},
		{`{"operation":"read-resource","address":"/server-group=load-balancer-group","include-defaults":false,"recursive":true}`, "",
			`{"process":{"default":{"memory-limit":"512m"}},"profile":"load-balancer","socket-binding-group":"load-balancer-sockets"}`},
		{`{"operation":"read-attribute","address":"/server-group=load-balancer-group/jvm=default","name":"max-heap-size"}`, "", `"512m"`},
		{`{"operation":"read-children-types","address":"/host=master/server=server-one"}`, "", `["subsystem"]`},
		{`{"operation":"resolve-expression","expression":"${x:1}-$${y}"}`, "", `"1-${y}"`},
		{`{"operation":"clone","address":"/profile=load-balancer","to-profile":"lb2"}`, "+ /profile=lb2 {}", ``},
		{`{"operation":"remove","address":"/host=master"}`,
			"- /host=master/server-config=server-one\n- /host=master/server-config=load-balancer\n- /host=master", `null`},
		{`{"operation":"composite","steps":[
			{"operation":"add","address":"/profile=new"},
			{"operation":"add","address":"/server-group=new","profile":"new","socket-binding-group":"ha-sockets"},
			{"operation":"read-attribute","address":"/server-group=new","name":"profile"}]}`,
			"+ /profile=new {}\n+ /server-group=new {\"profile\" => \"new\", \"socket-binding-group\" => \"ha-sockets\"}",
			`{"step-1":{"outcome":"success","result":null},"step-2":{"outcome":"success","result":null},"step-3":{"outcome":"success","result":"new"}}`},
	} {
		_, changes, result := apply(t, domain(t), c.op)
		if got := strings.TrimSpace(changes.String()); got != c.changes && !(c.result == "" && strings.HasPrefix(got, c.changes)) {
			t.Errorf("%s\nchanges\n%s\nwant\n%s", c.op, got, c.changes)
		}
		if got, _ := json.Marshal(result); c.result != "" && string(got) != c.result {
			t.Errorf("%s\nresult %s\nwant   %s", c.op, got, c.result)
		}
	}
}

// Nothing invalid is ever committed: each refusal names the place and what is
// valid (issue "domain controller", Bad input).
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		op   string
		kind problem.Kind
		says []string
	}{
		{`{"operation":"write-attribute",` + identityAt + `","name":"web-contxt","value":"x"}`, problem.NotFound, []string{`"web-contxt"`, `did you mean "web-context"?`}},
		{`{"operation":"write-attribte",` + identityAt + `"}`, problem.Invalid, []string{`did you mean "write-attribute"?`}},
		{`{"operation":"read-resource","address":"/profile=auth-server-clustered/subsystem=identty"}`, problem.NotFound, []string{`did you mean "identity"?`}},
		{`{"operation":"read-resource","address":"/profile=auth-server-clusterd"}`, problem.NotFound, []string{`did you mean "auth-server-clustered"?`}},
		{`{"operation":"read-resource","address":"/profile=x"}`, problem.NotFound, []string{`no profile "x"`, "load-balancer"}},
		{`{"operation":"write-attribute",` + identityAt + `/theme=defaults","name":"cacheThemes","value":"maybe"}`, problem.Invalid, []string{"true or false", `"maybe"`}},
		{`{"operation":"write-attribute",` + identityAt + `","name":"session-persistence","value":"volatil"}`, problem.Invalid, []string{`did you mean "volatile"?`}},
		{`{"operation":"write-attribute","address":"/socket-binding-group=ha-sockets/socket-binding=http","name":"port","value":70000}`, problem.Invalid, []string{"70000", "0 to 65535"}},
		{`{"operation":"write-attribute","address":"/socket-binding-group=ha-sockets/socket-binding=http","name":"port","value":"${x"}`, problem.Invalid, []string{"has no end"}},
		{`{"operation":"write-attribute","address":"/server-group=auth-server-group","name":"profile","value":"auth-server"}`, problem.Invalid, []string{"/server-group=auth-server-group", `"auth-server"`, "does not exist", "auth-server-standalone"}},
		{`{"operation":"write-attribute","address":"/server-group=auth-server-group","name":"profile","value":"${p:auth-server-clustered}"}`, problem.Invalid, []string{"must not be an expression"}},
		{`{"operation":"undefine-attribute","address":"/server-group=auth-server-group","name":"profile"}`, problem.Invalid, []string{"profile is required"}},
		{`{"operation":"add","address":"/server-group=new","profile":"load-balancer"}`, problem.Invalid, []string{"socket-binding-group is required"}},
		{`{"operation":"add","address":"/server-group=new","profil":"load-balancer"}`, problem.Invalid, []string{`"profil"`, `did you mean "profile"?`}},
		{`{"operation":"add","address":"/server-group=auth-server-group","profile":"load-balancer","socket-binding-group":"ha-sockets"}`, problem.Conflict, []string{"exists already"}},
		{`{"operation":"remove","address":"/profile=auth-server-clustered"}`, problem.Invalid, []string{"/server-group=auth-server-group", "auth-server-clustered"}},
		{`{"operation":"remove","address":"/server-group=auth-server-group"}`, problem.Invalid, []string{"/host=master/server-config=server-one", "discover-groups"}},
		{`{"operation":"remove","address":"/socket-binding-group=ha-sockets/socket-binding=http"}`, problem.Invalid, []string{`socket-binding "http"`, `server group "auth-server-group"`}},
		{`{"operation":"add","address":"/host=master/server-config=server-two","group":"auth-server-group","socket-binding-port-offset":150}`, problem.Invalid, []string{"/host=master/server-config=server-two", "port 8230", `"server-one"`}},
		{`{"operation":"write-attribute","address":"/host=master/server-config=server-one","name":"port-offset","value":60000}`, problem.Invalid, []string{"68080"}},
		{`{"operation":"add","address":"/host=other/server-config=x","group":"auth-server-group"}`, problem.NotFound, []string{`no host "other"`, "master"}},
		{`{"operation":"write-attribute","address":"/profile=*/subsystem=identity","name":"web-context","value":"x"}`, problem.Invalid, []string{"only reads"}},
		{`{"operation":"write-attribute",` + identityAt + `","name":"features","value":{"token_exchang":"enabled"}}`, problem.Invalid, []string{`"token-exchang" does not exist`, `did you mean "token-exchange"?`}},
		{`{"operation":"write-attribute",` + identityAt + `","name":"features","value":{"docker":"on"}}`, problem.Invalid, []string{`"docker"`, "enabled, disabled"}},
		{`{"operation":"write-attribute",` + identityAt + `","name":"features","value":{"upload_scripts":"enabled"}}`, problem.Invalid, []string{`"upload-scripts" is enabled but needs "scripts"`}},
		{`{"operation":"add","address":"/system-property=keycloak.profile.feature.dockr","value":"enabled"}`, problem.Invalid, []string{`did you mean "docker"?`}},
		{`{"operation":"add","address":"/system-property=keycloak.profile.feature.docker","value":"on"}`, problem.Invalid, []string{"enabled, disabled"}},
		{`{"operation":"write-attribute","address":"/profile=load-balancer","name":"includes","value":["load-balancer"]}`, problem.Invalid, []string{"includes itself"}},
		{`{"operation":"start","address":"/host=master/server-config=server-one"}`, problem.Unsupported, []string{"what runs answers"}},
		{`{"operation":"read-resource","address":"/host=master/server=server-one"}`, problem.Unsupported, []string{"what runs answers"}},
		{`{"operation":"composite","steps":[{"operation":"add","address":"/profile=new"},{"operation":"add","address":"/profile=new"}]}`, problem.Conflict, []string{"step 2 of 2", "nothing was changed", "exists already"}},
		{`{"operation":"write-attribute","address":"/profile=auth-server-clustered/subsystem=http/server=default-server/https-listener=https","name":"security-realm","value":"Nobody"}`, problem.Invalid, []string{`security-realm "Nobody"`}},
		{`{"operation":"write-attribute","address":"/profile=auth-server-clustered/subsystem=undertow","name":"default-server","value":"default-sever"}`, problem.Invalid, []string{`http-server "default-sever"`, `did you mean "default-server"?`}},
		{`{"operation":"write-attribute","address":"/profile=auth-server-clustered/subsystem=undertow/server=default-server","name":"default-host","value":"public"}`, problem.Invalid, []string{`http-host "public"`, "default-host"}},
		{`{"operation":"add","address":"/profile=auth-server-clustered/subsystem=undertow/server=default-server/host=public","alias":["sso.example","Default-Host"]}`, problem.Invalid, []string{`alias names "default-host"`, `host "default-host" has already`}},
		{`{"operation":"add","address":"/profile=auth-server-clustered/subsystem=undertow/server=default-server/host=default-host/filter-ref=x","predicate":"path-prefix(/auth) and max-content-size(5)"}`, problem.Invalid, []string{"host=default-host/filter-ref=x: predicate", `no predicate "max-content-size" at position 24`, "path-prefix"}},
	} {
		tree := domain(t)
		next, changes, _, err := profiles.Apply(tree, operation(t, c.op))
		if err == nil {
			t.Errorf("%s was not refused: %s", c.op, changes)
			continue
		}
		if got := problem.KindOf(err); got != c.kind {
			t.Errorf("%s: kind %v, want %v", c.op, got, c.kind)
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q does not say %q", c.op, err, s)
			}
		}
		if len(profiles.Diff(tree, next)) > 0 {
			t.Errorf("%s was refused and changed something", c.op)
		}
	}
}

// A change of one profile must not cost more where the domain is large: shared
// parts are shared.
func BenchmarkWriteInADomainOfAThousandHosts(b *testing.B) {
	tree := domain(b)
	var steps []profiles.Operation
	for h := range 1000 {
		host := profiles.Address{{Type: "host", Name: "h" + strconv.Itoa(h)}}
		steps = append(steps, profiles.Operation{Name: "add", Address: host})
		for s := range 10 {
			steps = append(steps, profiles.Operation{Name: "add", Address: host.Child("server-config", "s"+strconv.Itoa(s)),
				Params: map[string]any{"group": "auth-server-group", "socket-binding-port-offset": int64(s * 10)}})
		}
	}
	tree, _, _, err := profiles.Apply(tree, profiles.Composite(steps...))
	if err != nil {
		b.Fatal(err)
	}
	op := profiles.Operation{Name: "write-attribute", Address: profiles.Address{{Type: "profile", Name: "auth-server-clustered"}, {Type: "subsystem", Name: "identity"}}}
	for i := 0; b.Loop(); i++ {
		op.Params = map[string]any{"name": "display-name", "value": strings.Repeat("x", i%7)}
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			b.Fatal(err)
		}
	}
}
