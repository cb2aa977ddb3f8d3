package boot

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Alone is one server by itself: no agent, no cluster. Whoever keeps its tree
// tells it of changes; what can change while it runs does, the rest waits for
// a reload, as in a domain. Its methods are safe for concurrent use.
type Alone struct {
	process
	resolve func(profiles.Tree) (servergroups.ServerConfig, error)
	first   servergroups.ServerConfig
	orders  chan order
	over    chan struct{} // closed when Run has ended
	stop    context.CancelFunc
	stopped context.Context

	mu         sync.Mutex
	state      string
	suspension string // RUNNING, SUSPENDING, SUSPENDED
	restart    bool
}

// order is something that a running server is told; a zero one is a reload.
type order struct {
	configure *servergroups.ServerConfig
	suspend   *time.Duration // how long requests inside may take before the answer
	resume    bool
	answer    chan error // of one
}

// NewAlone prepares a server for a tree. resolve turns a tree into what a
// server boots from; it adds what comes from elsewhere, as flags.
func NewAlone(p Process, tree profiles.Tree, resolve func(profiles.Tree) (servergroups.ServerConfig, error)) (*Alone, error) {
	cfg, err := resolve(tree)
	if err != nil {
		return nil, err
	}
	a := &Alone{
		process: p.named(cfg.Host+"."+cfg.Name, cfg.Site), resolve: resolve, first: cfg,
		orders: make(chan order), over: make(chan struct{}), state: "starting", suspension: resumed,
	}
	a.stopped, a.stop = context.WithCancel(context.Background())
	return a, nil
}

// Check refuses a tree that this server could not read, before anybody keeps
// it. It looks at no file and no port.
func (a *Alone) Check(tree profiles.Tree) error {
	cfg, err := a.resolve(tree)
	if err != nil {
		return err
	}
	if _, ok := cfg.Get(identityName); !ok { // a load balancer
		if _, err := readLogging(cfg, a.Dir); err != nil {
			return err
		}
		_, err := staticBackends(cfg)
		return err
	}
	if _, err := readSettings(cfg, a.Dir); err != nil {
		return err
	}
	_, err = features(a.Dir, cfg)
	return err
}

// Configure takes over what changes live; State tells what the rest needs.
func (a *Alone) Configure(ctx context.Context, tree profiles.Tree) error {
	cfg, err := a.resolve(tree)
	if err != nil {
		return err
	}
	return a.give(ctx, order{configure: &cfg})
}

// Reload ends the services and starts them with the configuration that waits.
// It returns when they are ready. When they cannot start they are started as
// they were before, and the error says why.
func (a *Alone) Reload(ctx context.Context) error { return a.give(ctx, order{}) }

// Suspend takes no new requests from now on. It waits until those inside are
// done, for limit at the most; they may go on after that.
func (a *Alone) Suspend(ctx context.Context, limit time.Duration) error {
	return a.give(ctx, order{suspend: &limit})
}

// Resume takes requests again.
func (a *Alone) Resume(ctx context.Context) error { return a.give(ctx, order{resume: true}) }

// Shutdown ends Run. With restart, Restarting reports that the program is to be
// started again.
func (a *Alone) Shutdown(restart bool) {
	a.mu.Lock()
	a.restart = restart
	a.mu.Unlock()
	a.stop()
}

// Restarting reports whether Shutdown asked for a restart.
func (a *Alone) Restarting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.restart
}

// WildFly's words for a server that takes requests, and for one that does not.
const (
	resumed    = "RUNNING"
	suspending = "SUSPENDING" // requests are still inside
	suspended  = "SUSPENDED"
)

// State is starting, running, reload-required, restart-required or stopping;
// suspension is RUNNING, SUSPENDING or SUSPENDED.
func (a *Alone) State() (state, suspension string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state, a.suspension
}

func (a *Alone) become(state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = state
}

// suspends notes a step of a suspension; from, if not empty, is what it must
// follow on.
func (a *Alone) suspends(from, to string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if from == "" || from == a.suspension {
		a.suspension = to
	}
}

// give hands an order to the running server and waits for the answer.
func (a *Alone) give(ctx context.Context, o order) error {
	o.answer = make(chan error, 1)
	gone := problem.Unavailable.Errorf("cannot do it: the server is stopping")
	select {
	case a.orders <- o:
	case <-a.over:
		return gone
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.answer:
		return err
	case <-a.over:
		return gone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run serves until ctx ends, a part fails or Shutdown is called. It calls ready
// once, when the first requests are answered.
func (a *Alone) Run(ctx context.Context, ready func()) error {
	defer close(a.over)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.stopped, cancel)()
	l := life{Alone: a, current: a.first, ready: sync.OnceFunc(ready)}
	for {
		err := l.run(ctx)
		switch {
		case err != nil && !l.started && l.asked != nil && l.failure == nil && ctx.Err() == nil:
			a.Log.Error().Err(err).Msg("cannot reload; starting as before")
			l.restore(err)
		case err != nil || l.asked == nil:
			return err
		case l.pending != nil:
			l.current, l.pending = *l.pending, nil
		}
	}
}
