// Package health owns a server's answers about itself: liveness, readiness,
// start-up and metrics, on a listener of its own that never faces browsers
// (Keycloak's paths /health, /health/live, /health/ready, /health/started,
// /metrics). It knows no room it reports on: each gives it a named check.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Kind says which question a check belongs to.
type Kind uint8

// The kinds of check.
const (
	Live  Kind = iota // the process is worth keeping: a failure restarts it
	Ready             // requests may be sent here: a failure takes it out of the balancer
)

// Check answers for one part. It returns nil when all is well, otherwise what
// is wrong; data, which may be nil, is shown beside it. ctx ends after
// CheckTimeout.
type Check func(ctx context.Context) (data map[string]any, err error)

// CheckTimeout bounds one check: below the 1 s at which the agent's and the
// balancer's probes give up, so that they read the name of the slow check.
const CheckTimeout = 800 * time.Millisecond

// Config is what a Server is made from.
type Config struct {
	Listener net.Listener // owned and closed by Run
	Gatherer prometheus.Gatherer
	Pprof    bool // serve /debug/pprof/
	Log      zerolog.Logger
}

// Server answers health requests. Checks may be added while it runs.
type Server struct {
	cfg Config

	mu      sync.Mutex
	checks  []named
	started bool
	stopped string // why not ready for good, "" while it may be
}

type named struct {
	name string
	kind Kind
	run  Check
}

// New makes a Server.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Add registers a check under a name that operators read.
func (s *Server) Add(kind Kind, name string, check Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, named{name, kind, check})
}

// Started says that boot has finished; until then /health/started and
// /health/ready are DOWN.
func (s *Server) Started() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
}

// Drain makes the server not ready, whatever its checks say: suspended or
// stopping. An empty reason lifts it.
func (s *Server) Drain(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = reason
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(s.cfg.Listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// Probes are short; those running get the time of one check.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), CheckTimeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = srv.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Handler serves the paths that the package comment names.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.answer(Live, Ready))
	mux.HandleFunc("GET /health/live", s.answer(Live))
	mux.HandleFunc("GET /health/ready", s.answer(Ready))
	mux.HandleFunc("GET /health/started", s.answerStarted)
	if s.cfg.Gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}))
	}
	if s.cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// Status is the body of every health answer (MicroProfile Health 3.1).
type Status struct {
	Status string  `json:"status"` // UP or DOWN
	Checks []State `json:"checks"`
}

// State is one check's part of a Status.
type State struct {
	Name   string         `json:"name"`
	Status string         `json:"status"`
	Data   map[string]any `json:"data,omitempty"`
}

const (
	up   = "UP"
	down = "DOWN"
)

// Ask runs the checks of the given kinds side by side.
func (s *Server) Ask(ctx context.Context, kinds ...Kind) Status {
	s.mu.Lock()
	var asked []named
	ready := false
	for _, k := range kinds {
		ready = ready || k == Ready
		for _, c := range s.checks {
			if c.kind == k {
				asked = append(asked, c)
			}
		}
	}
	started, stopped := s.started, s.stopped
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, CheckTimeout)
	defer cancel()
	status := Status{Status: up, Checks: make([]State, len(asked))}
	var wg sync.WaitGroup
	for i, c := range asked {
		wg.Go(func() { status.Checks[i] = c.state(ctx) })
	}
	wg.Wait()
	if ready && !started {
		status.Checks = append(status.Checks, failed("started", errors.New("still starting"), nil))
	}
	if ready && stopped != "" {
		status.Checks = append(status.Checks, failed("accepting", errors.New(stopped), nil))
	}
	for _, c := range status.Checks {
		if c.Status != up {
			status.Status = down
		}
	}
	return status
}

// state runs the check, and does not wait for one that ignores its context.
func (c named) state(ctx context.Context) State {
	type answer struct {
		data map[string]any
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		data, err := c.run(ctx)
		done <- answer{data, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return failed(c.name, a.err, a.data)
		}
		return State{Name: c.name, Status: up, Data: a.data}
	case <-ctx.Done():
		return failed(c.name, errors.New("no answer within "+CheckTimeout.String()), nil)
	}
}

func failed(name string, err error, data map[string]any) State {
	all := map[string]any{"error": err.Error()}
	for k, v := range data {
		all[k] = v
	}
	return State{Name: name, Status: down, Data: all}
}

func (s *Server) answer(kinds ...Kind) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.write(w, s.Ask(r.Context(), kinds...))
	}
}

func (s *Server) answerStarted(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	status := Status{Status: up, Checks: []State{}}
	if !started {
		status = Status{Status: down, Checks: []State{failed("started", errors.New("still starting"), nil)}}
	}
	s.write(w, status)
}

func (s *Server) write(w http.ResponseWriter, status Status) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if status.Status != up {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if err := json.NewEncoder(w).Encode(status); err != nil {
		s.cfg.Log.Debug().Err(err).Msg("cannot answer a health probe")
	}
}
