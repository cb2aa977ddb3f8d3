package cluster

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

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

// plane is the data plane: one link to each peer that we call or that calls us.
type plane struct {
	node *Node
	ctx  context.Context // of the answers to others, until close
	end  context.CancelFunc

	mu       sync.Mutex
	handlers map[string]Handler
	peers    map[string]*peer
	closed   bool
}

// peer is what connects us with one member. Either side makes the link when it
// first needs one; when both do at the same moment there are two for a while.
type peer struct {
	mu      sync.Mutex
	ours    *link // made by this member, to addr
	addr    string
	theirs  *link         // the last that the other has made
	called  chan struct{} // closed when the other has made one
	dialing *dialing
	packets [][]byte                 // to be sent when there is a link
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
	ctx, end := context.WithCancel(context.Background())
	return &plane{node: n, ctx: ctx, end: end, handlers: map[string]Handler{}, peers: map[string]*peer{}}
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

// serve uses a link that a peer has made until it ends.
func (p *plane) serve(ctx context.Context, conn net.Conn, from string) {
	pr, err := p.peer(from)
	if err != nil { // this server is leaving
		conn.Close()
		return
	}
	l := newLink(conn, p.node.clock(), p.node.waitFor())
	pr.mu.Lock()
	if pr.theirs == nil {
		close(pr.called)
	}
	pr.theirs = l // one from before ends by itself, when the peer hangs up
	pr.send(l)
	pr.mu.Unlock()
	l.serve(ctx, p.side(l, from))
}

// side is what this member does with what comes over a link.
func (p *plane) side(l *link, from string) peerSide {
	return peerSide{
		answer: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			return p.answer(ctx, from, name, payload)
		},
		receive: func(packet []byte) { p.node.gossip.receive(l.conn, packet) },
	}
}

func (p *plane) peer(name string) (*peer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, problem.Unavailable.Errorf("cannot call %s: this server is leaving the cluster", name)
	}
	if p.peers[name] == nil {
		p.peers[name] = &peer{called: make(chan struct{}), turns: map[string]chan struct{}{}}
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

// send queues one packet for a member, until there is a link to it.
func (p *plane) send(name, addr string, packet []byte) {
	pr, err := p.peer(name)
	if err != nil {
		return
	}
	to, known := p.node.lookup(name)
	if !known {
		to = Member{Name: name, DataAddr: addr}
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if l := pr.alive(to.DataAddr); l != nil {
		l.trySend(packet)
		return
	}
	if len(pr.packets) < packetQueue {
		pr.packets = append(pr.packets, bytes.Clone(packet))
	}
	p.attempt(p.ctx, pr, to)
}

// connect gives the live link to a member, or makes one.
func (p *plane) connect(ctx context.Context, pr *peer, to Member) (*link, error) {
	pr.mu.Lock()
	if l := pr.alive(to.DataAddr); l != nil {
		pr.mu.Unlock()
		return l, nil
	}
	d := p.attempt(ctx, pr, to)
	pr.mu.Unlock()
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// alive is a link that can be used, or nil; pr.mu is held.
func (pr *peer) alive(addr string) *link {
	if pr.ours != nil && pr.addr != addr {
		pr.ours.close(errors.New("the member has moved"))
	}
	for _, l := range []*link{pr.ours, pr.theirs} {
		if l != nil && l.alive() {
			return l
		}
	}
	return nil
}

// send sends the packets that have waited for a link; pr.mu is held.
func (pr *peer) send(l *link) {
	for _, packet := range pr.packets {
		l.trySend(packet)
	}
	pr.packets = nil
}

// attempt is the attempt to connect that is under way; pr.mu is held. It outlives
// the caller that needed it first.
func (p *plane) attempt(ctx context.Context, pr *peer, to Member) *dialing {
	if pr.dialing != nil {
		return pr.dialing
	}
	d := &dialing{done: make(chan struct{})}
	if p.isClosed() { // looked at under pr.mu: close finds every attempt
		d.err = net.ErrClosed
		close(d.done)
		return d
	}
	ctx, d.cancel = context.WithTimeout(context.WithoutCancel(ctx), p.node.waitFor())
	pr.dialing = d
	go p.dial(ctx, pr, to, d)
	return d
}

func (p *plane) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

func (p *plane) dial(ctx context.Context, pr *peer, to Member, d *dialing) {
	defer d.cancel()
	if p.isCalled(ctx, pr, to) {
		pr.mu.Lock()
		defer pr.mu.Unlock()
		pr.dialing, d.link = nil, pr.theirs
		close(d.done)
		return
	}
	conn, err := p.node.dial(ctx, to.DataAddr, to.Name, forLink)
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.dialing = nil
	switch {
	case err != nil:
		d.err = err
		pr.packets = nil
	case p.isClosed():
		d.err = errors.Join(net.ErrClosed, conn.Close())
	default:
		d.link = newLink(conn, p.node.clock(), p.node.waitFor())
		pr.ours, pr.addr = d.link, to.DataAddr
		pr.send(d.link)
		go d.link.serve(p.ctx, p.side(d.link, to.Name))
	}
	close(d.done)
}

// isCalled waits a moment for a younger member that has never called us to do it:
// it asks all others when it joins, so that one of the two links is spared.
func (p *plane) isCalled(ctx context.Context, pr *peer, to Member) bool {
	if to.Born <= p.node.self.Born {
		return false
	}
	pr.mu.Lock()
	first := pr.ours == nil && pr.theirs == nil
	pr.mu.Unlock()
	if !first {
		return false
	}
	t := p.node.clock().NewTimer(p.node.waitFor() / 4)
	defer t.Stop()
	select {
	case <-pr.called:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// refused reports whether a member's address proves that its process is gone.
func (p *plane) refused(ctx context.Context, m Member) bool {
	conn, err := p.node.dial(ctx, m.DataAddr, m.Name, forProof)
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
	for _, l := range pr.links() {
		l.close(errors.New("the member is lost"))
	}
}

// links are those that there are, used up or not; pr.mu is held.
func (pr *peer) links() []*link {
	return slices.DeleteFunc([]*link{pr.ours, pr.theirs}, func(l *link) bool { return l == nil })
}

// flush waits until what is queued for the peers is written, also where the link
// is only being made, at most until limit fires.
func (p *plane) flush(limit <-chan time.Time) {
	over := make(chan struct{})
	p.mu.Lock()
	peers := slices.Collect(maps.Values(p.peers))
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, pr := range peers {
		wg.Go(func() { pr.flush(over) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-limit:
	}
	close(over)
	<-done
}

func (pr *peer) flush(limit <-chan struct{}) {
	pr.mu.Lock()
	d := pr.dialing
	pr.mu.Unlock()
	if d != nil {
		select {
		case <-d.done:
		case <-limit:
		}
	}
	pr.mu.Lock()
	links := pr.links()
	pr.mu.Unlock()
	for _, l := range links {
		l.flush(limit)
	}
}

// close ends all connections and waits for their goroutines.
func (p *plane) close() {
	p.mu.Lock()
	p.closed = true
	peers := p.peers
	p.mu.Unlock()
	p.end()
	for _, pr := range peers {
		pr.mu.Lock()
		d := pr.dialing
		pr.mu.Unlock()
		if d != nil {
			d.cancel()
			<-d.done
		}
		pr.mu.Lock()
		links := pr.links()
		pr.mu.Unlock()
		for _, l := range links {
			l.close(net.ErrClosed)
			<-l.ended
		}
	}
}
