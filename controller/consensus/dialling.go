package consensus

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// dialPatience is how long one attempt to connect may take, and how long a
// connection that came too late for the one who asked is kept for the next. Who
// asks waits transportTimeout. On a machine so busy that a TLS handshake takes
// longer, attempts that were thrown away each time would only make it busier,
// and no leader would ever be elected.
const dialPatience = 5 * transportTimeout

// dialling connects to the other controllers. An attempt that is not over when
// its caller gives up goes on; what it comes to is the next caller's.
type dialling struct {
	dial func(ctx context.Context, to string) (net.Conn, error)
	ctx  context.Context // ends with close
	end  context.CancelFunc
	runs sync.WaitGroup

	mu    sync.Mutex
	peers map[string]*attempts
}

// attempts are those to reach one peer.
type attempts struct {
	running int            // not over yet
	waiting []chan reached // callers, in order; each of capacity 1
	late    []*spare
}

// reached is what an attempt came to.
type reached struct {
	conn net.Conn
	err  error
}

// spare is a connection that nobody waited for any more.
type spare struct {
	conn  net.Conn
	taken chan struct{}
}

func newDialling(dial func(ctx context.Context, to string) (net.Conn, error)) *dialling {
	d := &dialling{dial: dial, peers: map[string]*attempts{}}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// connect gives a connection of its own to each caller, or an error once limit
// has passed.
func (d *dialling) connect(to string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, limit)
	defer cancel()
	conn, mine := d.ask(to)
	if conn != nil {
		return conn, nil
	}
	select {
	case r := <-mine:
		return r.conn, r.err
	case <-ctx.Done():
	}
	if r, came := d.leave(to, mine); came {
		return r.conn, r.err
	}
	return nil, problem.Timeout.Errorf("cannot connect to controller at %s yet: no connection within %s", to, limit)
}

// ask takes a connection that is there, or enters the caller, and begins an
// attempt unless one is under way that nobody else waits for.
func (d *dialling) ask(to string) (net.Conn, chan reached) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.peers[to]
	if p == nil {
		p = &attempts{}
		d.peers[to] = p
	}
	if n := len(p.late); n > 0 {
		s := p.late[n-1] // the newest: most likely still up
		p.late = p.late[:n-1]
		close(s.taken)
		return s.conn, nil
	}
	mine := make(chan reached, 1)
	p.waiting = append(p.waiting, mine)
	if p.running < len(p.waiting) && d.ctx.Err() == nil {
		p.running++
		d.runs.Go(func() { d.attempt(to, p) })
	}
	return nil, mine
}

// leave takes a caller out who has waited long enough. came: it was answered at
// that very moment.
func (d *dialling) leave(to string, mine chan reached) (r reached, came bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.peers[to]
	p.waiting = slices.DeleteFunc(p.waiting, func(w chan reached) bool { return w == mine })
	select {
	case r = <-mine:
		return r, true
	default:
		return r, false
	}
}

func (d *dialling) attempt(to string, p *attempts) {
	ctx, cancel := context.WithTimeout(d.ctx, dialPatience)
	defer cancel()
	conn, err := d.dial(ctx, to)
	s := d.hand(p, reached{conn, err})
	if s == nil {
		return
	}
	keep, done := context.WithTimeout(d.ctx, dialPatience)
	defer done()
	select {
	case <-s.taken:
	case <-keep.Done():
		d.drop(p, s)
	}
}

// hand gives what an attempt came to, to the first who waits. A connection that
// nobody waits for is kept; a failure then is nobody's.
func (d *dialling) hand(p *attempts, r reached) *spare {
	d.mu.Lock()
	defer d.mu.Unlock()
	p.running--
	if len(p.waiting) > 0 {
		p.waiting[0] <- r
		p.waiting = p.waiting[1:]
		return nil
	}
	if r.err != nil {
		return nil
	}
	s := &spare{r.conn, make(chan struct{})}
	p.late = append(p.late, s)
	return s
}

// drop closes a connection that nobody took.
func (d *dialling) drop(p *attempts, s *spare) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i := slices.Index(p.late, s); i >= 0 {
		p.late = slices.Delete(p.late, i, i+1)
		_ = s.conn.Close() // never used
	}
}

// close ends all attempts.
func (d *dialling) close() {
	d.mu.Lock()
	d.end() // from now on none begins
	d.mu.Unlock()
	d.runs.Wait()
}
