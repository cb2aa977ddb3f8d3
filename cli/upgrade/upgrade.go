// Package upgrade brings a running domain to another version of the program that
// is already installed on its hosts: agents first, then servers, group by group
// behind health gates. It owns that order and what is checked between two steps.
// It works through the management interface only and must not know how hosts or
// servers are run.
//
// It keeps nothing: run again, it goes on with what is not there yet. The way
// back is the same way, with the older program.
package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Management is a domain's management interface, as *client.Client is.
type Management interface {
	Execute(ctx context.Context, op profiles.Operation) (client.Response, error)
	Follow(ctx context.Context, op profiles.Operation, emit func(event any) error) (client.Response, error)
}

// Config says what is to be done.
type Config struct {
	Management Management
	// To is the version that everything shall run.
	To string
	// Groups are the server groups, in their order; all, by name, when empty.
	Groups []string
	// Plan is a rollout plan, as in the header rollout; the safe one when empty.
	Plan string
	// SkipAbsent leaves out hosts that are not connected, instead of refusing.
	SkipAbsent bool
	// Wait is how long a host and its servers may take to be back; 0 is 2 min.
	Wait  time.Duration
	Clock clock.Clock
	Out   io.Writer // gets a line a step
}

// host and server are what the domain tells of them.
type host struct {
	name    string
	Version string `json:"version"`
	State   string `json:"host-state"`
	Since   string `json:"since"`
}

func (h host) connected() bool { return h.State == "running" }

type server struct {
	Name    string `json:"name"`
	Host    string `json:"host"`
	Group   string `json:"server-group"`
	Version string `json:"version"`
	Status  string `json:"status"`
	Healthy bool   `json:"healthy"`
}

// runs tells a server that has a process to be upgraded; the others take the
// program that is installed when they start.
func (s server) runs() bool { return s.Status == "STARTED" || s.Status == "SUSPENDED" }

type upgrade struct{ Config }

// Run upgrades. It stops at the first thing that is not as it should be, with an
// error that says what stands and what to do; everything runs on as it is then.
func Run(ctx context.Context, c Config) error {
	if c.Wait == 0 {
		c.Wait = 2 * time.Minute
	}
	u := upgrade{c}
	if err := u.agents(ctx); err != nil {
		return err
	}
	if err := u.groups(ctx); err != nil {
		return err
	}
	servers, err := u.servers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.runs() && s.Version != u.To && u.wants(s.Group) && s.Version != "" {
			return problem.Precondition.Errorf("cannot upgrade to %s: server %q of host %s still runs %s: is the program of that host replaced?", u.To, s.Name, s.Host, s.Version)
		}
	}
	fmt.Fprintf(u.Out, "the domain runs %s\n", u.To)
	return nil
}

func (u upgrade) wants(group string) bool {
	return len(u.Groups) == 0 || slices.Contains(u.Groups, group)
}

