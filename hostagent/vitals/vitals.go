// Package vitals owns a host agent's answers about its machine: /health,
// /health/live, /health/ready and /metrics, on a listener of its own that faces
// operators and never browsers. It must not know how servers are kept or how
// the domain is reached: it shows a View.
package vitals

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// View is a host at one moment.
type View struct {
	Host     string
	Version  string // of the agent
	Revision uint64 // of the domain, that the host works from; 0 before the first
	Link     Link
	// Skew is how far the host's clock is ahead of the controller's, the way of
	// one message included; nil until a controller has asked.
	Skew    *time.Duration
	Facts   *hostlink.Facts
	Servers []*hostlink.ServerStatus
}

// Link is how the way to the domain stands.
type Link struct {
	Connected bool
	Since     time.Time // of Connected
	Text      string    // for people: "no controller since ..."
}

// Config is what a Server rests on.
type Config struct {
	Listener net.Listener // owned and closed by Run
	View     func() View
	// Alive fails when the agent does not look after its servers any more.
	Alive func() error
}

// Server answers.
type Server struct {
	config  Config
	handler http.Handler
}

// New makes a Server.
func New(c Config) *Server {
	s := &Server{config: c}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{c.View}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /health/live", s.live)
	mux.HandleFunc("GET /health/ready", s.live) // served only once the agent is ready
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s.handler = mux
	return s
}

// farewell is what an answer under way has when the agent ends: they are small.
const farewell = time.Second

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.config.Listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if server.Shutdown(stop) != nil {
		_ = server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler serves the paths that the package comment names.
func (s *Server) Handler() http.Handler { return s.handler }

// Status is the body of a health answer, in the form of MicroProfile Health 3.1.
type Status struct {
	Status string  `json:"status"` // UP or DOWN
	Checks []Check `json:"checks"`
}

// Check is one part of a Status.
type Check struct {
	Name   string         `json:"name"`
	Status string         `json:"status"`
	Data   map[string]any `json:"data,omitempty"`
}

const (
	up   = "UP"
	down = "DOWN"
)

func (s *Server) live(w http.ResponseWriter, _ *http.Request) { answer(w, s.agent()) }

// health shows the agent, the link and the servers. Only the agent decides the
// status: a host without a controller works on, and a server that fails is the
// agent's work and no reason to replace it.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	v := s.config.View()
	controller := Check{"controller", up, map[string]any{"link": v.Link.Text}}
	if v.Skew != nil {
		controller.Data["clock-skew-ms"] = v.Skew.Milliseconds()
	}
	servers := Check{"servers", up, map[string]any{}}
	for _, one := range v.Servers {
		servers.Data[one.GetName()] = one.GetState()
	}
	agent := s.agent()
	if agent.Data == nil {
		agent.Data = map[string]any{}
	}
	agent.Data["host"], agent.Data["version"], agent.Data["revision"] = v.Host, v.Version, v.Revision
	answer(w, agent, controller, servers)
}

func (s *Server) agent() Check {
	if err := s.config.Alive(); err != nil {
		return Check{"agent", down, map[string]any{"error": err.Error()}}
	}
	return Check{Name: "agent", Status: up}
}

func answer(w http.ResponseWriter, checks ...Check) {
	status, code := Status{up, checks}, http.StatusOK
	for _, c := range checks {
		if c.Status != up {
			status.Status, code = down, http.StatusServiceUnavailable
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status) // whoever asked may be gone
}
