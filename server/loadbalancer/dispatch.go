package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

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
	attempts int // servers that it was sent to, or tried to be
	sticky   bool
	held     time.Duration // how long it waited for a server
}

type tripKey struct{}

// dispatcher sends one request to one backend after another until one
// responds; while there is none it holds the request.
type dispatcher struct {
	clock    clock.Clock
	pool     *pool
	settings func() *Settings
	next     http.RoundTripper
	forget   func() // closes idle connections
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
	p := &passage{dispatcher: d, r: r, trip: t, body: body, settings: settings, routes: routesIn(r, settings.Cookies)}
	resp, err := p.round(false)
	if !p.waits {
		return resp, err
	}
	return p.held(err)
}

// passage is one request on its way to a server.
type passage struct {
	*dispatcher
	*trip
	r        *http.Request
	body     *body
	settings *Settings
	routes   []string
	reached  int  // how often it was written to a server that then did not answer
	moved    int  // of these, how often it was taken away from one that may be only slow
	owed     bool // sending it once more is a retry
	paid     bool // that the budget has given already
	waits    bool // the last round ended because no server was there, and it may be sent later
}

// round tries server after server, each once. Any that is not dead will do for
// a last try: our record may be wrong, an error page never logs anybody in.
func (p *passage) round(last bool) (*http.Response, error) {
	p.waits = false
	var tried []*member
	err := errNoBackend
	for len(tried) < p.settings.Attempts {
		if p.owed && !p.paid {
			if p.paid = p.budget.spendWithin(p.r.Context(), p.settings.MaxQueueTime); !p.paid {
				return nil, err
			}
		}
		m, sticky := p.pool.pick(p.routes, tried, safe(p.r.Method), last)
		if m == nil {
			p.waits = p.again()
			return nil, err
		}
		if p.owed {
			p.metrics.retried(p.route)
			p.owed, p.paid = false, false
		}
		p.route, p.sticky = m.Route, sticky
		p.attempts++
		tried = append(tried, m)
		if !safe(p.r.Method) && p.pool.cutLately(m) {
			p.forget() // what may not be repeated gets a connection that certainly stands
		}
		resp, connected, failure := p.try(p.r, m, p.body, func() bool { return mayRepeat(p.r, p.body) && len(tried) < p.settings.Attempts })
		switch {
		case failure != nil:
			if !p.failed(m, connected, failure) {
				return nil, failure
			}
			err = failure
		case resp.Header.Get(RefusedHeader) == "":
			return resp, nil
		case !p.body.again():
			resp.Header.Del(RefusedHeader)
			return resp, nil
		default: // it is leaving, whatever the domain said last
			resp.Body.Close()
			p.pool.refused(m)
			err, p.owed = errNoBackend, true
		}
	}
	p.waits = p.again()
	return nil, err
}

// again reports whether there may be another round: what ends one server after
// another is not given to all. That a server is slow is not the request's fault, up
// to as many times.
func (p *passage) again() bool {
	return p.reached-p.moved < p.settings.Attempts && p.reached < 2*p.settings.Attempts
}

// failed notes a server's failure and reports whether the request may go to
// another one: it was cut off before it reached the server, or it changes
// nothing (RFC 9110 9.2.1).
func (p *passage) failed(m *member, connected bool, err error) (again bool) {
	ctx := p.r.Context()
	if tooLong(ctx) {
		p.pool.failed(m, false)
		return false
	}
	if ctx.Err() != nil {
		return false // the client has gone: nobody's fault
	}
	lost := errors.Is(err, errDead) || errors.Is(err, errSilent)
	if p.pool.failed(m, !connected || lost) {
		p.metrics.ejected(m.Route)
		p.log.Warn().Err(err).Str("server", m.Route).Msg("a server does not answer; leaving it alone for a while")
	}
	p.owed, p.paid = true, errors.Is(err, errSilent)
	if errors.Is(err, errSilent) {
		p.moved++
	}
	if connected {
		p.reached++
		p.pool.wasCut(m)
		p.forget() // a server that died took its idle connections with it: nobody else is to find out by a request
	}
	return !connected && p.body.again() || mayRepeat(p.r, p.body)
}