// agents has each agent start its installed program, one after the other; their
// servers run on.
func (u upgrade) agents(ctx context.Context) error {
	hosts, err := u.present(ctx)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		switch {
		case !h.connected():
			fmt.Fprintf(u.Out, "host %s: not connected, left out\n", h.name)
		case h.Version == u.To:
			fmt.Fprintf(u.Out, "host %s: its agent runs %s already\n", h.name, u.To)
		default:
			if err := u.agent(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// present lists the hosts once all are connected. A controller that was just
// started has none for a moment.
func (u upgrade) present(ctx context.Context) (hosts []host, err error) {
	err = u.until(ctx, "all hosts are connected", func() error {
		if hosts, err = u.hosts(ctx); err != nil {
			return err
		}
		var absent []string
		for _, h := range hosts {
			if !h.connected() {
				absent = append(absent, h.name)
			}
		}
		if len(absent) == 0 || u.SkipAbsent && len(absent) < len(hosts) {
			return nil
		}
		return problem.WithHint(problem.Unavailable.Errorf("cannot upgrade to %s: not connected: %s", u.To, strings.Join(absent, ", ")),
			"wait for them, or leave them out with --skip-absent and run this again when they are back")
	})
	return hosts, err
}

// agent has one agent start its installed program, and waits until it is back
// with the servers that it had.
func (u upgrade) agent(ctx context.Context, h host) error {
	servers, err := u.servers(ctx)
	if err != nil {
		return err
	}
	begin := u.Clock.Now()
	if _, err := u.Management.Execute(ctx, profiles.Operation{Name: "shutdown", Address: at("host", h.name), Params: map[string]any{"restart": true}}); err != nil {
		return err
	}
	err = u.until(ctx, "host "+h.name+" is back", func() error {
		now, err := u.hosts(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(now, func(n host) bool { return n.name == h.name })
		switch {
		case i < 0 || !now[i].connected():
			return problem.Unavailable.Errorf("it is not connected")
		case now[i].Version == u.To:
			return u.same(ctx, h.name, servers)
		case now[i].Since == h.Since:
			return problem.Unavailable.Errorf("it has not begun")
		}
		return final{problem.WithHint(problem.Precondition.Errorf("cannot upgrade host %s: its agent came back with version %s, want %s", h.name, now[i].Version, u.To),
			"replace the program on that host, and run this again")}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(u.Out, "host %s: its agent went from %s to %s in %s\n", h.name, h.Version, u.To, clock.Since(u.Clock, begin).Round(10*time.Millisecond))
	return nil
}

// same fails while a host's servers are not as well as they were.
func (u upgrade) same(ctx context.Context, name string, before []server) error {
	now, err := u.servers(ctx)
	if err != nil {
		return err
	}
	for _, was := range before {
		if was.Host == name && was.Healthy && !slices.ContainsFunc(now, func(s server) bool { return s.Host == name && s.Name == was.Name && s.Healthy }) {
			return problem.Unavailable.Errorf("its server %q is not well", was.Name)
		}
	}
	return nil
}

// groups restarts the groups that have a server of another version, each behind
// the gates of its rollout.
func (u upgrade) groups(ctx context.Context) error {
	servers, err := u.servers(ctx)
	if err != nil {
		return err
	}
	old, size := map[string]int{}, map[string]int{}
	for _, s := range servers {
		if s.runs() {
			size[s.Group]++
			if s.Version != u.To {
				old[s.Group]++
			}
		}
	}
	groups := u.Groups
	if len(groups) == 0 {
		for group := range size {
			groups = append(groups, group)
		}
		slices.Sort(groups)
	}
	for _, group := range groups {
		if old[group] == 0 {
			fmt.Fprintf(u.Out, "server group %s: all %d run %s already\n", group, size[group], u.To)
			continue
		}
		if err := u.group(ctx, group, old[group], size[group]); err != nil {
			return err
		}
	}
	return nil
}

func (u upgrade) group(ctx context.Context, group string, old, size int) error {
	fmt.Fprintf(u.Out, "server group %s: %d of %d servers are of another version\n", group, old, size)
	if size == 1 {
		fmt.Fprintf(u.Out, "  it has one server: what only this serves is away while it restarts\n")
	}
	op := profiles.Operation{Name: "rolling-restart", Address: at("server-group", group)}
	if u.Plan != "" {
		op.Headers = map[string]any{"rollout": u.Plan}
	}
	_, err := u.Management.Follow(ctx, op, func(event any) error {
		e, _ := event.(map[string]any)
		if e["phase"] == "done" || e["problem"] != nil {
			fmt.Fprintf(u.Out, "  %v/%v: %v %v\n", e["host"], e["server"], e["phase"], orEmpty(e["problem"]))
		}
		return nil
	})
	return err
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

// final ends a wait at once.
type final struct{ error }

// until repeats f until it succeeds, gives a final error or u.Wait is over.
func (u upgrade) until(ctx context.Context, what string, f func() error) error {
	begin := u.Clock.Now()
	for {
		err := f()
		if err == nil {
			return nil
		}
		if end, ok := err.(final); ok {
			return end.error
		}
		if took := clock.Since(u.Clock, begin); took >= u.Wait {
			return problem.Timeout.Errorf("waited %s until %s: %w", took.Round(time.Second), what, err)
		}
		const every = 100 * time.Millisecond
		if err := clock.Sleep(ctx, u.Clock, every); err != nil {
			return err
		}
	}
}

func (u upgrade) hosts(ctx context.Context) ([]host, error) {
	var hosts []host
	err := u.read(ctx, profiles.Operation{Name: "read-resource", Address: at("host", profiles.Wildcard), Params: map[string]any{"include-runtime": true}},
		func(where profiles.Address, result []byte) error {
			h := host{name: where[0].Name}
			hosts = append(hosts, h)
			return json.Unmarshal(result, &hosts[len(hosts)-1])
		})
	return hosts, err
}

func (u upgrade) servers(ctx context.Context) ([]server, error) {
	var servers []server
	err := u.read(ctx, profiles.Operation{Name: "read-resource", Address: at("host", profiles.Wildcard, "server", profiles.Wildcard)},
		func(_ profiles.Address, result []byte) error {
			servers = append(servers, server{})
			return json.Unmarshal(result, &servers[len(servers)-1])
		})
	return servers, err
}

// read visits what a read at a wildcard gives.
func (u upgrade) read(ctx context.Context, op profiles.Operation, visit func(where profiles.Address, result []byte) error) error {
	response, err := u.Management.Execute(ctx, op)
	if err != nil {
		return err
	}
	text, err := json.Marshal(response.Result)
	var list []struct {
		Address profiles.Address `json:"address"`
		Result  json.RawMessage  `json:"result"`
	}
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	for _, one := range list {
		if err == nil {
			err = visit(one.Address, one.Result)
		}
	}
	if err != nil {
		return problem.Internal.Errorf("cannot read the answer to %s of %s: %w", op.Name, op.Address, err)
	}
	return nil
}

// at is an address of type, name, type, name ...
func at(steps ...string) (a profiles.Address) {
	for i := 0; i+1 < len(steps); i += 2 {
		a = a.Child(steps[i], steps[i+1])
	}
	return a
}
