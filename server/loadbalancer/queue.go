package loadbalancer

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// scoutEvery is how often the servers are asked while requests wait for one:
	// a refused connection costs microseconds, and nobody feels the delay.
	scoutEvery = 50 * time.Millisecond
	// closedFor is how long a server without a health check is left alone that
	// refused a request: it accepts connections and can only be asked by a
	// request.
	closedFor = 250 * time.Millisecond
)

// What became of requests that no server could take at once.
const (
	queueSent    = "sent"    // to the first server that came
	queueExpired = "expired" // none came in time
	queueGone    = "gone"    // the client, or the request's own limit
	queueRefused = "refused" // the queue was full, or there was nobody to wait for
)

// queue is the requests that wait until a server can be reached; pool.mu guards
// it.
type queue struct {
	waiting int
	better  chan struct{} // closed when a server may take requests that took none
	asking  bool          // a scout is on its way, or called
	call    chan struct{} // holds a token to call one
}

func newQueue() queue { return queue{better: make(chan struct{}), call: make(chan struct{}, 1)} }

// improved has everyone that waits try again.
func (q *queue) improved() {
	if q.waiting > 0 {
		close(q.better)
		q.better = make(chan struct{})
	}
}

// enter counts a request in, if it may wait: there is room, and hope.
func (p *pool) enter(s *Settings) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.MaxQueueTime <= 0 || p.queue.waiting >= s.MaxQueued || !p.hopeful(s.MaxQueueTime) {
		return false
	}
	p.queue.waiting++
	if !p.queue.asking {
		p.queue.asking = true
		p.queue.call <- struct{}{}
	}
	return true
}

// hopeful reports whether there is a server to wait for: one that is not dead,
// or that was lost no longer ago than one waits, and may be starting anew.
func (p *pool) hopeful(wait time.Duration) bool {
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.State != Dead }) || p.clock.Now().Sub(p.lost) < wait
}

func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.waiting--
}

// better is closed when it is worth trying again.
func (p *pool) better() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.better
}

// scout asks the servers that cannot be reached again and again, as long as
// somebody waits.
func (p *pool) scout(ctx context.Context, transport http.RoundTripper) {
	tick := p.clock.NewTicker(scoutEvery)
	defer tick.Stop()
	for {
		var asked sync.WaitGroup
		for _, m := range p.shut() {
			health, address := m.Health, m.URL // under the lock in shut: they change with the set
			asked.Go(func() {
				if health != nil && probe(ctx, transport, health.String()) == well || health == nil && listens(ctx, address) {
					p.probed(m.member, well)
				}
			})
		}
		asked.Wait()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if p.deserted() {
			return
		}
	}
}

// suspect is a member as it was when it was chosen to be asked.
type suspect struct {
	*member
	Health, URL *url.URL
}

// shut are the members to ask: those that take requests, if they could be
// reached, also when it is time to try them again: nobody else may do so.
func (p *pool) shut() (out []suspect) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	for _, m := range p.members {
		if m.State.takes() && m.suspect() && (m.Health != nil || now.Sub(m.closed) >= closedFor) {
			out = append(out, suspect{m, m.Health, m.URL})
		}
	}
	return out
}

// suspect reports whether the member has answered nothing since it failed.
func (m *member) suspect() bool { return !m.ejected.IsZero() || !m.closed.IsZero() }

// deserted reports whether nobody waits; the next one that does calls a scout.
func (p *pool) deserted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.asking = p.queue.waiting > 0
	return !p.queue.asking
}

// reachable reports whether there is a server that nothing is known against.
func (p *pool) reachable() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	return slices.ContainsFunc(p.members, func(m *member) bool { return m.open(now) })
}

// listens reports whether a server accepts connections.
func listens(ctx context.Context, address *url.URL) bool {
	host := address.Host
	if address.Port() == "" {
		host = net.JoinHostPort(address.Hostname(), defaultPort(address.Scheme))
	}
	conn, err := (&net.Dialer{Timeout: connectLimit}).DialContext(ctx, "tcp", host)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
