// Package controllerlink owns the agent's link to the domain's controllers: it
// joins the domain once, keeps and renews the host's certificate, holds one
// standing stream and fails over to another controller when it breaks. It must
// not know what snapshots and orders mean, nor where the identity is stored.
package controllerlink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// Back-off between rounds over all controllers: doubled from the first to the
// last, each drawn from its upper half so that hosts that lost the same
// controller do not come back together.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 15 * time.Second
	// dialTimeout bounds reaching one controller, so that a silent one does
	// not keep the host from the next.
	dialTimeout = 5 * time.Second
	// steady: a link that stood this long is made anew without a pause; one
	// that breaks sooner would else be made again and again.
	steady = 2 * time.Second
	// skewLimit: a skew above this is warned of; certificates and codes are
	// checked against clocks.
	skewLimit = 500 * time.Millisecond
)

// Handler is what the link serves: the agent. Its methods are called from one
// goroutine a link, Order from one of its own.
type Handler interface {
	// Hello introduces the host on a new link.
	Hello() *hostlink.Hello
	// Snapshot takes in what the host shall be. The answer goes back.
	Snapshot(*hostlink.Snapshot) *hostlink.Acknowledge
	Directory(*hostlink.Directory)
	// Statuses is the whole list of the host's servers; nil when it is not
	// known yet.
	Statuses() *hostlink.ServerStatuses
	// Facts are of the machine now; asked for with each probe.
	Facts() *hostlink.Facts
	// Order does what an operator wants; ctx ends when it is cancelled, the link
	// breaks, or the answer is on its way. output sends a piece of a long answer.
	Order(ctx context.Context, o *hostlink.Order, output func([]byte) error) (result []byte, err error)
	// Linked hears of each change of State.
	Linked(State)
}

// Identities keeps the host's key and certificates between runs.
type Identities interface {
	Identity() ([]byte, error)
	SaveIdentity([]byte) error
}

// Config is what a Link rests on.
type Config struct {
	Host         string
	Installation string
	// Addresses are the controllers, host:port. More are learned from them.
	Addresses []string
	// Join authenticates a host without certificate; nil: it must have one.
	Join       *Token
	Identities Identities
	Handler    Handler
	// MustJoin: Run fails when the domain refuses the host (rather than trying
	// again), because it has nothing to work from.
	MustJoin bool
	// Trusts, if not nil, hears which authorities of the domain (PEM, the issuing
	// one first) count: at the start what is known, and each change.
	Trusts func(authorities []byte)
	Clock  clock.Clock
	// Rand gives numbers in [0,1) for the back-off.
	Rand func() float64
	Log  zerolog.Logger
}

// State is how the link stands.
type State struct {
	Connected  bool
	Controller string // the address of the present one
	// Since is when Connected last changed; the agent's start at first.
	Since time.Time
	// Problem is why there is no controller.
	Problem string
	// Skew is how far this host's clock was ahead of the controller's when it
	// last asked, the way of one message included; nil before the first.
	Skew *time.Duration
}

// String says it for people: "no controller since ...".
func (s State) String() string {
	if s.Connected {
		return "connected to " + s.Controller + " since " + s.Since.Format(time.RFC3339)
	}
	text := "no controller since " + s.Since.Format(time.RFC3339)
	if s.Problem != "" {
		text += ": " + s.Problem
	}
	return text
}

// Link is a host's link to its domain.
type Link struct {
	config   Config
	changed  chan struct{} // statuses are to be sent
	trusting chan struct{} // what the host trusts and shows is to be sent
	renewing chan struct{} // the certificate may be due

	mu        sync.Mutex
	state     State
	identity  *certs.Identity
	stored    bundle // of identity
	addresses []string
	conn      *grpc.ClientConn // of the standing link
	skew      *time.Duration
}

// New makes a link that Run establishes.
func New(c Config) *Link {
	return &Link{config: c, changed: make(chan struct{}, 1), trusting: make(chan struct{}, 1), renewing: make(chan struct{}, 1), addresses: slices.Clone(c.Addresses),
		state: State{Since: c.Clock.Now(), Problem: "not reached yet"}}
}

