package publisher

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

const (
	// probeEvery is how often a link's delay and clock skew are measured.
	probeEvery = 30 * time.Second
	// ordersQueued bounds what a slow host may leave unread; more orders are
	// refused. Snapshots and directories do not queue: the newest one wins.
	ordersQueued = 256
)

// Stream is a host's standing link: proto/hostlink Connect.
type Stream interface {
	Send(*hostlink.Instruction) error
	Recv() (*hostlink.Report, error)
	Context() context.Context
}

// link is a host connected to this controller.
type link struct {
	name string
	wake chan struct{} // of capacity 1
	done chan struct{}
	// directed is the directory that was offered last; guarded by the publisher.
	directed *hostlink.Directory
	// allowed says why the host may be connected no more; nil: it may.
	allowed func() error

	feed hostlink.DirectoryFeed // only the sender's

	mu  sync.Mutex
	out outbox
	why error // why the link was ended
}

// outbox is what is to be sent next.
type outbox struct {
	welcome     *hostlink.Welcome
	snapshot    *hostlink.Snapshot
	directory   *hostlink.Directory
	lost        bool // the host cannot use a change of the directory
	controllers []string
	trust       *hostlink.Trust
	queue       []*hostlink.Instruction
	probe       bool
}

func newLink(hello *hostlink.Hello, allowed func() error) *link {
	return &link{allowed: allowed, name: hello.GetHost(), wake: make(chan struct{}, 1), done: make(chan struct{}),
		feed: hostlink.DirectoryFeed{Changes: hello.GetDirectoryChanges()}}
}

// offer changes the outbox and wakes the sender.
func (l *link) offer(change func(*outbox)) {
	l.mu.Lock()
	change(&l.out)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) instruct(_ string, i *hostlink.Instruction) error {
	full := false
	l.offer(func(o *outbox) {
		if full = len(o.queue) >= ordersQueued; !full {
			o.queue = append(o.queue, i)
		}
	})
	if full {
		return problem.Unavailable.Errorf("cannot give host %s an order: it has %d unread ones", l.name, ordersQueued)
	}
	return nil
}

// redirect sends the whole directory again to a host that cannot use a change.
func (l *link) redirect(d *hostlink.Directory) {
	l.offer(func(o *outbox) {
		o.lost = true
		if o.directory == nil {
			o.directory = d
		}
	})
}

func (l *link) end(_ string, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == nil {
		l.why = why
		close(l.done)
	}
}

func (l *link) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

// Serve keeps a host's link until it ends. The host was authenticated as name;
// allowed says why it may be connected no more, or nil: see Recheck.
func (p *Publisher) Serve(name string, stream Stream, allowed func() error) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil || hello.Host != name {
		return problem.Invalid.Errorf("cannot connect host %s: its first message is not its own hello", name)
	}
	protocol, err := p.negotiate(hello)
	if err != nil {
		return err
	}
	if len(hello.HostOperations) > 0 {
		if err := p.registrar.Register(stream.Context(), name, hello.HostOperations); err != nil {
			return err
		}
	}
	l := newLink(hello, allowed)
	l.offer(func(o *outbox) { o.welcome = &hostlink.Welcome{Protocol: protocol, Version: p.speaks.Version} })
	if err := p.up(l, hello); err != nil {
		return err
	}
	defer p.down(name, l)
	if err := allowed(); err != nil { // what was decided before it was up, Recheck did not see it
		return err
	}
	p.welcome(l, hello)
	received := make(chan error, 1)
	go func() { received <- p.receive(l, stream) }()
	return p.send(l, stream, received)
}

// negotiate refuses a host with which this controller has no protocol in
// common, before anything of it counts. Its servers run on without us.
func (p *Publisher) negotiate(hello *hostlink.Hello) (protocol uint32, err error) {
	theirs := hello.Protocols()
	if protocol = hostlink.Negotiate(p.speaks, theirs); protocol > 0 {
		return protocol, nil
	}
	first := "the host's agent"
	if theirs.Oldest > p.speaks.Newest {
		first = "the controllers"
	}
	p.log.Error().Str("host", hello.Host).Stringer("agent", theirs).Stringer("controller", p.speaks).Msg("refused a host: no protocol in common")
	return 0, problem.WithHint(
		problem.Unsupported.Errorf("cannot connect host %s: its agent speaks %s, this controller %s", hello.Host, theirs, p.speaks),
		"upgrade %s first, one minor version at a time", first)
}

// send writes the outbox to the stream until the link ends.
func (p *Publisher) send(l *link, stream Stream, received <-chan error) error {
	probe := p.clock.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		select {
		case <-l.wake:
			for _, i := range l.take(p.clock) {
				if err := stream.Send(i); err != nil {
					return err
				}
			}
		case <-probe.C:
			l.offer(func(o *outbox) { o.probe = true })
		case <-l.done:
			return l.ended()
		case err := <-received:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// take empties the outbox: after the welcome orders first, they are small and someone waits.
func (l *link) take(c clock.Clock) []*hostlink.Instruction {
	l.mu.Lock()
	out := l.out
	l.out = outbox{}
	l.mu.Unlock()
	var list []*hostlink.Instruction
	if out.welcome != nil {
		list = append(list, &hostlink.Instruction{Instruction: &hostlink.Instruction_Welcome{Welcome: out.welcome}})
	}
	if out.trust != nil {
		list = append(list, &hostlink.Instruction{Instruction: &hostlink.Instruction_Trust{Trust: out.trust}})
	}
	list = append(list, out.queue...)
	if out.controllers != nil {
		list = append(list, &hostlink.Instruction{Instruction: &hostlink.Instruction_Controllers{Controllers: &hostlink.Controllers{Addresses: out.controllers}}})
	}
	if out.snapshot != nil {
		list = append(list, &hostlink.Instruction{Instruction: &hostlink.Instruction_Snapshot{Snapshot: out.snapshot}})
	}
	if out.lost {
		l.feed.Lost()
	}
	if out.directory != nil {
		if i := l.feed.Next(out.directory); i != nil {
			list = append(list, i)
		}
	}
	if out.probe {
		list = append(list, &hostlink.Instruction{Instruction: &hostlink.Instruction_Probe{Probe: &hostlink.Probe{SentUnixNs: c.Now().UnixNano()}}})
	}
	return list
}

func (p *Publisher) receive(l *link, stream Stream) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		p.report(l.name, l, r)
	}
}

// welcome offers a new link all that it may lack.
func (p *Publisher) welcome(l *link, hello *hostlink.Hello) {
	p.refresh(l.name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[l.name]; h != nil && p.directory.Version > 0 {
		p.offerDirectory(l, h)
	}
	s, ok := p.published[l.name]
	l.offer(func(o *outbox) {
		o.controllers, o.trust, o.probe = p.controllers, p.trust, true
		if ok && (s.wire.Checksum != hello.Checksum || s.wire.Revision < hello.Revision) {
			o.snapshot = s.wire
		}
	})
}
