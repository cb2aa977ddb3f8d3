package hostagent

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/hostagent/plan"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// lookAgain bounds how long a missed wake-up could leave the host not as it is
// wanted.
const lookAgain = 10 * time.Second

// accept takes a snapshot as what the host shall be. It is refused whole when
// it is not for this host; a server whose configuration cannot be resolved is
// left as it is, says why, and hinders no other.
func (a *Agent) accept(s localstate.Snapshot) error {
	parsed, err := a.parse(s)
	if err != nil {
		return err
	}
	configs := make(map[string]servergroups.ServerConfig, len(parsed.Servers))
	problems := map[string]string{}
	for _, spec := range parsed.Servers {
		config, err := parsed.Resolve(spec.Name, a.lookup)
		if err != nil {
			problems[spec.Name] = err.Error()
			continue
		}
		config.Revision = 0
		configs[spec.Name] = config
	}
	clashes(configs, problems)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.snapshot, a.parsed = s, parsed
	for _, v := range a.servers {
		v.inHost = false
	}
	for _, spec := range parsed.Servers {
		v := a.server(spec.Name)
		v.inHost, v.problem = true, ""
		if why := problems[spec.Name]; why != "" {
			v.problem = "the configuration of revision " + itoa(s.Revision) + " cannot be used: " + why
			if v.wanted.Name == "" { // never had a good one
				v.wanted.Name, v.wanted.Group, v.wanted.Profile = spec.Name, spec.Group, spec.Profile
			}
			a.config.Log.Error().Str("server", spec.Name).Str("why", why).Msg("a server's configuration cannot be used")
			continue
		}
		a.want(v, configs[spec.Name], s.Revision)
	}
	return nil
}

// check refuses a snapshot that is not for this host, before it is kept.
func (a *Agent) check(s localstate.Snapshot) error {
	_, err := a.parse(s)
	return err
}

func (a *Agent) parse(s localstate.Snapshot) (servergroups.HostSnapshot, error) {
	var parsed servergroups.HostSnapshot
	if err := json.Unmarshal(s.Content, &parsed); err != nil {
		return parsed, problem.Invalid.Errorf("cannot use revision %d: its snapshot cannot be read: %w", s.Revision, err)
	}
	if parsed.Host != a.host {
		return parsed, problem.Invalid.Errorf("cannot use revision %d: its snapshot is of host %q, this host is %q", s.Revision, parsed.Host, a.host)
	}
	if sum := parsed.Checksum(); s.Checksum != "" && sum != s.Checksum {
		return parsed, problem.Invalid.Errorf("cannot use revision %d: the checksum of its snapshot is %s, not %s", s.Revision, sum, s.Checksum)
	}
	return parsed, nil
}

// want sets a server's new configuration; a.mu is held.
func (a *Agent) want(v *server, config servergroups.ServerConfig, revision uint64) {
	v.digest = digest(config)
	config.Revision = revision
	content, err := json.Marshal(config)
	if err != nil { // cannot be: it came from JSON
		v.problem = err.Error()
		return
	}
	v.wanted, v.content = config, content
	v.spec = a.specOf(config)
	v.start = digest(config.Process) // not the agent's own environment, which differs with each start
	v.process = digest([]any{v.spec.Command, v.spec.Env, v.start, v.spec.Ports, v.spec.AutoStart, v.spec.Restart})
}

// keep is the loop: it makes what there is what is wanted, until ctx ends.
func (a *Agent) keep(ctx context.Context) error {
	tick := a.config.Clock.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		a.reconcile()
		select {
		case a.looked <- struct{}{}:
		default: // the last look is still to be heard of
		}
		select {
		case <-a.wake:
		case <-tick.C:
		case <-ctx.Done():
			a.look.Lock()
			a.over = true
			a.look.Unlock()
			var err error
			if why := context.Cause(a.ending); why == errShutdown || why == nil && !a.config.KeepServers {
				err = a.stopAll()
			}
			a.supervisor.Close()
			return err
		}
	}
}

// reconcile is done by the loop, and by an order before it is carried out.
func (a *Agent) reconcile() {
	a.look.Lock()
	defer a.look.Unlock()
	if a.over {
		return
	}
	states := map[string]supervisor.State{}
	for _, s := range a.supervisor.Status() {
		states[s.Name] = s.State
	}
	a.mu.Lock()
	var wanted []plan.Wanted
	var present []plan.Present
	for _, name := range sortedNames(a.servers) {
		v := a.servers[name]
		if v.inHost {
			wanted = append(wanted, v.wantedOf())
		}
		if state, ok := states[name]; ok {
			present = append(present, v.presentOf(state))
		}
	}
	known := a.snapshot.Revision > 0
	a.mu.Unlock()
	if !known {
		return // nothing was ever wanted: what runs is left alone
	}
	for _, step := range plan.Steps(wanted, present) {
		if err := a.take(step); err != nil {
			a.config.Log.Error().Err(err).Str("server", step.Server).Str("step", string(step.Kind)).Msg("a step failed")
		}
	}
}

// take does one step.
func (a *Agent) take(step plan.Step) error {
	a.config.Log.Debug().Str("server", step.Server).Str("step", string(step.Kind)).Str("why", step.Why).Msg("step")
	a.mu.Lock()
	v := a.server(step.Server)
	spec, content, revision := v.spec, v.content, a.snapshot.Revision
	switch step.Kind {
	case plan.Define:
		v.defined = v.process
	case plan.Configure:
		v.given = v.digest
		v.sent[revision] = v.digest
		maps.DeleteFunc(v.sent, func(r uint64, _ string) bool { return r+sentKept < revision })
	}
	a.mu.Unlock()
	switch step.Kind {
	case plan.Define:
		return a.supervisor.Define(spec)
	case plan.Configure:
		a.relay.Configure(step.Server, revision, content)
		return nil
	case plan.Start:
		return a.supervisor.Begin(step.Server)
	case plan.Stop:
		go func() { // takes as long as the requests in flight
			if err := a.supervisor.Stop(context.Background(), step.Server, a.config.StopTimeout); err != nil {
				a.config.Log.Error().Err(err).Str("server", step.Server).Msg("cannot stop a server")
			}
			a.poke()
		}()
		return nil
	}
	return a.forget(step.Server)
}

// sentKept is how many revisions back a server may still answer for.
const sentKept = 100

func (a *Agent) forget(name string) error {
	if err := a.supervisor.Forget(name); err != nil {
		return err
	}
	a.relay.Forget(name)
	a.mu.Lock()
	delete(a.servers, name)
	a.mu.Unlock()
	a.changed()
	return a.store.ForgetServer(name)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
