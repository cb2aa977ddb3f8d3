// Package loadbalancer owns the reverse proxy in front of a site's servers: the
// pool and its health, stickiness, retries, forwarded headers, and what a
// person sees when no server is there. Two balancers need no coordination:
// all they share is the cookie.
//
// It knows nothing of realms, sessions or tokens, and imports no identity room.
package loadbalancer

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/keystores"
)

// State is what the domain says of a backend.
type State uint8

// The states of a backend.
const (
	Ready    State = iota // takes requests
	Draining              // finishes what it has; takes nothing new while another is ready
	Dead                  // takes nothing
	Starting              // takes nothing yet
)

// takes reports whether a server in the state may take a request.
func (s State) takes() bool { return s == Ready || s == Draining }

// Backend is one server to send requests to.
type Backend struct {
	Route  string   // what its cookies end with (cluster.NodeName, or a static host's instance-id)
	URL    *url.URL // scheme and host; a path is put before each request's
	Health *url.URL // answers 200 while ready; nil: only its failures are watched
	State  State
}

// Config is what a Balancer is made from. Zero values take the defaults named.
type Config struct {
	Settings // the first; see Configure
	// TrustedProxies may name the client in X-Forwarded-* and Forwarded; from
	// anybody else these are removed.
	TrustedProxies []netip.Prefix
	BackendTLS     *tls.Config // to https backends

	Plain net.Listener    // HTTP/1.1 and cleartext HTTP/2; may be nil
	TLS   net.Listener    // HTTP/1.1 and HTTP/2; may be nil; without both, others serve the Balancer
	Keys  *keystores.Pair // for TLS

	Clock     clock.Clock
	Log       zerolog.Logger
	AccessLog *zerolog.Logger       // nil: none
	Metrics   prometheus.Registerer // nil: none
}

// Settings may change while the balancer runs. Zero values take the defaults
// named.
type Settings struct {
	Static  []Backend // always in the pool, beside those of Set
	Cookies []string  // that carry a route; default DefaultCookies
	// Timeout is until a backend's response begins; default 60 s.
	Timeout time.Duration
	// Limit is until a request is over, its body included; default none.
	Limit time.Duration
	// Attempts are the servers tried for one request; default 3.
	Attempts int
	// MaxQueueTime is how long a request waits for a server when none can be
	// reached; default 2 s, negative for not at all.
	MaxQueueTime time.Duration
	// MaxQueued are the requests that wait at one moment; default 1000.
	MaxQueued int
	// LastEjection is how long a failing server is left alone at most; default 30 s.
	LastEjection time.Duration
	// ProbeEvery is how often each backend's Health is asked; default 1 s.
	ProbeEvery time.Duration
	// MaxIdle is how many idle connections are kept to each backend; default 256.
	MaxIdle int
}

func (s Settings) withDefaults() Settings {
	if len(s.Cookies) == 0 {
		s.Cookies = DefaultCookies[:]
	}
	if s.Timeout == 0 {
		s.Timeout = time.Minute
	}
	if s.Attempts == 0 {
		s.Attempts = defaultAttempts
	}
	if s.MaxQueueTime == 0 {
		s.MaxQueueTime = defaultQueueTime
	}
	if s.MaxQueued == 0 {
		s.MaxQueued = defaultQueued
	}
	if s.LastEjection == 0 {
		s.LastEjection = lastEjection
	}
	if s.ProbeEvery == 0 {
		s.ProbeEvery = probeEvery
	}
	if s.MaxIdle == 0 {
		s.MaxIdle = 256
	}
	return s
}

// DefaultCookies are those of the identity servers and of the servlet world.
var DefaultCookies = [...]string{"AUTH_SESSION_ID", "AUTH_SESSION_ID_LEGACY", "KEYCLOAK_SESSION", "JSESSIONID"}

// The limits of one attempt.
const (
	connectLimit    = time.Second // a server of the site answers in milliseconds or not at all
	bodyLimit       = 64 << 10    // request bodies up to this are kept for a retry; forms are far smaller
	defaultAttempts = 3           // servers tried for one request
	// A crashed server is ready again in 1.5 s (DESIGN.md, section 9).
	defaultQueueTime = 2 * time.Second
	defaultQueued    = 1000
	headerLimit      = 10 * time.Second
	idleLimit        = 2 * time.Minute // of people's connections
	// backendIdle is how long a connection to a server is kept that nobody uses. It is
	// well below what servers allow, or one hangs up at the moment when a request is
	// written, and what may not be repeated fails: 60 s after a request
	// (no-request-timeout), and 10 s (request-parse-timeout) before the first one, on a
	// connection that was opened for a request that found another.
	backendIdle = 5 * time.Second
	drainLimit  = 10 * time.Second // for requests in flight when the balancer stops
)

// Balancer is the reverse proxy: an http.Handler, and a task that serves its
// listeners and watches its backends.
type Balancer struct {
	cfg       Config
	now       atomic.Pointer[Settings]
	pool      *pool
	proxy     *httputil.ReverseProxy
	transport atomic.Pointer[http.Transport] // to the backends
	metrics   *metrics
}

