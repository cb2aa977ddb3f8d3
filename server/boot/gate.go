package boot

import (
	"context"
	"net/http"
	"sync"

	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// gate stands before a server's pages and endpoints. Open, it lets requests in
// and counts them; closed, it answers 503 and lets those inside finish.
type gate struct {
	next http.Handler

	mu     sync.Mutex
	open   bool
	inside int
	empty  chan struct{} // closed when the last one has left a closed gate
}

func newGate(next http.Handler) *gate { return &gate{next: next} }

// ServeHTTP lets a request through an open gate. A closed one says to try
// again: the balancer does, on another server.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.enter() {
		w.Header().Set(loadbalancer.RefusedHeader, "1") // the balancer asks another server, whatever the method
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Connection", "close")
		http.Error(w, "This server takes no new requests at the moment. Please try again.", http.StatusServiceUnavailable)
		return
	}
	defer g.leave()
	g.next.ServeHTTP(w, r)
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.inside++
	}
	return g.open
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// resume opens the gate.
func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
}

// suspend closes the gate and waits until nobody is inside, or ctx ends, whose
// error it then returns.
func (g *gate) suspend(ctx context.Context) error {
	g.mu.Lock()
	g.open = false
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isOpen reports whether requests are let in.
func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
