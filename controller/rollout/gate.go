package rollout

import (
	"context"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

const (
	// takeTimeout is how long a host may take to take a revision: it only stores
	// it.
	takeTimeout = 30 * time.Second
	// absentTimeout is how long a host that is not connected is waited for: a
	// machine that boots again, or a network that was repaired, is back within it.
	// A plan that tolerates failed servers waits takeTimeout and goes on.
	absentTimeout = 3 * time.Minute
	// orderTimeout is how long a server may take to stop gracefully (30 s) and to
	// start.
	orderTimeout = 90 * time.Second
	// gateTimeout is how long a started server may take to become healthy.
	gateTimeout = 60 * time.Second
)

// bring brings one server to what the newest revision wants of it and through
// its health gate, as the plan of its group has it. resumed says that an earlier
// leader may have done it.
func (e *Engine) bring(ctx context.Context, s Server, revision uint64, resumed bool, plan servergroups.GroupPlan) (State, error) {
	patience := absentTimeout
	if plan.MaxFailedServers > 0 || plan.MaxFailurePercentage > 0 {
		patience = takeTimeout
	}
	if err := e.reached(ctx, s.Host, patience); err != nil {
		return Failed, err
	}
	began := e.status(s)
	before := began
	if before != nil && (before.State == "STOPPED" || before.State == "DISABLED") {
		return Skipped, nil // it takes the change when it is started
	}
	order := need(s, before)
	if resumed && before != nil && before.Revision >= revision && before.Required == "" && !broken(before) {
		order = ""
	}
	if order == "" {
		before = nil
	} else if err := e.order(ctx, s, order, before); err != nil {
		return Failed, err
	}
	if err := e.gate(ctx, s, revision, before, plan.RequireCluster); err != nil {
		return Failed, err
	}
	return Done, e.soak(ctx, s, plan.Watch(), began, plan.MaxErrorRate)
}

// orderAttempts is how often an order is given when its host is lost before the
// answer: links break, and controllers change.
const orderAttempts = 3

// order gives the order. A host that was lost meanwhile is waited for; whether it
// did what it was told is then seen from the server.
func (e *Engine) order(ctx context.Context, s Server, kind string, before *hostlink.ServerStatus) error {
	for attempt := 1; ; attempt++ {
		_, err := e.hosts.Order(ctx, s.Host, publisher.Order{Kind: kind, Server: s.Name, Timeout: orderTimeout})
		if !problem.Is(err, problem.Unavailable) || attempt == orderAttempts {
			return err
		}
		if lost := e.taken(ctx, s.Host); lost != nil {
			return lost
		}
		if now := e.status(s); now != nil && !same(now, before) {
			return nil
		}
	}
}

// same reports whether a server is still in the state it was in.
func same(a, b *hostlink.ServerStatus) bool {
	return a != nil && b != nil && a.Pid == b.Pid && a.SinceUnixMs == b.SinceUnixMs && a.Restarts == b.Restarts
}

// need is the order that brings a server to its newest configuration; "" for
// none.
func need(s Server, status *hostlink.ServerStatus) string {
	switch {
	case status == nil:
		return "start"
	case broken(status), status.Required == "restart-required", s.Need == NeedRestart:
		return "restart"
	case status.Required == "reload-required", s.Need == NeedReload:
		return "reload"
	}
	return ""
}

func (e *Engine) status(s Server) *hostlink.ServerStatus {
	states, _ := e.hosts.Hosts()
	for _, status := range states[s.Host].Servers {
		if status.Name == s.Name {
			return status
		}
	}
	return nil
}

// reached waits until the host is there and has taken the newest revision. That
// it is away is noticed late, so its time to take the revision may run out first.
func (e *Engine) reached(ctx context.Context, host string, patience time.Duration) error {
	for began := e.clock.Now(); ; {
		if err := e.present(ctx, host, patience-e.clock.Now().Sub(began)); err != nil {
			return err
		}
		err := e.taken(ctx, host)
		hosts, _ := e.hosts.Hosts()
		if !problem.Is(err, problem.Timeout) || hosts[host].Connected || e.clock.Now().Sub(began) >= patience {
			return err
		}
	}
}

// present waits until the host is connected.
func (e *Engine) present(ctx context.Context, host string, patience time.Duration) error {
	why := "host " + host + " was not connected"
	return e.await(ctx, patience, &why, func(hosts map[string]publisher.HostState) (bool, error) {
		return hosts[host].Connected, nil
	})
}

// taken waits until the host has taken the newest revision, and has told of its
// servers: a new leader hears of a host before it hears of them, and would take
// each for one that is not there yet.
func (e *Engine) taken(ctx context.Context, host string) error {
	why := ""
	return e.await(ctx, takeTimeout, &why, func(hosts map[string]publisher.HostState) (bool, error) {
		why = "host " + host + " has not taken the revision"
		h := hosts[host]
		if h.Problem != "" {
			return false, problem.Precondition.Errorf("host %s refused the revision: %s", host, h.Problem)
		}
		current, err := e.hosts.Current(host)
		if err == nil && h.Connected && current && h.Servers == nil {
			why = "host " + host + " has not told of its servers"
			return false, nil
		}
		return h.Connected && current, err
	})
}

// gate waits until the server is healthy: started, ready, running what it should
// and, where it is asked, in the cluster. A status that is still the one from
// before the order does not count. What it needs for a later revision is not this
// rollout's.
func (e *Engine) gate(ctx context.Context, s Server, revision uint64, before *hostlink.ServerStatus, cluster bool) error {
	why := "it did not become healthy"
	return e.await(ctx, gateTimeout, &why, func(hosts map[string]publisher.HostState) (bool, error) {
		status := e.status(s)
		if status == nil || same(status, before) {
			return false, nil
		}
		if broken(status) {
			return false, problem.Precondition.Errorf("it is %s: %s", status.State, status.Message)
		}
		if status.State != "STARTED" || !status.Healthy || status.Required != "" && status.Revision < revision {
			return false, nil
		}
		if !cluster {
			return true, nil
		}
		missing := apart(hosts, status)
		why = "it did not come into the cluster: " + missing
		return missing == "", nil
	})
}

// soak watches the server for a time; it must stay healthy and, where maxRate
// (percent) says so, answer well. began is its status before it was touched; what
// balancers saw counts from now on, when it is healthy: while it restarted it had
// a right not to answer.
func (e *Engine) soak(ctx context.Context, s Server, d time.Duration, began *hostlink.ServerStatus, maxRate *float64) error {
	if d <= 0 {
		return nil
	}
	timer := e.clock.NewTimer(d)
	defer timer.Stop()
	hosts, _ := e.hosts.Hosts()
	before := sightOf(hosts, e.status(s).GetNode())
	for over := false; ; {
		hosts, changed := e.hosts.Hosts()
		status := e.status(s)
		if status == nil || status.State != "STARTED" || !status.Healthy {
			return problem.Precondition.Errorf("it did not stay healthy for %s", d)
		}
		if err := faults(answers(began, status), sightOf(hosts, status.Node).since(before), maxRate, over); err != nil {
			return err
		}
		if over {
			return nil
		}
		select {
		case <-timer.C:
			over = true
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func broken(s *hostlink.ServerStatus) bool { return s.State == "FAILED" || s.State == "BACKOFF" }

// await waits for a condition of the hosts; why says what did not come in time.
func (e *Engine) await(ctx context.Context, limit time.Duration, why *string, ok func(map[string]publisher.HostState) (bool, error)) error {
	timer := e.clock.NewTimer(limit)
	defer timer.Stop()
	for {
		hosts, changed := e.hosts.Hosts()
		if good, err := ok(hosts); good || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
			return problem.Timeout.Errorf("%s within %s", *why, limit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