// New makes a Balancer.
func New(cfg Config) *Balancer {
	b := &Balancer{cfg: cfg}
	forget, budget := func() { b.transport.Load().CloseIdleConnections() }, newBudget(cfg.Clock)
	b.pool = newPool(cfg.Clock, cfg.Settings.withDefaults(), budget, forget)
	b.Configure(cfg.Settings)
	b.metrics = newMetrics(cfg.Metrics, b.pool)
	// FlushInterval stays 0: what has a length is written when a buffer is full,
	// everything else, as event streams, at once.
	b.proxy = &httputil.ReverseProxy{
		Rewrite:      b.rewrite,
		BufferPool:   &buffers{},
		Transport:    &dispatcher{clock: cfg.Clock, pool: b.pool, settings: b.now.Load, next: roundTripper{b}, forget: forget, metrics: b.metrics, budget: budget, log: cfg.Log},
		ErrorLog:     log.New(proxyLog{cfg.Log}, "", 0),
		ErrorHandler: b.fail,
	}
	return b
}

// Configure takes over settings while the balancer runs. Requests in flight go
// on under those that they began with.
func (b *Balancer) Configure(s Settings) {
	s = s.withDefaults()
	before := b.now.Swap(&s)
	if before == nil || before.MaxIdle != s.MaxIdle || before.Timeout != s.Timeout {
		if old := b.transport.Swap(b.connections(s)); old != nil {
			old.CloseIdleConnections() // busy ones end by themselves
		}
	}
	b.pool.configure(s)
}

func (b *Balancer) connections(s Settings) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // with TLS, where the server speaks it; measured, HTTP/1.1 is quicker without
	return &http.Transport{
		DialContext:           newDialer().DialContext,
		TLSClientConfig:       b.cfg.BackendTLS,
		TLSHandshakeTimeout:   5 * connectLimit,
		ResponseHeaderTimeout: s.Timeout,
		MaxIdleConnsPerHost:   s.MaxIdle,
		IdleConnTimeout:       backendIdle,
		DisableCompression:    true, // bytes pass as they are
		Protocols:             protocols,
	}
}

// roundTripper is the transport of the moment.
type roundTripper struct{ *Balancer }

func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.transport.Load().RoundTrip(r)
}

// proxyLog receives the proxy's remarks on broken copies.
type proxyLog struct{ log zerolog.Logger }

func (l proxyLog) Write(line []byte) (int, error) {
	l.log.Debug().Msg(string(line))
	return len(line), nil
}

// Set replaces the backends that the domain names. One that stays keeps its
// connections and its record of health.
func (b *Balancer) Set(backends []Backend) { b.pool.set(backends) }

// ServeHTTP sends one request to a server.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := b.cfg.Clock.Now()
	trip := &trip{}
	out := &recorder{ResponseWriter: w}
	defer func() { b.account(r, trip, out, clock.Since(b.cfg.Clock, start)) }()
	ctx := context.WithValue(r.Context(), tripKey{}, trip)
	if limit := b.now.Load().Limit; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errTooLong)
		defer cancel()
	}
	b.proxy.ServeHTTP(out, r.WithContext(ctx))
}

// Run serves the listeners and watches the backends until ctx ends; requests
// in flight then get ten seconds.
func (b *Balancer) Run(ctx context.Context) error {
	defer func() { b.transport.Load().CloseIdleConnections() }()
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() { defer close(watched); b.pool.watch(watching, roundTripper{b}) }()
	defer func() { stop(); <-watched }()

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: b, Protocols: protocols, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit, ErrorLog: log.New(proxyLog{b.cfg.Log}, "", 0),
	}
	if b.cfg.TLS != nil { // before any listener is served: they share it
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: b.cfg.Keys.Get, NextProtos: []string{"h2", "http/1.1"}}
	}
	ended := make(chan error, 2)
	serving := 0
	if b.cfg.Plain != nil {
		serving++
		go func() { ended <- srv.Serve(b.cfg.Plain) }()
	}
	if b.cfg.TLS != nil {
		serving++
		go func() { ended <- srv.ServeTLS(b.cfg.TLS, "", "") }()
	}
	var err error
	select {
	case err = <-ended:
		serving--
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if srv.Shutdown(limit) != nil {
		err = errors.Join(err, srv.Close())
	}
	for range serving {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// account writes the access log and the metrics of one request.
func (b *Balancer) account(r *http.Request, t *trip, w *recorder, took time.Duration) {
	status := w.status
	if status == 0 && r.Context().Err() != nil {
		status = statusGone
	}
	b.metrics.request(t.route, status, took)
	if b.cfg.AccessLog == nil {
		return
	}
	line := b.cfg.AccessLog.Info()
	if t.held > 0 {
		line.Dur("held", t.held)
	}
	line.Str("client", r.RemoteAddr).Str("method", r.Method).Str("host", r.Host).
		Str("path", r.URL.Path). // not the query: it carries codes and tokens
		Str("proto", r.Proto).Int("status", status).Int64("bytes", w.bytes).Dur("took", took).
		Str("server", t.route).Int("attempts", t.attempts).Bool("sticky", t.sticky).Msg("request")
}

// statusGone stands for a client that hung up before the response began.
const statusGone = 499

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