// State is how the link stands now.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := l.state
	state.Skew = l.skew
	return state
}

// skewed takes in a measured skew and warns when it comes to pass the limit,
// not with each probe.
func (l *Link) skewed(skew time.Duration) {
	l.mu.Lock()
	before := l.skew
	l.skew = &skew
	l.mu.Unlock()
	switch was := before != nil && before.Abs() > skewLimit; {
	case skew.Abs() > skewLimit && !was:
		l.config.Log.Warn().Dur("skew_ms", skew).Msg("this host's clock differs from the controller's")
	case skew.Abs() <= skewLimit && was:
		l.config.Log.Info().Dur("skew_ms", skew).Msg("this host's clock agrees with the controller's again")
	}
}

// Changed has the statuses reported soon; many calls make one report.
func (l *Link) Changed() { wake(l.changed) }

// Run keeps the link until ctx ends. It fails only when the domain refuses the
// host and Config.MustJoin is set.
func (l *Link) Run(ctx context.Context) error {
	if len(l.config.Addresses) == 0 {
		return problem.Invalid.Errorf("cannot reach the domain: host %q names no controller address", l.config.Host)
	}
	if err := l.loadIdentity(); err != nil {
		l.config.Log.Error().Err(err).Msg("the stored identity of this host cannot be used")
	}
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { l.keepRenewed(ctx) })
	defer renewing.Wait()
	defer cancel()
	pause, said := firstPause, map[string]string{}
	for ctx.Err() == nil {
		began := l.config.Clock.Now()
		worked, refusal := l.round(ctx, said)
		switch {
		case ctx.Err() != nil:
			return nil
		case worked && clock.Since(l.config.Clock, began) >= steady:
			pause, said = firstPause, map[string]string{}
			continue
		case refusal != nil && !worked && l.config.MustJoin:
			return refusal
		}
		jittered := pause/2 + time.Duration(l.config.Rand()*float64(pause/2))
		if clock.Sleep(ctx, l.config.Clock, jittered) != nil {
			return nil
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}

// round tries each controller once. It tells whether a link stood for a while,
// and otherwise whether the domain refused the host. said is what was logged of
// each controller.
func (l *Link) round(ctx context.Context, said map[string]string) (worked bool, refusal error) {
	for _, address := range l.known() {
		err := l.try(ctx, address, &worked)
		if ctx.Err() != nil {
			return worked, nil
		}
		if err != nil && !worked {
			level := zerolog.WarnLevel
			if err.Error() == said[address] {
				level = zerolog.DebugLevel // once is enough for a night without a controller
			}
			said[address] = err.Error()
			l.config.Log.WithLevel(level).Err(err).Str("controller", address).Msg("no link to this controller")
		}
		l.disconnected(err)
		if worked { // the next round begins with another one
			l.rotate(address)
			return true, nil
		}
		if refused(err) {
			refusal = err
		}
	}
	return false, refusal
}

// refused tells an answer of the domain from a controller that is not there.
func refused(err error) bool {
	switch problem.KindOf(err) {
	case problem.Unauthorized, problem.Forbidden, problem.Conflict, problem.NotFound, problem.Invalid:
		return err != nil
	}
	return false
}

// try joins where that is needed, and holds the link until it breaks.
func (l *Link) try(ctx context.Context, address string, worked *bool) error {
	id := l.usable()
	if id == nil {
		var err error
		if id, err = l.join(ctx, address); err != nil {
			return err
		}
	}
	err := l.connect(ctx, address, id, worked)
	if !*worked && problem.Is(err, problem.Unauthorized) && l.config.Join != nil {
		// The certificate counts no more (revoked, or of an authority that was
		// replaced), but the join token may.
		l.config.Log.Warn().Err(err).Msg("the domain does not accept this host's certificate: joining again")
		if id, err = l.join(ctx, address); err == nil {
			err = l.connect(ctx, address, id, worked)
		}
	}
	return err
}

// known is the controllers to try: the configured ones, then the learned.
func (l *Link) known() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.addresses)
}

