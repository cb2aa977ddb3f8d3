package supervisor

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// waiter is an order that waits for a server to arrive somewhere.
type waiter struct {
	ctx   context.Context
	until func(Status) (bool, error)
	done  chan error
}

// wake tells the waiters that have arrived.
func (v *server) wake() {
	kept := v.waiting[:0]
	for _, w := range v.waiting {
		if w.ctx.Err() != nil {
			continue
		}
		arrived, err := w.until(v.status)
		if !arrived && err == nil && v.ending {
			err = problem.Unavailable.Errorf("cannot wait for server %q: the agent is stopping", v.name)
		}
		if arrived || err != nil {
			w.done <- err
			continue
		}
		kept = append(kept, w)
	}
	v.waiting = kept
}

// order runs f in the server's goroutine and waits until the server has
// arrived, f has failed or ctx ends.
func (s *Supervisor) order(ctx context.Context, name, what string, f func(*server) error, until func(Status) (bool, error)) error {
	v, err := s.find(name)
	if err != nil {
		return err
	}
	w := &waiter{ctx: ctx, until: until, done: make(chan error, 1)}
	var refused error
	if err := v.do(ctx, func() {
		if refused = f(v); refused == nil && until != nil {
			v.waiting = append(v.waiting, w)
		}
	}); err != nil {
		return err
	}
	if refused != nil || until == nil {
		return refused
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		at := v.snapshot()
		return problem.Timeout.Errorf("cannot %s server %q in time: it is %s (%s)", what, name, at.State, at.Message)
	case <-v.done:
		return problem.Unavailable.Errorf("cannot %s server %q: the agent is stopping", what, name)
	}
}

// started is where a start arrives. One that ends by itself first has failed,
// and is tried again all the same.
func started(s Status) (bool, error) {
	switch s.State {
	case Started, Suspended:
		return true, nil
	case Backoff, Failed:
		return false, problem.Precondition.Errorf("cannot start server %q: %s", s.Name, s.Message)
	}
	return false, nil
}

func stopped(s Status) (bool, error) { return s.State == Stopped || s.State == Disabled, nil }

// Start starts a server and waits until it is ready or ctx ends; a server that
// runs already is fine.
func (s *Supervisor) Start(ctx context.Context, name string) error {
	return s.order(ctx, name, "start", (*server).start, started)
}

// Begin is Start without waiting for anything.
func (s *Supervisor) Begin(name string) error {
	return s.order(context.Background(), name, "start", (*server).start, nil)
}

func (v *server) start() error {
	switch {
	case v.status.State == Stopping:
		v.again = true
		return nil
	case v.queued, v.status.State.Running():
		return nil
	}
	v.tries, v.status.Restarts = 0, 0
	if v.turns.ask(v) {
		return v.enter()
	}
	v.queued = true
	v.status.Message = "is started when others have been: so many start at the same time already"
	return nil
}

// Stop stops a server gracefully and waits until its process has ended: it is
// asked to stop over its Link, then gets SIGTERM, and SIGKILL after timeout
// and a grace. A server that does not run is fine, and stays down.
func (s *Supervisor) Stop(ctx context.Context, name string, timeout time.Duration) error {
	return s.order(ctx, name, "stop", func(v *server) error { return v.stop(timeout) }, stopped)
}

// Restart is Stop, then Start.
func (s *Supervisor) Restart(ctx context.Context, name string, timeout time.Duration) error {
	if err := s.Stop(ctx, name, timeout); err != nil {
		return err
	}
	return s.Start(ctx, name)
}

// Kill ends a server with SIGKILL and leaves it down.
func (s *Supervisor) Kill(ctx context.Context, name string) error {
	return s.order(ctx, name, "kill", func(v *server) error { return v.end(unix.SIGKILL) }, stopped)
}

// Destroy ends a server with SIGTERM, without asking it to stop first, and
// leaves it down.
func (s *Supervisor) Destroy(ctx context.Context, name string) error {
	return s.order(ctx, name, "destroy", func(v *server) error { return v.end(unix.SIGTERM) }, stopped)
}

// end takes the server down by a signal, now.
func (v *server) end(sig unix.Signal) error {
	if v.halt() {
		return v.process.signal(sig, sig == unix.SIGKILL)
	}
	return nil
}

// halt turns towards a stop and tells whether there is a process to end.
func (v *server) halt() bool {
	v.again = false
	if v.queued {
		v.queued, v.status.Message = false, ""
		v.turns.end(v)
	}
	if v.status.State == Stopped || v.status.State == Disabled {
		return false
	}
	_ = v.step(Stop, "stopping")
	if v.process == nil && !v.spec.AutoStart {
		_ = v.step(Disable, "")
	}
	return v.process != nil
}

