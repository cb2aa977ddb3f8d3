package upgrade

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// domain is a Management of hosts whose agents and servers take the installed
// program when they are restarted.
type domain struct {
	installed map[string]string // by host
	agents    map[string]string // "" while it is away
	servers   map[string]string // by "host/server"
	group     func(name string) string
	boots     int
	did       []string
	broken    string // a group whose rollout fails
}

func newDomain() *domain {
	return &domain{
		installed: map[string]string{"one": "1.0.1", "two": "1.0.1"},
		agents:    map[string]string{"one": "1.0.0", "two": "1.0.0"},
		servers:   map[string]string{"one/a": "1.0.0", "one/lb": "1.0.0", "two/b": "1.0.0"},
		group: func(name string) string {
			if name == "lb" {
				return "balancers"
			}
			return "identity"
		},
	}
}

func (d *domain) Execute(_ context.Context, op profiles.Operation) (client.Response, error) {
	switch {
	case op.Name == "shutdown" && op.Params["restart"] == true:
		name := op.Address[0].Name
		d.did = append(d.did, "agent "+name)
		d.agents[name] = d.installed[name]
		d.boots++
		return client.Response{}, nil
	case op.Name == "read-resource" && len(op.Address) == 1:
		list := []any{}
		for _, name := range slices.Sorted(maps.Keys(d.agents)) {
			state := "running"
			if d.agents[name] == "" {
				state = "disconnected"
			}
			list = append(list, map[string]any{"address": []any{map[string]any{"host": name}},
				"result": map[string]any{"version": d.agents[name], "host-state": state, "since": fmt.Sprint(d.boots)}})
		}
		return client.Response{Result: list}, nil
	case op.Name == "read-resource":
		list := []any{}
		for _, name := range slices.Sorted(maps.Keys(d.servers)) {
			host, server, _ := strings.Cut(name, "/")
			list = append(list, map[string]any{"address": []any{map[string]any{"host": host}, map[string]any{"server": server}},
				"result": map[string]any{"name": server, "host": host, "server-group": d.group(server), "version": d.servers[name], "status": "STARTED", "healthy": true}})
		}
		return client.Response{Result: list}, nil
	}
	return client.Response{}, problem.Unsupported.Errorf("cannot %s", op.Name)
}

func (d *domain) Follow(_ context.Context, op profiles.Operation, emit func(any) error) (client.Response, error) {
	group := op.Address[0].Name
	d.did = append(d.did, op.Name+" "+group)
	if plan := op.Headers["rollout"]; plan != nil {
		d.did = append(d.did, "plan "+fmt.Sprint(plan))
	}
	if group == d.broken {
		return client.Response{}, problem.Precondition.Errorf("rollout 7 failed: the gate of server a")
	}
	for name := range d.servers {
		host, server, _ := strings.Cut(name, "/")
		if d.group(server) == group {
			d.servers[name] = d.installed[host]
			if err := emit(map[string]any{"host": host, "server": server, "phase": "done"}); err != nil {
				return client.Response{}, err
			}
		}
	}
	return client.Response{}, nil
}

func run(t *testing.T, d *domain, c Config) (string, error) {
	t.Helper()
	var out strings.Builder
	c.Management, c.Clock, c.Out = d, clock.Real(), &out
	if c.To == "" {
		c.To = "1.0.1"
	}
	err := Run(t.Context(), c)
	return out.String(), err
}

func TestAgentsGoFirstThenServersGroupByGroupAndASecondTimeNothingHappens(t *testing.T) {
	d := newDomain()
	out, err := run(t, d, Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"agent one", "agent two", "rolling-restart balancers", "rolling-restart identity"}
	if !slices.Equal(d.did, want) || !strings.Contains(out, "the domain runs 1.0.1") || !strings.Contains(out, "two/b: done") {
		t.Errorf("it did %v, want %v\n%s", d.did, want, out)
	}
	d.did = nil
	if out, err = run(t, d, Config{}); err != nil || len(d.did) > 0 {
		t.Errorf("again it did %v, %v\n%s", d.did, err, out)
	}
	d.installed = map[string]string{"one": "1.0.0", "two": "1.0.0"}
	if _, err = run(t, d, Config{To: "1.0.0", Groups: []string{"identity", "balancers"}, Plan: "identity(soak=1s)"}); err != nil {
		t.Fatal(err)
	}
	want = []string{"agent one", "agent two", "rolling-restart identity", "plan identity(soak=1s)", "rolling-restart balancers", "plan identity(soak=1s)"}
	if !slices.Equal(d.did, want) {
		t.Errorf("on the way back it did %v, want %v", d.did, want)
	}
}

func TestAnUpgradeStopsAtTheFirstThingThatIsNotAsItShouldBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*domain)
		config Config
		kind   problem.Kind
		says   string
		did    []string
	}{
		{"a host is away", func(d *domain) { d.agents["two"] = "" }, Config{Wait: 1}, problem.Timeout, "not connected: two", nil},
		{"a program was not replaced", func(d *domain) { d.installed["one"] = "1.0.0" }, Config{}, problem.Precondition, "came back with version 1.0.0", []string{"agent one"}},
		{"a rollout fails", func(d *domain) { d.broken = "balancers" }, Config{}, problem.Precondition, "the gate of server a", []string{"agent one", "agent two", "rolling-restart balancers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDomain()
			c.change(d)
			out, err := run(t, d, c.config)
			if !problem.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || !slices.Equal(d.did, c.did) {
				t.Errorf("it did %v, want %v: %v\n%s", d.did, c.did, err, out)
			}
		})
	}
}

func TestAnAbsentHostIsLeftOutWhenThatIsWanted(t *testing.T) {
	d := newDomain()
	d.agents["two"] = ""
	delete(d.servers, "two/b")
	out, err := run(t, d, Config{SkipAbsent: true, Wait: time.Minute})
	if err != nil || !strings.Contains(out, "host two: not connected, left out") {
		t.Errorf("%v\n%s", err, out)
	}
}