// mayRepeat reports whether a request may be sent again that a server may have
// carried out already.
func mayRepeat(r *http.Request, b *body) bool { return safe(r.Method) && b.again() }

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// held keeps a request that no server can take until one can, for
// Settings.MaxQueueTime and no longer than the request may take at all. At the
// end it is tried all the same.
func (p *passage) held(failure error) (*http.Response, error) {
	if !p.pool.enter(p.settings) {
		p.metrics.queued(queueRefused)
		return p.attempt(failure)
	}
	defer p.pool.leave()
	ctx, begin := p.r.Context(), p.clock.Now()
	defer func() { p.trip.held = clock.Since(p.clock, begin) }()
	limit := p.clock.NewTimer(p.settings.MaxQueueTime)
	defer limit.Stop()
	for {
		better := p.pool.better() // before the round: nothing is missed between
		resp, err := p.round(false)
		if !p.waits {
			p.metrics.queued(queueSent)
			return resp, err
		}
		if p.pool.reachable() {
			continue // it failed and is tried again: as often as Settings.Attempts says
		}
		select {
		case <-better:
			p.owed = false // the queue bounds how many come at once
		case <-limit.C:
			p.metrics.queued(queueExpired)
			return p.attempt(err)
		case <-ctx.Done():
			p.metrics.queued(queueGone)
			if tooLong(ctx) {
				return nil, errTooLong
			}
			return nil, ctx.Err()
		}
	}
}

// attempt is the last round. What reached no server leaves nobody in doubt of
// what became of it: it is said to be worth trying again.
func (p *passage) attempt(before error) (*http.Response, error) {
	p.owed = false
	resp, err := p.round(true)
	switch {
	case err == nil || p.r.Context().Err() != nil:
	case p.reached == 0:
		err = fmt.Errorf("%w: %w", errNoBackend, err)
	case errors.Is(err, errNoBackend):
		err = before
	}
	return resp, err
}

// try sends the request to one member, which may lose it to another one while
// movable says so. connected reports whether a connection was there to write it
// to.
func (d *dispatcher) try(r *http.Request, m *member, body *body, movable func() bool) (resp *http.Response, connected bool, err error) {
	var got atomic.Bool
	ctx, giveUp := context.WithCancelCause(r.Context())
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { got.Store(false) }, // anew, when an idle connection turned out to be closed
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	})
	out := r.WithContext(traced) // a transport changes no header: attempts share them
	address := *r.URL
	out.URL = &address
	out.URL.Scheme, out.URL.Host = m.URL.Scheme, m.URL.Host
	if m.URL.Path != "" && m.URL.Path != "/" {
		out.URL = m.URL.JoinPath(out.URL.EscapedPath())
		out.URL.RawQuery = r.URL.RawQuery
	}
	out.Body, out.GetBody = body.reader(), body.get()
	d.pool.sent(m, out, &flight{movable: movable, end: giveUp})
	resp, err = d.next.RoundTrip(out)
	d.pool.ended(m, out, judge(r, resp, err))
	if cause := givenUp(ctx); cause != nil {
		if err == nil { // at the moment when the answer began: its body cannot be read
			resp.Body.Close()
		}
		err = cause
	}
	if err != nil {
		d.pool.release(m)
		giveUp(nil)
		return nil, got.Load(), err
	}
	if resp.Header.Get(RefusedHeader) == "" {
		d.pool.succeeded(m)
	}
	release := sync.OnceFunc(func() { giveUp(nil); d.pool.release(m) })
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

// gone reports whether the client has hung up.
func gone(ctx context.Context, err error) bool {
	return !tooLong(ctx) && (ctx.Err() != nil || errors.Is(err, context.Canceled))
}

// tooLong reports whether the request's own limit has ended it.
func tooLong(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errTooLong) }
