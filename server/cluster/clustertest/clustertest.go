// Package clustertest owns a cluster in memory whose network obeys the test:
// members join, leave, die and are cut off when it says so. It is never
// compiled into the product.
package clustertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// Net is a network of members.
type Net struct {
	mu    sync.Mutex
	nodes map[string]*Node
	born  int64
	cut   map[[2]string]chan struct{} // closed when healed
	delay func() time.Duration
}

// NewNet makes a network without members.
func NewNet() *Net { return &Net{nodes: map[string]*Node{}, cut: map[[2]string]chan struct{}{}} }

// Delay makes each message take as long as delay says; it is called for every
// request and every reply, by several goroutines.
func (t *Net) Delay(delay func() time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delay = delay
}

func (t *Net) travel() {
	t.mu.Lock()
	delay := t.delay
	t.mu.Unlock()
	if delay != nil {
		time.Sleep(delay())
	}
}

// Node is one member: it has the methods of *cluster.Node that others use.
type Node struct {
	net  *Net
	self cluster.Member
	dead chan struct{}

	mu       sync.Mutex
	handlers map[string]cluster.Handler
	view     cluster.View
	changed  chan struct{}
}

// Start makes a member that sees only itself. One of a name that died before
// may start again.
func (t *Net) Start(name string) *Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.born++
	n := &Node{
		net: t, self: cluster.Member{Name: name, Server: name, DataAddr: name, Born: t.born}, dead: make(chan struct{}),
		handlers: map[string]cluster.Handler{}, changed: make(chan struct{}),
	}
	n.view = cluster.View{Members: []cluster.Member{n.self}}
	t.nodes[name] = n
	return n
}

// See gives each of the named members the view that holds exactly them, and
// in it the named departed ones.
func (t *Net) See(names []string, departed ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	view := cluster.View{}
	for _, name := range names {
		view.Members = append(view.Members, t.nodes[name].self)
	}
	for _, name := range departed {
		view.Departed = append(view.Departed, t.nodes[name].self)
	}
	cluster.SortByAge(view.Members)
	cluster.SortByAge(view.Departed)
	for _, name := range names {
		t.nodes[name].show(view)
	}
}

func (n *Node) show(view cluster.View) {
	n.mu.Lock()
	defer n.mu.Unlock()
	view.Number = n.view.Number + 1
	view.Members, view.Departed = slices.Clone(view.Members), slices.Clone(view.Departed)
	n.view = view
	close(n.changed)
	n.changed = make(chan struct{})
}

// Kill ends a member's process: calls to it are refused, those in flight are
// lost. Views change only when the test says so.
func (t *Net) Kill(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.nodes[name].dead)
}

// Cut breaks the network between two members: calls hang until Heal.
func (t *Net) Cut(a, b string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	broken := make(chan struct{})
	t.cut[[2]string{a, b}], t.cut[[2]string{b, a}] = broken, broken
}

// Heal mends all that is cut.
func (t *Net) Heal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	closed := map[chan struct{}]bool{}
	for _, c := range t.cut {
		if !closed[c] {
			close(c)
			closed[c] = true
		}
	}
	clear(t.cut)
}

// Self is as in cluster.Node.
func (n *Node) Self() cluster.Member { return n.self }

// View is as in cluster.Node.
func (n *Node) View() (cluster.View, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.view, n.changed
}

// Handle is as in cluster.Node.
func (n *Node) Handle(name string, h cluster.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[name] = h
}

// Call is as in cluster.Node.
func (n *Node) Call(ctx context.Context, node, name string, payload []byte) ([]byte, error) {
	n.net.mu.Lock()
	to := n.net.nodes[node]
	broken := n.net.cut[[2]string{n.self.Name, node}]
	n.net.mu.Unlock()
	if to == nil {
		return nil, problem.Unavailable.Errorf("cannot call %s on %s: no such member", name, node)
	}
	if broken != nil {
		select {
		case <-broken:
			return nil, problem.Unavailable.Errorf("cannot call %s on %s: the connection was lost", name, node)
		case <-n.dead:
			return nil, problem.Unavailable.Errorf("cannot call %s on %s: this process is dead", name, node)
		case <-ctx.Done():
			return nil, problem.Timeout.Errorf("cannot call %s on %s: %w", name, node, ctx.Err())
		}
	}
	select {
	case <-to.dead:
		return nil, problem.Unavailable.Errorf("cannot call %s on %s: %w", name, node, cluster.ErrRefused)
	case <-n.dead:
		return nil, problem.Unavailable.Errorf("cannot call %s on %s: this process is dead", name, node)
	default:
	}
	return n.deliver(ctx, to, name, slices.Clone(payload))
}

// deliver runs the handler; its effects stay even when the reply is lost.
func (n *Node) deliver(ctx context.Context, to *Node, name string, payload []byte) ([]byte, error) {
	to.mu.Lock()
	h := to.handlers[name]
	to.mu.Unlock()
	if h == nil {
		return nil, problem.Unsupported.Errorf("cannot call %s on %s: this server does not know it", name, to.self.Name)
	}
	type reply struct {
		payload []byte
		err     error
	}
	done := make(chan reply, 1)
	go func() {
		n.net.travel()
		select {
		case <-to.dead:
			return
		default:
		}
		payload, err := h(ctx, n.self.Name, payload)
		n.net.travel()
		done <- reply{payload, err}
	}()
	lost := problem.Unavailable.Errorf("cannot learn what became of %s on %s: the connection was lost", name, to.self.Name)
	select {
	case r := <-done:
		select {
		case <-to.dead: // it died before its reply left
			return nil, lost
		case <-n.dead:
			return nil, lost
		default:
		}
		return r.payload, r.err
	case <-to.dead:
		return nil, lost
	case <-n.dead:
		return nil, lost
	case <-ctx.Done():
		return nil, problem.Timeout.Errorf("cannot wait longer for %s on %s: %w", name, to.self.Name, ctx.Err())
	}
}
