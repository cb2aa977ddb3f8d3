package loadbalancer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// RefusedHeader in a 503 response says that the server has done nothing with
// the request and that another may take it: a server that is being suspended
// answers so. Such requests are sent elsewhere whatever their method.
const RefusedHeader = "Gatehouse-Refused"

// errNoBackend is the failure to find any server.
var errNoBackend = errors.New("no server is there to take the request")

// errTooLong is the cause of a request that took longer than Settings.Limit.
var errTooLong = errors.New("the request took too long")

// trip is what became of one request; it travels in the request's context.
type trip struct {
	route    string
	attempts int
	sticky   bool
}

type tripKey struct{}

// dispatcher sends one request to one backend after another until one
// responds.
type dispatcher struct {
	pool     *pool
	settings func() *Settings
	next     http.RoundTripper
	metrics  *metrics
	budget   *budget
	log      zerolog.Logger
}

// RoundTrip implements http.RoundTripper. The request's URL has no host yet.
func (d *dispatcher) RoundTrip(r *http.Request) (*http.Response, error) {
	t, _ := r.Context().Value(tripKey{}).(*trip)
	if t == nil {
		t = &trip{}
	}
	body, err := newBody(r)
	if err != nil {
		return nil, err
	}
	d.budget.earn()
	settings := d.settings()
	routes := routesIn(r, settings.Cookies)
	var tried []*member
	err = errNoBackend
	for t.attempts < settings.Attempts {
		m, sticky := d.pool.pick(routes, tried)
		if m == nil {
			return nil, err
		}
		t.route, t.sticky = m.Route, sticky
		t.attempts++
		tried = append(tried, m)
		resp, connected, failure := d.try(r, m, body)
		if failure == nil && resp.Header.Get(RefusedHeader) == "" {
			return resp, nil
		}
		if failure == nil { // refused: it is leaving, whatever the domain said last
			if t.attempts == settings.Attempts || !body.again() || !d.budget.spend() {
				resp.Header.Del(RefusedHeader)
				return resp, nil
			}
			resp.Body.Close()
			err = errNoBackend
			continue
		}
		err = failure
		if tooLong(r.Context()) {
			d.pool.failed(m, false)
			return nil, errTooLong
		}
		if r.Context().Err() != nil {
			return nil, err // the client has gone: nobody's fault
		}
		if d.pool.failed(m, !connected) {
			d.metrics.ejected(m.Route)
			d.log.Warn().Err(err).Str("server", m.Route).Msg("a server does not answer; leaving it alone for a while")
		}
		// A request that never reached a server can be sent again, and one
		// that changes nothing (RFC 9110 9.2.1).
		if connected && !safe(r.Method) || !body.again() || !d.budget.spend() {
			return nil, err
		}
		d.metrics.retried(m.Route)
	}
	return nil, err
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// try sends the request to one member. connected reports whether a connection
// was there to write it to.
func (d *dispatcher) try(r *http.Request, m *member, body *body) (resp *http.Response, connected bool, err error) {
	var got atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { got.Store(true) }})
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host = m.URL.Scheme, m.URL.Host
	if m.URL.Path != "" && m.URL.Path != "/" {
		out.URL = m.URL.JoinPath(out.URL.EscapedPath())
		out.URL.RawQuery = r.URL.RawQuery
	}
	out.Body, out.GetBody = body.reader(), body.get()
	d.pool.sent(m, out)
	resp, err = d.next.RoundTrip(out)
	d.pool.ended(m, out, judge(r, resp, err))
	if err != nil {
		d.pool.release(m)
		return nil, got.Load(), err
	}
	d.pool.succeeded(m)
	release := sync.OnceFunc(func() { d.pool.release(m) })
	if rw, ok := resp.Body.(io.ReadWriteCloser); ok { // an upgraded connection
		resp.Body = &upgraded{rw, release}
	} else {
		resp.Body = &counted{resp.Body, release}
	}
	return resp, true, nil
}

// counted tells when a response's body is done with.
type counted struct {
	io.ReadCloser
	release func()
}

func (c *counted) Close() error {
	defer c.release()
	return c.ReadCloser.Close()
}

type upgraded struct {
	io.ReadWriteCloser
	release func()
}

func (u *upgraded) Close() error {
	defer u.release()
	return u.ReadWriteCloser.Close()
}

// body is a request's body that may have to be sent more than once: a small
// one is kept, a large one can be sent again as long as none of it was read.
type body struct {
	none bool
	kept []byte
	from io.ReadCloser // a large body; nil when kept
	read atomic.Bool
}

func newBody(r *http.Request) (*body, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0:
		return &body{none: true}, nil
	case r.ContentLength < 0 || r.ContentLength > bodyLimit:
		return &body{from: r.Body}, nil
	}
	kept := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, kept)
	return &body{kept: kept}, err
}

// again reports whether the body can be sent once more.
func (b *body) again() bool { return b.from == nil || !b.read.Load() }

func (b *body) reader() io.ReadCloser {
	switch {
	case b.none:
		return http.NoBody
	case b.from != nil:
		return &once{b}
	default:
		return io.NopCloser(bytes.NewReader(b.kept))
	}
}

// get is Request.GetBody: it lets the transport replace a connection that the
// server had closed while it was idle.
func (b *body) get() func() (io.ReadCloser, error) {
	if b.from != nil {
		return nil
	}
	return func() (io.ReadCloser, error) { return b.reader(), nil }
}

// once notes the first read. Closing is the server's business: the transport
// closes what it could not send, which must stay open for the next attempt.
type once struct{ *body }

func (o *once) Read(p []byte) (int, error) {
	o.read.Store(true)
	return o.from.Read(p)
}

func (o *once) Close() error { return nil }

// budget bounds retries to a fifth of the requests, beyond ten a second: when
// all servers are in trouble, retries must not double their load.
type budget struct {
	clock clock.Clock
	mu    sync.Mutex
	left  float64
	at    int64
}

const (
	budgetShare  = 0.2
	budgetFloor  = 10.0 // a second
	budgetCredit = 100.0
)

func newBudget(c clock.Clock) *budget {
	return &budget{clock: c, left: budgetCredit, at: c.Now().UnixNano()}
}

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(budgetCredit, b.left+budgetShare)
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now().UnixNano()
	b.left = min(budgetCredit, b.left+float64(now-b.at)/1e9*budgetFloor)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// gone reports whether the client has hung up.
func gone(ctx context.Context, err error) bool {
	return !tooLong(ctx) && (ctx.Err() != nil || errors.Is(err, context.Canceled))
}

// tooLong reports whether the request's own limit has ended it.
func tooLong(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errTooLong) }
