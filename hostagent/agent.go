// Package hostagent wires the agent of one machine: it keeps the machine's
// servers as the domain wants them, with or without a controller, and tells
// the domain how they are. It owns the loop between what is wanted and what
// there is. It must not know how a controller decides, nor what a server does.
//
// What it rests on: controllerlink brings snapshots and orders, localstate
// keeps them, plan says what to do, supervisor does it, configrelay talks to
// the servers.
package hostagent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/hostagent/configrelay"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/protocol"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Config is what an agent rests on.
type Config struct {
	// Dir holds everything of the host: agent.sock, agent/ and servers/.
	Dir string
	// HostFile is the host's own file: its name, its servers, its controllers.
	HostFile servergroups.HostFile
	// JoinToken is the text of the host's join token; "" where the host has a
	// certificate already, or the host file has the secret.
	JoinToken string
	// Controllers, host:port, go before those of the host file.
	Controllers []string
	// Command runs a server: program and arguments.
	Command []string
	// Spare is a program that is started where Command's cannot be, as while its
	// file is being replaced; "" for none.
	Spare string
	// Env is the environment that servers get, and in which expressions are
	// resolved, name=value.
	Env []string
	// Properties are -D of the command line; they go before all others.
	Properties map[string]string
	// KeepServers leaves the servers running when the agent ends.
	KeepServers bool
	// StopTimeout is what a server has for its requests in flight when the
	// agent ends; 0 means 10 s.
	StopTimeout time.Duration
	// Health is where /health and /metrics of the host are served, host:port;
	// "" for nowhere.
	Health string
	// Version is the program's, for people.
	Version string
	Clock   clock.Clock
	// Rand gives numbers in [0,1) for back-offs.
	Rand func() float64
	Log  zerolog.Logger
	// Recent is what was logged last, JSON lines, for support bundles; nil: it is
	// not kept.
	Recent func() []byte
	// Timing is supervisor.DefaultTiming when zero.
	Timing supervisor.Timing
}

// Agent is the agent of one machine.
type Agent struct {
	config      Config
	host        string
	boot        string // of this agent
	machine     string // the boot of the machine
	store       *localstate.Store
	relay       *configrelay.Relay
	supervisor  *supervisor.Supervisor
	link        *controllerlink.Link
	wake        chan struct{}
	moved       chan struct{}           // the servers' directory is to be made
	end         context.CancelCauseFunc // ends Run
	ending      context.Context         // ended by end
	socket      string
	ready       chan struct{}
	looked      chan struct{} // the loop has looked
	still       atomic.Bool   // it has not for a while
	controllers []string
	operations  []byte // what makes this host in the domain
	lookup      servergroups.Lookup

	look sync.Mutex // held while what there is is made what is wanted
	over bool       // nothing is wanted any more; guarded by look

	mu       sync.Mutex
	snapshot localstate.Snapshot
	parsed   servergroups.HostSnapshot
	servers  map[string]*server
	local    string // the address controllers see us at
	// unheard are the adopted servers that have not reported yet. Until they
	// have, or settleTime has passed, the domain is told nothing: it would take
	// servers that serve out of the balancers.
	unheard   map[string]bool
	directory directory
}

