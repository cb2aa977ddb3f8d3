package access_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// twoGroups is a domain with the groups mine and theirs, a server of each on the
// host h.
func twoGroups(t *testing.T) profiles.Tree {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{
		`{"operation":"add","address":"/host=h"}`,
		`{"operation":"add","address":"/server-group=mine","profile":"auth-server-clustered","socket-binding-group":"ha-sockets"}`,
		`{"operation":"add","address":"/server-group=theirs","profile":"auth-server-clustered","socket-binding-group":"ha-sockets"}`,
		`{"operation":"add","address":"/host=h/server-config=a","group":"mine"}`,
		`{"operation":"add","address":"/host=h/server-config=secret","group":"theirs","socket-binding-port-offset":100}`,
	} {
		var op profiles.Operation
		if err := json.Unmarshal([]byte(step), &op); err != nil {
			t.Fatal(err)
		}
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

const rolledOut = `{"rollout":"r1","author":"eva","state":"restored","revision":5,
	"plan":{"in-series":[{"concurrent-groups":[{"server-group":"mine"},{"server-group":"theirs"}]},{"concurrent-groups":[{"server-group":"theirs"}]}]},
	"problem":"group theirs: 1 of 1 servers failed: h/secret: no",
	"kept":["/server-group=theirs profile: was written again since","/server-group=mine profile: was written again since"],
	"servers":[{"host":"h","server":"a","group":"mine","state":"restored"},{"host":"h","server":"secret","group":"theirs","state":"failed","problem":"no"}]}`

func TestARolloutShowsWhatIsInScopeOnly(t *testing.T) {
	tree := twoGroups(t)
	mine := access.Caller{Name: "adam", Grants: []access.Grant{{Role: access.Maintainer, ServerGroups: []string{"mine"}}}}
	all := access.Caller{Name: "eva", Grants: []access.Grant{{Role: access.Maintainer}}}
	elsewhere := `{"rollout":"r2","state":"done","plan":{"in-series":[]},"servers":[{"host":"h","server":"secret","group":"theirs","state":"done"}]}`
	event := func(server string) string {
		return fmt.Sprintf(`{"rollout":"r1","state":"running","phase":"done","group":"g","host":"h","server":%q,"done":1,"total":2}`, server)
	}
	for _, c := range []struct {
		name, op, value string
		is, isNot       []string
	}{
		{"a rollout's result", "write-attribute", rolledOut, []string{`"a"`, "mine", "/server-group=mine", "it was stopped"}, []string{"secret", "theirs"}},
		{"the list of rollouts", "rollouts", "[" + rolledOut + "," + elsewhere + "]", []string{"r1"}, []string{"secret", "theirs", "r2"}},
		{"an event in scope", "write-attribute", event("a"), []string{`"a"`, "running"}, []string{"total"}},
		{"an event out of scope", "write-attribute", event("secret"), []string{"null"}, []string{"secret"}},
		{"a piece of a log", "read-log", `{"host":"h","server":"secret","log":"x"}`, []string{"null"}, []string{"secret"}},
		{"a list of log files", "list-log-files", `[{"address":"/host=h/server=secret/subsystem=logging","result":["x"]}]`, []string{"[]"}, []string{"secret"}},
		{"the history", "history", `[{"revision":5,"comment":"rollout failed: h/secret: no","changes":[{"kind":"write","address":"/server-group=theirs","attribute":"profile","effect":"restart"}]}]`,
			[]string{`"revision":5`}, []string{"secret", "theirs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := profiles.Operation{Name: c.op}
			if c.op == "list-log-files" {
				op.Address = profiles.Address{{Type: "host", Name: "*"}, {Type: "server", Name: "*"}, {Type: "subsystem", Name: "logging"}}
			}
			show := func(caller access.Caller) string {
				visible, err := access.Filter(caller, op, tree, json.RawMessage(c.value))
				if err != nil {
					t.Fatal(err)
				}
				text, err := json.Marshal(visible)
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
			got := show(mine)
			for _, want := range c.is {
				if !strings.Contains(got, want) {
					t.Errorf("%s lacks %s", got, want)
				}
			}
			for _, never := range c.isNot {
				if strings.Contains(got, never) {
					t.Errorf("%s shows %s", got, never)
				}
			}
			if whole := show(all); strings.Contains(c.value, "secret") && !strings.Contains(whole, "secret") {
				t.Errorf("without a scope: %s", whole)
			}
		})
	}
}

func TestExpressionsOfAuditHandlersAreResolvedWhereTheyWrite(t *testing.T) {
	dir := t.TempDir()
	const at = "/core-service=management/access=audit"
	tree := twoGroups(t)
	for _, step := range []string{
		`{"operation":"add","address":"/system-property=audit.name","value":"${who:audit}"}`,
		`{"operation":"add","address":"/path=logs","path":"${log.dir}"}`,
		`{"operation":"add","address":"/path=audits","path":"audits","relative-to":"logs"}`,
		`{"operation":"add","address":"` + at + `/file-handler=one","path":"${audit.name}.json","relative-to":"audits"}`,
		`{"operation":"add","address":"` + at + `/file-handler=lost","path":"${nobody.knows}"}`,
		`{"operation":"add","address":"` + at + `/syslog-handler=two","host":"${syslog.host:localhost}","port":"${syslog.port:1514}"}`,
	} {
		var op profiles.Operation
		if err := json.Unmarshal([]byte(step), &op); err != nil {
			t.Fatal(err)
		}
		var err error
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			t.Fatal(err)
		}
	}
	environment := func(name string) (string, bool) { return dir, name == "log.dir" }
	list, err := access.Destinations(tree, environment)
	want := fmt.Sprint([]logs.Output{
		logs.File{Path: filepath.Join(dir, "audits", "audit.json"), Private: true},
		logs.Syslog{Network: "udp", Address: "localhost:1514", Facility: "user-level", App: "gatehouse-audit"},
	})
	if fmt.Sprint(list) != want {
		t.Errorf("%v, want %s", list, want)
	}
	if err == nil || !strings.Contains(err.Error(), at+"/file-handler=lost: path") || !strings.Contains(err.Error(), "nobody.knows") {
		t.Errorf("the one that cannot be resolved: %v", err)
	}
	var told []string
	audit, err := access.NewAudit(access.AuditConfig{File: filepath.Join(dir, "a.log"), Environment: environment, Clock: clock.Real(), Failed: func(err error) { told = append(told, err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	defer audit.Close()
	if list, err := access.Destinations(tree, nil); err == nil || len(list) != 1 {
		t.Errorf("without an environment: %v, %v", list, err)
	}
	for range 3 { // each operation directs; it is said once
		audit.DirectBy(tree)
	}
	lost := 0
	for _, text := range told {
		if strings.Contains(text, "nobody.knows") {
			lost++
		}
	}
	if lost != 1 {
		t.Errorf("told %d times: %q", lost, told)
	}
}
