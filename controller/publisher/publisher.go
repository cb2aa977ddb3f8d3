// Package publisher turns each revision of the domain into one immutable,
// checked snapshot per host, and keeps the links to the hosts that this
// controller serves: snapshots, the directory and orders go down; acknowledgements
// and statuses come up. What is known of each host is in its HostState.
//
// Every controller publishes to the hosts connected to it. The leader also sees
// the hosts of the others, through their relays, and makes the directory.
//
// It knows nothing of raft, of who may change the domain, or of how a rollout
// decides.
package publisher

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// Source is the replicated domain as this controller has it.
type Source interface {
	// Model is the newest tree, its revision, and a channel that is closed when
	// there is a newer one.
	Model() (tree profiles.Tree, revision uint64, newer <-chan struct{})
}

// Registrar enters a host's own file into the domain.
type Registrar interface {
	// Register applies the operations (JSON) that make /host=<name>, if they
	// would change anything.
	Register(ctx context.Context, host string, operations []byte) error
}

// Config says what a Publisher needs; every field is required.
type Config struct {
	Source    Source
	Registrar Registrar
	// Knows reports whether the domain has a host of that name, or awaits it.
	Knows func(host string) bool
	// Version is the program's, for people.
	Version string
	Clock   clock.Clock
	Log     zerolog.Logger
}

// Publisher serves this controller's hosts. It is safe for concurrent use.
type Publisher struct {
	source    Source
	registrar Registrar
	knows     func(host string) bool
	speaks    hostlink.Speaks
	clock     clock.Clock
	log       zerolog.Logger

	mu      sync.Mutex
	hosts   map[string]*host
	changed chan struct{} // closed and replaced when a HostState changes
	taps    map[*tap]bool
	relays  map[*relay]bool

	published   map[string]snapshot // by host: the newest good one
	controllers []string
	trust       *hostlink.Trust // nil: not known yet
	leads       bool
	leadsSince  time.Time
	complete    bool                           // the directory may be made: see heardFromAll
	directory   *hostlink.Directory            // of the whole domain
	sites       map[string]*hostlink.Directory // what servers of a site need of it
	orders      map[string]*pending

	offered Offered
}

// Offered is what was published since the start: snapshots offered to the hosts
// of this controller, and their size together.
type Offered struct{ Snapshots, Bytes uint64 }

// Offered tells what was published.
func (p *Publisher) Offered() Offered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offered
}

// host is what is known of one host and how it is reached.
type host struct {
	state HostState
	route route // nil: not connected
	told  bool  // its servers, over this route
	hello *hostlink.Hello
}

// route is a way to a host: a link of this controller, or a relay of another.
type route interface {
	// instruct passes an order or a cancellation on without waiting.
	instruct(host string, i *hostlink.Instruction) error
	// end closes the route to a host; why is told to the host.
	end(host string, why error)
}

// HostState is what is known of one host.
type HostState struct {
	Name         string
	Connected    bool
	Since        time.Time // of the last change of Connected
	Installation string
	Boot         string
	Version      string
	Address      string
	Facts        *hostlink.Facts
	// Revision, Checksum: the newest snapshot that the host acknowledged.
	Revision uint64
	Checksum string
	// Problem is why the host refused a newer snapshot, or "".
	Problem string
	// Wanted is the checksum of the newest snapshot published to the host; ""
	// when another controller publishes to it.
	Wanted  string
	Servers []*hostlink.ServerStatus // not to be changed
	// Trusted is what the host said of the domain's authorities; nil before it did.
	Trusted *hostlink.Trusted
	// Skew is how far the host's clock is ahead of ours, at least.
	Skew time.Duration
}

// New makes a Publisher.
func New(cfg Config) *Publisher {
	return &Publisher{
		source:    cfg.Source,
		registrar: cfg.Registrar,
		knows:     cfg.Knows,
		speaks:    hostlink.Speaks{Oldest: hostlink.OldestProtocol, Newest: hostlink.NewestProtocol, Version: cfg.Version},
		clock:     cfg.Clock,
		log:       cfg.Log,
		hosts:     map[string]*host{},
		changed:   make(chan struct{}),
		taps:      map[*tap]bool{},
		relays:    map[*relay]bool{},
		published: map[string]snapshot{},
		orders:    map[string]*pending{},
		directory: &hostlink.Directory{},
	}
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { p.publishAll(ctx) })
	parts.Go(func() { p.directAll(ctx) })
	parts.Wait()
	return nil
}

// Hosts gives the state of every host of the domain that was ever seen since this
// controller started, by name, and a channel that is closed when one changes.
func (p *Publisher) Hosts() (map[string]HostState, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]HostState, len(p.hosts))
	for name, h := range p.hosts {
		all[name] = h.state
	}
	return all, p.changed
}

// Host gives the state of one host and a channel that is closed when any
// changes.
func (p *Publisher) Host(name string) (HostState, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[name]; h != nil {
		return h.state, p.changed
	}
	return HostState{Name: name}, p.changed
}

// Installation implements authority.Presence.
func (p *Publisher) Installation(name string) (string, bool) {
	s, _ := p.Host(name)
	return s.Installation, s.Connected
}

// SetControllers tells all hosts where the controllers are.
func (p *Publisher) SetControllers(addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.controllers = addresses
	for _, h := range p.hosts {
		if l, ok := h.route.(*link); ok {
			l.offer(func(o *outbox) { o.controllers = addresses })
		}
	}
}

// SetTrust tells all hosts which authorities (PEM, the issuing one first) count.
func (p *Publisher) SetTrust(authorities []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trust = &hostlink.Trust{Authorities: authorities}
	for _, h := range p.hosts {
		if l, ok := h.route.(*link); ok {
			l.offer(func(o *outbox) { o.trust = p.trust })
		}
	}
}

// CutOff ends the links of this controller's hosts that have not said that they
// show a certificate of one of these authorities (fingerprints). One that could
// show it connects again.
func (p *Publisher) CutOff(trusted []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, h := range p.hosts {
		if l, ours := h.route.(*link); ours && !slices.Contains(trusted, h.state.Trusted.GetIssuer()) {
			l.end(name, problem.WithHint(
				problem.Unauthorized.Errorf("cannot keep the link of host %s: its certificate is of an authority that the domain does not trust any more", name),
				"join again with a new token: :add-host(name=%s) on a controller", name))
		}
	}
}

// Recheck ends the links of this controller's hosts that may be connected no more,
// and forgets hosts that were removed. It is called whenever that may have changed.
func (p *Publisher) Recheck() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetRemoved()
	for name, h := range p.hosts {
		if l, ours := h.route.(*link); ours {
			if err := l.allowed(); err != nil {
				l.end(name, err)
			}
		}
	}
}

// notify wakes those who watch HostStates; p.mu is held.
func (p *Publisher) notify() {
	close(p.changed)
	p.changed = make(chan struct{})
}