// New opens the host's state. Close it by running it.
func New(c Config) (*Agent, error) {
	if c.StopTimeout == 0 {
		c.StopTimeout = defaultStopTimeout
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	token, addresses, err := domainOf(c)
	if err != nil {
		return nil, err
	}
	described, err := operations(c.HostFile)
	if err != nil {
		return nil, err
	}
	machine, err := supervisor.BootID()
	if err != nil {
		return nil, err
	}
	boot := make([]byte, 16)
	if _, err := rand.Read(boot); err != nil {
		return nil, err
	}
	store, err := localstate.Open(c.Dir)
	if err != nil {
		return nil, err
	}
	a := &Agent{config: c, host: c.HostFile.Name, operations: described, lookup: c.lookup(), boot: hex.EncodeToString(boot), machine: machine, store: store,
		wake: make(chan struct{}, 1), looked: make(chan struct{}, 1), moved: make(chan struct{}, 1), ready: make(chan struct{}), servers: map[string]*server{}, unheard: map[string]bool{}, controllers: addresses}
	a.ending, a.end = context.WithCancelCause(context.Background())
	if a.socket, err = socketIn(c.Dir); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	a.relay = configrelay.New(configrelay.Config{Socket: a.socket,
		Observer: ear{a}, Keys: keys{a}, Signer: signer{a}, Speaks: protocol.Speaks{Version: c.Version}, Clock: c.Clock, Log: c.Log})
	a.supervisor = supervisor.New(supervisor.Config{Link: a.relay, Journal: journal{a}, Notify: a.noticed,
		Clock: c.Clock, Log: c.Log, Timing: c.Timing})
	a.recallDirectory()
	if err := a.recall(); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	a.link = controllerlink.New(controllerlink.Config{Host: a.host, Installation: store.Installation(),
		Addresses: addresses, Join: token, Identities: store, Handler: handler{a},
		MustJoin: a.snapshot.Revision == 0, Trusts: a.relay.Trust, Clock: c.Clock, Rand: c.Rand, Log: c.Log})
	return a, nil
}

// defaultStopTimeout is enough for a login in flight, and short enough for a
// machine that is going down (systemd waits 90 s).
const defaultStopTimeout = 10 * time.Second

// Run keeps the host's servers until ctx ends, and then stops them, unless
// KeepServers. It fails when the domain refuses a host that has nothing to
// work from, and with ErrReload or ErrRestart when the domain wants that.
func (a *Agent) Run(ctx context.Context) error {
	defer func() { _ = a.store.Close() }()
	health, err := a.config.listenHealth()
	if err != nil {
		return err
	}
	socket, err := a.relay.Listen()
	if err != nil {
		if health != nil {
			err = errors.Join(err, health.Close())
		}
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.ending, cancel)()
	a.adopt()
	close(a.ready)
	// Stopped in reverse: the servers end while the domain can still see it.
	list := []tasks.Task{
		{Name: "config relay", Run: func(ctx context.Context) error { return a.relay.Run(ctx, socket) }},
		{Name: "directory", Run: a.direct},
		{Name: "controller link", Run: a.link.Run},
		{Name: "settling", Run: a.settle},
		{Name: "usage", Run: a.measure},
		{Name: "watch", Run: a.watch},
		{Name: "servers", Run: a.keep},
	}
	if health != nil {
		list = append([]tasks.Task{{Name: "health", Run: func(ctx context.Context) error { return a.tellVitals(ctx, health) }}}, list...)
	}
	err = tasks.Run(ctx, list...)
	if why := context.Cause(a.ending); err == nil && why != nil && why != errShutdown {
		return why
	}
	return err
}

// Ready is closed when the agent serves its servers: it has adopted what runs,
// and its socket is open. Whether there is a controller says State.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// standsStill is after how long without a look the loop is taken to hang.
const standsStill = 3 * lookAgain

// Alive fails when the loop that keeps the servers stands still: for a watchdog.
func (a *Agent) Alive() error {
	if a.still.Load() {
		return problem.Internal.Errorf("the agent has not looked after its servers for %s", standsStill)
	}
	return nil
}

// watch sees to it that the loop looks, until ctx ends. It trusts a timer and no
// clock: a clock that is set forward must not have the agent killed.
func (a *Agent) watch(ctx context.Context) error {
	for {
		late := a.config.Clock.NewTimer(standsStill)
		select {
		case <-a.looked:
			a.still.Store(false)
		case <-late.C:
			a.still.Store(true)
		case <-ctx.Done():
			late.Stop()
			return nil
		}
		late.Stop()
	}
}

// State is how the link to the domain stands.
func (a *Agent) State() controllerlink.State { return a.link.State() }

// Servers is the present status of every server of the host.
func (a *Agent) Servers() []*hostlink.ServerStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tellAll().GetServers()
}

// recall takes up the last good snapshot.
func (a *Agent) recall() error {
	snapshot, found, warning, err := a.store.LastSnapshot()
	if warning != nil {
		a.config.Log.Warn().Err(warning).Msg("the newest snapshot is damaged")
	}
	if err != nil {
		// Nothing to work from is not the end: a controller has it.
		a.config.Log.Error().Err(err).Msg("no snapshot can be read")
		return nil
	}
	if !found {
		return nil
	}
	if err := a.accept(snapshot); err != nil {
		a.config.Log.Error().Err(err).Msg("the last good snapshot cannot be used")
	}
	return nil
}

// adopt takes over what an earlier agent left: what runs, and what operators
// had ordered.
func (a *Agent) adopt() {
	remembered, err := a.store.Servers()
	if err != nil {
		a.config.Log.Error().Err(err).Msg("a record of a server is damaged")
	}
	for _, r := range remembered {
		a.mu.Lock()
		v := a.server(r.Name)
		if r.Boot == a.machine {
			v.order = r.Order
		}
		spec := v.spec
		v.exit = r.Exit
		if r.Process != nil {
			v.settings = r.Process.Settings
		}
		a.mu.Unlock()
		if r.Process == nil {
			continue
		}
		a.relay.Restore(r.Name, r.TokenDigest, r.KeyDigest)
		p := supervisor.Process{Server: r.Name, PID: r.Process.PID, StartTicks: r.Process.StartTicks,
			Boot: r.Process.Boot, Executable: r.Process.Executable, Started: r.Process.Started}
		if err := a.supervisor.Adopt(spec, p); err != nil {
			a.config.Log.Info().Err(err).Str("server", r.Name).Msg("not adopted")
			continue
		}
		a.mu.Lock()
		a.unheard[r.Name] = true
		a.directory.waits = true
		a.mu.Unlock()
		a.config.Log.Info().Str("server", r.Name).Int("pid", p.PID).Msg("adopted")
	}
}

// settleTime is what adopted servers have to come back: 25 of their tries.
const settleTime = 5 * time.Second

// settle ends the wait for adopted servers.
func (a *Agent) settle(ctx context.Context) error {
	if err := clock.Sleep(ctx, a.config.Clock, settleTime); err != nil {
		return err
	}
	a.mu.Lock()
	clear(a.unheard)
	a.directory.waits = false
	a.mu.Unlock()
	a.changed()
	return nil
}

// poke has the loop look again.
func (a *Agent) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// forgotten tells that a server was forgotten meanwhile; only those that do not
// run are.
func forgotten(err error) bool {
	return problem.Is(err, problem.NotFound) || problem.Is(err, problem.Unavailable)
}

// stopAll stops every server of the host.
func (a *Agent) stopAll() error {
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, s := range a.supervisor.Status() {
		group.Go(func() {
			if err := a.supervisor.Stop(context.Background(), s.Name, a.config.StopTimeout); err != nil && !forgotten(err) {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
