package cluster

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// ErrRefused is in the chain of a call's error when the member's process is
// surely gone: its address refuses connections or belongs to another server.
var ErrRefused = errors.New("its process is gone")

const (
	// MaxPayload bounds one call's payload and one reply, in bytes. Send more
	// in parts: a large frame holds up the small ones behind it.
	MaxPayload = 16 << 20
	// maxCalls bounds the calls of one name that wait for one member at a
	// time; further callers wait for their turn. It is counted for each name
	// so that calls which cause other calls cannot starve those.
	maxCalls = 1024
)

// plane is the data plane: one connection to each peer for the calls we make,
// and one from each for those we answer.
type plane struct {
	node *Node

	mu       sync.Mutex
	handlers map[string]Handler
	peers    map[string]*peer
	closed   bool
}

// peer is the connection to one member, made when first needed.
type peer struct {
	mu      sync.Mutex
	link    *link
	addr    string
	dialing *dialing
	turns   map[string]chan struct{} // by call name
}

// dialing is one attempt to connect that several callers wait for.
type dialing struct {
	done   chan struct{}
	cancel context.CancelFunc
	link   *link
	err    error
}

func newPlane(n *Node) *plane {
	return &plane{node: n, handlers: map[string]Handler{}, peers: map[string]*peer{}}
}

func (p *plane) handle(name string, h Handler) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[name] = h
}

// local answers a call of this member to itself.
func (p *plane) local(ctx context.Context, name string, payload []byte) ([]byte, error) {
	return p.answer(ctx, p.node.self.Name, name, payload)
}

func (p *plane) answer(ctx context.Context, from, name string, payload []byte) ([]byte, error) {
	p.mu.Lock()
	h := p.handlers[name]
	p.mu.Unlock()
	if h == nil {
		return nil, problem.Unsupported.Errorf("cannot call %s on %s: this server does not know it", name, p.node.self.Name)
	}
	return h(ctx, from, payload)
}

// serve answers the calls of one peer until it hangs up.
func (p *plane) serve(ctx context.Context, conn net.Conn, from string) {
	l := newLink(conn, p.node.clock(), p.node.waitFor())
	l.serve(ctx, func(ctx context.Context, name string, payload []byte) ([]byte, error) {
		return p.answer(ctx, from, name, payload)
	})
}

func (p *plane) peer(name string) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, problem.Unavailable.Errorf("cannot call %s: this server is leaving the cluster", name)
	}
	if p.peers[name] == nil {
		p.peers[name] = &peer{turns: map[string]chan struct{}{}}
	}
	return p.peers[name], nil
}

func (p *plane) call(ctx context.Context, to Member, name string, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, problem.TooLarge.Errorf("cannot call %s on %s: %d bytes, at most %d", name, to.Name, len(payload), MaxPayload)
	}
	pr, err := p.peer(to.Name)
	if err != nil {
		return nil, err
	}
	turn := pr.turn(name)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, problem.Timeout.Errorf("cannot call %s on %s: too many calls wait for it: %w", name, to.Name, ctx.Err())
	}
	l, err := p.connect(ctx, pr, to)
	if err != nil {
		if isGone(err) {
			err = errors.Join(ErrRefused, err)
		}
		return nil, problem.Unavailable.Errorf("cannot call %s on %s: %w", name, to.Name, err)
	}
	reply, err := l.call(ctx, name, payload)
	if e := (*problem.Error)(nil); err != nil && !errors.As(err, &e) {
		err = problem.Unavailable.Errorf("cannot learn what became of %s on %s: %w", name, to.Name, err)
	}
	return reply, err
}

func (pr *peer) turn(name string) chan struct{} {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.turns[name] == nil {
		pr.turns[name] = make(chan struct{}, maxCalls)
	}
	return pr.turns[name]
}

// connect gives the live connection to a member, or makes one.
func (p *plane) connect(ctx context.Context, pr *peer, to Member) (*link, error) {
	pr.mu.Lock()
	if pr.link != nil && pr.addr != to.DataAddr {
		pr.link.close(errors.New("the member has moved"))
	}
	if pr.link != nil && pr.link.alive() {
		l := pr.link
		pr.mu.Unlock()
		return l, nil
	}
	d := pr.dialing
	if d == nil {
		// The attempt outlives the caller that needed it first.
		dialCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.node.waitFor())
		d = &dialing{done: make(chan struct{}), cancel: cancel}
		pr.dialing = d
		go p.dial(dialCtx, pr, to, d)
	}
	pr.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *plane) dial(ctx context.Context, pr *peer, to Member, d *dialing) {
	defer d.cancel()
	conn, err := p.node.dial(ctx, to.DataAddr, to.Name, forCalls)
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.dialing = nil
	switch {
	case err != nil:
		d.err = err
	case closed:
		d.err = errors.Join(net.ErrClosed, conn.Close())
	default:
		d.link = newLink(conn, p.node.clock(), p.node.waitFor())
		pr.link, pr.addr = d.link, to.DataAddr
		go d.link.serve(context.Background(), nil)
	}
	close(d.done)
}

// refused reports whether a member's address proves that its process is gone.
func (p *plane) refused(ctx context.Context, m Member) bool {
	conn, err := p.node.dial(ctx, m.DataAddr, m.Name, forCalls)
	if err == nil {
		conn.Close()
	}
	return isGone(err)
}

// lost frees those who wait for a member that the membership gave up.
func (p *plane) lost(name string) {
	p.mu.Lock()
	pr := p.peers[name]
	p.mu.Unlock()
	if pr == nil {
		return
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.link != nil {
		pr.link.close(errors.New("the member is lost"))
		pr.link = nil
	}
}

// close ends all connections and waits for their goroutines.
func (p *plane) close() {
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.mu.Unlock()
	for _, pr := range peers {
		pr.mu.Lock()
		d := pr.dialing
		if pr.link != nil {
			pr.link.close(net.ErrClosed)
		}
		pr.mu.Unlock()
		if d != nil {
			d.cancel()
			<-d.done
		}
		pr.mu.Lock()
		l := pr.link
		pr.mu.Unlock()
		if l != nil {
			l.close(net.ErrClosed)
			<-l.ended
		}
	}
}