// rotate puts a controller that was lost behind the others.
func (l *Link) rotate(lost string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.addresses, lost); i >= 0 {
		l.addresses = append(slices.Clone(l.addresses[i+1:]), l.addresses[:i+1]...)
	}
}

// learn takes in the addresses of all controllers. The configured ones stay:
// they are what the operator can correct.
func (l *Link) learn(addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range addresses {
		if !slices.Contains(l.addresses, a) {
			l.addresses = append(l.addresses, a)
		}
	}
	l.addresses = slices.DeleteFunc(l.addresses, func(a string) bool {
		return !slices.Contains(l.config.Addresses, a) && !slices.Contains(addresses, a)
	})
}

func (l *Link) connected(address string, conn *grpc.ClientConn) {
	l.mu.Lock()
	l.conn = conn
	l.state = State{Connected: true, Controller: address, Since: l.config.Clock.Now()}
	state := l.state
	l.mu.Unlock()
	l.config.Log.Info().Str("controller", address).Msg("linked to a controller")
	l.config.Handler.Linked(state)
}

func (l *Link) disconnected(err error) {
	l.mu.Lock()
	if l.state.Connected {
		l.state = State{Since: l.config.Clock.Now()}
		l.config.Log.Warn().Err(err).Msg("lost the controller")
	}
	l.conn = nil
	if err != nil {
		l.state.Problem = err.Error()
	}
	state := l.state
	l.mu.Unlock()
	l.config.Handler.Linked(state)
}

// Sign gets a certificate for one of this host's servers ("" for the host
// itself) from the present controller.
func (l *Link) Sign(ctx context.Context, server string, request []byte) (certificate, authority []byte, err error) {
	l.mu.Lock()
	conn, state := l.conn, l.state
	l.mu.Unlock()
	if conn == nil {
		return nil, nil, problem.Unavailable.Errorf("cannot get a certificate for server %q: %s", server, state)
	}
	c, err := hostlink.NewHostLinkClient(conn).Sign(ctx, &hostlink.SignRequest{CertificateRequest: request, Server: server})
	if err != nil {
		return nil, nil, problem.FromGRPC(err)
	}
	if len(c.GetCertificate()) == 0 || len(c.GetAuthority()) == 0 {
		return nil, nil, problem.Internal.Errorf("cannot get a certificate for server %q: the controller's answer is empty", server)
	}
	return c.GetCertificate(), c.GetAuthority(), nil
}

// keepRenewed renews the host's certificate when two thirds of its life have
// passed or another authority issues now, and tries again every minute, or with
// the next link, where that fails.
func (l *Link) keepRenewed(ctx context.Context) {
	tick := l.config.Clock.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-l.renewing:
		}
		l.mu.Lock()
		id, conn := l.identity, l.conn
		l.mu.Unlock()
		if id == nil || conn == nil || !id.Due() {
			continue
		}
		if err := l.renew(ctx, id); err != nil && !errors.Is(err, context.Canceled) {
			l.config.Log.Error().Err(err).Time("due", id.RenewAt()).Msg("cannot renew the host's certificate")
		}
	}
}

func (l *Link) renew(ctx context.Context, id *certs.Identity) error {
	key, err := certs.NewKey()
	if err != nil {
		return err
	}
	request, err := key.Request()
	if err != nil {
		return err
	}
	certificate, authority, err := l.Sign(ctx, "", request)
	if err != nil {
		return err
	}
	authority = id.Preferred(certificate, authority)
	l.mu.Lock()
	joined := l.stored.Joined
	l.mu.Unlock()
	if err := l.saveIdentity(key, certificate, authority, joined); err != nil {
		return err
	}
	if err := id.Renew(key, certificate, authority); err != nil {
		return err
	}
	l.config.Log.Info().Str("host", l.config.Host).Str("authority", id.Issuer()).Msg("renewed the host's certificate")
	wake(l.trusting)
	return nil
}

// holderOf is the name in a host's certificate.
func holderOf(host string) string { return certs.URI("host", host).String() }

// notOurs is why a stored certificate is not used.
func notOurs(host, holder string) error {
	return fmt.Errorf("it is of %s, this host is %s", holder, holderOf(host))
}
