package boot

import (
	"context"
	"errors"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// managementBinding is opened by whoever serves the management interface, once.
const managementBinding = "management-http"

// life is one life of an Alone's services, from a reload to the next.
type life struct {
	*Alone
	current servergroups.ServerConfig  // what runs
	pending *servergroups.ServerConfig // what a reload would run
	good    servergroups.ServerConfig  // what the last life that became ready began with
	asked   *order                     // the reload that ended the life before
	failure error                      // why that reload was taken back
	started bool
	ready   func()
	settle  func() // ends the waiting of a suspension, nil when there is none
}

// restore takes a reload back, whose configuration does not start: the next life
// begins as the last one that became ready did. What was wanted waits on.
func (l *life) restore(cause error) {
	l.failure = problem.WithHint(problem.Precondition.Errorf("cannot reload: %w", cause),
		"the server runs as it was started before; change what it cannot start with, or :revert it")
	if l.pending == nil { // nothing newer came meanwhile
		wanted := l.current
		l.pending = &wanted
	}
	l.current = l.good
}

// run lives once. When it returns nil, asked is the reload that ended it, or
// nil when it was told to stop.
func (l *life) run(ctx context.Context) error {
	l.started = false
	// Services end after they have been drained, not with ctx.
	services, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	gen, err := newGeneration(services, environment{
		process: l.process,
		say:     func(message string) { l.Log.Info().Msg(message) },
	}, l.current)
	if err != nil {
		return err
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- gen.run(services, func() { close(ready) }) }()
	if ended, err := l.serve(ctx, gen, ready, done); ended {
		return err
	}
	limited, stop := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer stop()
	if gen.suspend(limited) != nil {
		l.Log.Warn().Dur("limit", drainLimit).Msg("not every request finished in time")
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve reacts to what happens until the services are to end, or have ended.
func (l *life) serve(ctx context.Context, gen generation, ready <-chan struct{}, done <-chan error) (ended bool, err error) {
	for {
		select {
		case <-ready:
			ready = nil
			l.begin(gen)
		case o := <-l.orders:
			if o.configure != nil {
				o.answer <- l.configure(gen, *o.configure)
				continue
			}
			if !l.started {
				o.answer <- problem.Precondition.Errorf("cannot do it: the server is starting")
				continue
			}
			if o.suspend != nil || o.resume {
				l.admit(ctx, gen, o)
				continue
			}
			l.become("starting")
			l.asked = &o
			return false, nil
		case err := <-done:
			if err == nil {
				err = problem.Internal.Errorf("the server ended by itself")
			}
			return true, err
		case <-ctx.Done():
			l.become("stopping")
			l.asked = nil
			return false, nil
		}
	}
}

// admit closes the gate or opens it. Requests inside finish meanwhile: the server
// goes on listening to orders.
func (l *life) admit(ctx context.Context, gen generation, o order) {
	if l.settle != nil { // an earlier suspension no longer waits
		l.settle()
		l.settle = nil
	}
	if o.resume {
		gen.resume()
		l.suspends("", resumed)
		l.Log.Info().Msg("resumed")
		o.answer <- nil
		return
	}
	l.suspends("", suspending)
	limit := *o.suspend
	if limit <= 0 {
		limit = drainLimit
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	over := make(chan struct{})
	l.settle = func() { cancel(); <-over }
	go func() {
		defer close(over)
		defer cancel()
		err := gen.suspend(limited)
		if err == nil {
			l.suspends(suspending, suspended)
		} else {
			err = problem.Timeout.Errorf("cannot wait for all requests: some were still inside after %s; no new ones are taken", limit)
		}
		o.answer <- err
	}()
	l.Log.Info().Dur("limit", limit).Msg("suspended")
}

// begin opens the gate; whoever asked for this life is told.
func (l *life) begin(gen generation) {
	l.started, l.good = true, l.current
	l.become(l.needs())
	gen.resume()
	l.suspends("", resumed)
	l.ready()
	if l.asked != nil {
		l.Log.Info().Msg("started anew")
		l.asked.answer <- l.failure
		l.asked, l.failure = nil, nil
	}
}

// configure applies a configuration live, or lets it wait.
func (l *life) configure(gen generation, cfg servergroups.ServerConfig) error {
	effect, _ := servergroups.Effect(l.current, cfg)
	if effect > profiles.Live {
		l.pending = &cfg
	} else if err := gen.apply(cfg); err != nil {
		return err
	} else {
		l.current, l.pending = cfg, nil
	}
	if l.started {
		l.become(l.needs())
	}
	l.Log.Info().Str("needs", effect.String()).Msg("the configuration changed")
	return nil
}

// needs is the state of a server that runs: what its configuration waits for.
// The management interface's own port is opened once a process.
func (l *life) needs() string {
	wanted := l.current
	if l.pending != nil {
		wanted = *l.pending
	}
	effect, _ := servergroups.Effect(l.current, wanted)
	switch {
	case effect == profiles.Restart, l.first.Bindings[managementBinding] != wanted.Bindings[managementBinding]:
		return "restart-required"
	case effect == profiles.Reload, l.pending != nil:
		return "reload-required"
	}
	return "running"
}
