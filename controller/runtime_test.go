package controller_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestWildcardsReadWhatRuns_WildFly(t *testing.T) {
	p := start(t, controller.Config{})
	roster(t, p)
	type answer struct {
		Address profiles.Address
		Outcome string
		Result  any
	}
	for _, c := range []struct{ op, at, name, want string }{
		{"read-attribute", "/host=*/server-config=*", "status", "/host=h1/server-config=api STARTED, /host=h1/server-config=web STARTED, /host=h2/server-config=api STARTED, /host=h2/server-config=web STARTED"},
		{"read-attribute", "/host=h1/server-config=*", "status", "/host=h1/server-config=api STARTED, /host=h1/server-config=web STARTED"},
		{"read-attribute", "/host=*/server-config=web", "group", "/host=h1/server-config=web web, /host=h2/server-config=web web"},
		{"read-attribute", "/host=*/server=web", "status", "/host=h1/server=web STARTED, /host=h2/server=web STARTED"},
		{"read-attribute", "/host=*", "host-state", "/host=h1 running, /host=h2 running"},
		{"read-attribute", "/host=none/server-config=*", "status", ""},
	} {
		var list []answer
		decode(t, p.do(c.op, c.at, "name", c.name).Result, &list)
		var got []string
		for _, one := range list {
			got = append(got, fmt.Sprint(one.Address, " ", one.Result))
			if one.Outcome != "success" {
				t.Errorf("%+v", one)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s %s: %s, want %s", c.at, c.name, text, c.want)
		}
	}
	for at, want := range map[string]string{"/host=*/server=*": "server-state:running", "/host=*/server-config=*": "status:STARTED", "/host=*": "host-state:running"} {
		var list []answer
		decode(t, p.do("read-resource", at, "include-runtime", true).Result, &list)
		for _, one := range list {
			if one.Outcome != "success" || !strings.Contains(fmt.Sprint(one.Result), want) {
				t.Errorf("%s: %+v lacks %s", at, one, want)
			}
		}
		if n := map[bool]int{true: 2, false: 4}[at == "/host=*"]; len(list) != n {
			t.Errorf("%s: %d answers, want %d", at, len(list), n)
		}
	}
	if got := p.do("read-attribute", "/host=h1/server-config=web", "name", "status").Result; got != "STARTED" {
		t.Errorf("status is %v", got)
	}
	if _, err := p.try("read-attribute", "/host=h1/server-config=none", "name", "status"); !problem.Is(err, problem.NotFound) {
		t.Errorf("the status of no server: %v", err)
	}
	// In a composite they are read with the rest.
	r, err := p.batch([]profiles.Operation{operation(t, "read-attribute", "/host=h1", "name", "host-state"), operation(t, "read-attribute", "/host=h1/server-config=web", "name", "status")})
	if err != nil || !strings.Contains(fmt.Sprint(r.Result), "running") || !strings.Contains(fmt.Sprint(r.Result), "STARTED") {
		t.Errorf("a composite: %v, %v", r.Result, err)
	}
}

func TestParametersThatNobodyReadsAreRefused(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	for _, c := range []struct{ op, at, name, says string }{
		{"history", "", "limitt", `did you mean "limit"?`},
		{"revoke", "", "hots", `did you mean "host"?`},
		{"stop-servers", "/server-group=web", "suspend-timout", `did you mean "suspend-timeout"?`},
	} {
		if _, err := p.try(c.op, c.at, c.name, "x"); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s(%s=x): %v", c.op, c.name, err)
		}
	}
	if r := p.do("history", "", "limit", "1"); strings.Count(fmt.Sprint(r.Result), "revision:") != 1 {
		t.Errorf("a limit that is a text: %v", r.Result)
	}
}

func TestLogFilesAreReadFromTheHost(t *testing.T) {
	p := start(t, controller.Config{})
	roster(t, p)
	const at = "/host=h1/server=web/subsystem=logging"
	if _, err := p.try("read-log-file", at); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "name") {
		t.Errorf("no name: %v", err)
	}
	p.do("list-log-files", at) // the simulated host has none
	if _, err := p.try("list-log-files", "/host=h1/server=none/subsystem=logging"); !problem.Is(err, problem.NotFound) {
		t.Errorf("no server: %v", err)
	}
}
