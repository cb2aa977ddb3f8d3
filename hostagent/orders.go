package hostagent

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent/plan"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// defaultOrderTimeout bounds an order that names no time of its own.
const defaultOrderTimeout = 5 * time.Minute

// parameters of an order, as its operation names them.
type parameters struct {
	// Blocking: wait until it is done; orders do, unless they say otherwise.
	Blocking *bool `json:"blocking"`
	// SuspendTimeout (or Timeout) is what requests in flight have, in seconds.
	SuspendTimeout *float64 `json:"suspend-timeout"`
	Timeout        *float64 `json:"timeout"`
	Lines          *int     `json:"lines"`
	Follow         bool     `json:"follow"`
	// Of read-log-file: which file, how many lines to leave out, and from which
	// end (the end, where it is not said).
	Name string `json:"name"`
	Skip int    `json:"skip"`
	Tail *bool  `json:"tail"`
	// Restart: a host that shuts down starts its program again, and its servers
	// run on.
	Restart bool `json:"restart"`
}

const defaultLines = 50

// order does what an operator wants, of one server or, with no name, of each
// server of the host.
func (a *Agent) order(ctx context.Context, o *hostlink.Order, output func([]byte) error) ([]byte, error) {
	var p parameters
	if len(o.GetParameters()) > 0 {
		if err := json.Unmarshal(o.GetParameters(), &p); err != nil {
			return nil, problem.Invalid.Errorf("cannot %s: its parameters are no JSON object of the known form: %w", o.GetKind(), err)
		}
	}
	limit := time.Duration(o.GetTimeoutMs()) * time.Millisecond
	if limit <= 0 {
		limit = defaultOrderTimeout
	}
	a.config.Log.Info().Str("order", o.GetKind()).Str("server", o.GetServer()).Msg("order of the domain")
	answered := ctx // ends when the answer is on its way
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !p.Follow { // a followed log ends when it is cancelled
		stop := a.endIn(ctx, limit, cancel)
		defer stop()
	}
	switch o.GetKind() {
	case "read-log":
		lines := defaultLines
		if p.Lines != nil {
			lines = *p.Lines
		}
		return nil, a.supervisor.ReadLog(ctx, o.GetServer(), lines, p.Follow, output)
	case "list-log-files", "read-log-file":
		return a.logFiles(ctx, o, p, output)
	case "support-bundle":
		return nil, a.bundle(output)
	case "host-reload", "host-shutdown":
		a.ordered(answered, o.GetKind(), p)
		return nil, nil
	}
	a.reconcile() // an order that follows a change finds what the change made
	if o.GetServer() != "" {
		return nil, a.one(ctx, o.GetKind(), o.GetServer(), p, limit)
	}
	return nil, a.all(ctx, o.GetKind(), p, limit)
}

// endIn cancels after d.
func (a *Agent) endIn(ctx context.Context, d time.Duration, cancel context.CancelFunc) context.CancelFunc {
	ctx, done := context.WithCancel(ctx)
	go func() {
		if clock.Sleep(ctx, a.config.Clock, d) == nil {
			cancel()
		}
	}()
	return done
}

// all has every server of the host do something; one that cannot does not
// hinder the others.
func (a *Agent) all(ctx context.Context, kind string, p parameters, limit time.Duration) error {
	a.mu.Lock()
	var names []string
	for _, name := range sortedNames(a.servers) {
		if v := a.servers[name]; v.inHost && (kind != "start" || v.wanted.AutoStart) {
			names = append(names, name)
		}
	}
	a.mu.Unlock()
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { errs[i] = a.one(ctx, kind, name, p, limit) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// one has one server do something.
func (a *Agent) one(ctx context.Context, kind, name string, p parameters, limit time.Duration) error {
	if _, err := a.supervisor.Of(name); err != nil {
		return err
	}
	graceful := min(a.config.StopTimeout, limit)
	for _, given := range []*float64{p.SuspendTimeout, p.Timeout} {
		if given != nil && *given >= 0 {
			graceful = time.Duration(*given * float64(time.Second))
		}
	}
	wait := p.Blocking == nil || *p.Blocking
	switch kind {
	case "start", "restart":
		if err := errors.Join(a.runnable(name), a.setOrder(name, plan.OrderStart)); err != nil {
			return err
		}
		switch {
		case kind == "restart" && wait:
			return a.supervisor.Restart(ctx, name, graceful)
		case kind == "restart":
			go func() { _ = a.supervisor.Restart(context.WithoutCancel(ctx), name, graceful) }() // its end is in the status
			return nil
		case wait:
			return a.supervisor.Start(ctx, name)
		}
		return a.supervisor.Begin(name)
	case "stop", "kill", "destroy":
		if err := a.setOrder(name, plan.OrderStop); err != nil {
			return err
		}
		switch {
		case kind == "kill":
			return a.supervisor.Kill(ctx, name)
		case kind == "destroy":
			return a.supervisor.Destroy(ctx, name)
		case !wait:
			a.poke() // the loop stops it
			return nil
		}
		return a.supervisor.Stop(ctx, name, graceful)
	case "reload":
		return a.supervisor.Reload(ctx, name, limit)
	case "suspend":
		return a.supervisor.Suspend(ctx, name, graceful)
	case "resume":
		return a.supervisor.Resume(ctx, name)
	}
	return problem.Unsupported.Errorf("cannot %s server %q: unknown order (known: start, stop, restart, reload, suspend, resume, kill, destroy, read-log, list-log-files, read-log-file, support-bundle, host-reload, host-shutdown)", kind, name)
}

// runnable refuses to start what cannot run as it is configured.
func (a *Agent) runnable(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if v := a.servers[name]; v != nil && v.problem != "" {
		return problem.Precondition.Errorf("cannot start server %q: %s", name, v.problem)
	}
	return nil
}