func (v *server) stop(timeout time.Duration) error {
	leave := v.leave()
	twice := v.status.State == Stopping
	if !v.halt() || twice {
		return nil
	}
	h, t := v.process, v.config.Timing
	if !v.reported {
		_ = h.signal(unix.SIGTERM, false) // it has no ear yet
	} else {
		v.after(&v.watches, leave, func() {
			v.command("stop", timeout, func(err error) {
				grace := t.Grace
				if err != nil {
					grace = 0
				}
				v.after(&v.watches, grace, func() { _ = h.signal(unix.SIGTERM, false) })
			})
		})
	}
	v.after(&v.watches, leave+timeout+t.Grace, func() {
		v.why = "did not stop in time"
		_ = h.signal(unix.SIGKILL, true)
	})
	return nil
}

// leave is how long the balancers have to take the server out before it is
// told: no time where it does not serve.
func (v *server) leave() time.Duration {
	if v.status.State == Started {
		return v.config.Timing.Leave
	}
	return 0
}

// command has the server do something and gives its answer to then, if it
// still is the same process.
func (v *server) command(kind string, timeout time.Duration, then func(error)) {
	h, name, link := v.process, v.spec.Name, v.config.Link
	v.working, v.said = true, ""
	go func() {
		err := link.Command(context.Background(), name, kind, timeout)
		v.post(func() {
			if v.process == h {
				v.working = false
				then(err)
			}
		})
	}()
}

// Reload has a server boot its configuration again in the same process, and
// waits until it is ready.
func (s *Supervisor) Reload(ctx context.Context, name string, timeout time.Duration) error {
	return s.directed(ctx, name, Reload, "reload", Ready, timeout)
}

// Suspend has a server finish what it has and take nothing new, and waits
// until it is quiet.
func (s *Supervisor) Suspend(ctx context.Context, name string, timeout time.Duration) error {
	return s.directed(ctx, name, Suspend, "suspend", Quiet, timeout)
}

// Resume has a suspended server serve again.
func (s *Supervisor) Resume(ctx context.Context, name string) error {
	const resume = 30 * time.Second // opens what it closed; nothing to drain
	return s.directed(ctx, name, "", "resume", Ready, resume)
}

// directed gives a running server a command: first leads to the state of the
// work ("" where there is none), then to where success leads.
func (s *Supervisor) directed(ctx context.Context, name string, first Event, kind string, then Event, timeout time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	err := s.order(ctx, name, kind, func(v *server) error {
		say := func(err error) { v.answers = append(v.answers, func() { answer <- err }) }
		if v.working {
			return problem.Precondition.Errorf("cannot %s server %q: it is busy with an earlier command", kind, name)
		}
		if first == "" && v.status.State != Suspended {
			if v.status.State == Started {
				say(nil)
				return nil
			}
			return problem.Precondition.Errorf("cannot %s server %q: it is %s", kind, name, v.status.State)
		}
		leave := v.leave()
		if first != "" {
			if err := v.step(first, kind); err != nil {
				return err
			}
		}
		if first == Reload {
			v.boundStart()
		}
		v.working = true
		begun := v.status.State
		v.after(&v.watches, leave, func() {
			if v.status.State != begun { // a stop has overtaken it
				say(problem.Precondition.Errorf("cannot %s server %q: it is %s", kind, name, v.status.State))
				return
			}
			v.command(kind, timeout, func(err error) {
				v.settle(kind, then, err)
				say(err)
			})
		})
		return nil
	}, nil)
	if err != nil {
		return err
	}
	gone := func(st Status) (bool, error) { return !st.State.Running(), nil }
	crashed := make(chan error, 1)
	go func() { crashed <- s.order(ctx, name, kind, func(*server) error { return nil }, gone) }()
	select {
	case err := <-answer:
		if err != nil || kind != "reload" {
			return err
		}
		return s.order(ctx, name, kind, func(*server) error { return nil }, reloaded)
	case err := <-crashed:
		if err != nil {
			return err
		}
		return problem.Unavailable.Errorf("cannot %s server %q: its process ended meanwhile", kind, name)
	}
}

// reloaded is where a reload arrives.
func reloaded(s Status) (bool, error) {
	if s.State == Reloading {
		return false, nil
	}
	return started(s)
}

// settle takes the server's answer to a command.
func (v *server) settle(kind string, then Event, err error) {
	switch {
	case v.status.State == Stopping: // overtaken
	case err == nil && kind == "reload" && v.said != "ready":
		// The answer says that it begins; "ready" will say that it is done.
	case err == nil:
		_ = v.step(then, "")
	case kind == "suspend" && v.said == "suspended":
		_ = v.step(Quiet, err.Error()) // in time or not, it is quiet
	case v.status.State == Reloading || v.status.State == Suspending:
		_ = v.step(Refused, "could not "+kind+": "+err.Error())
	}
}
