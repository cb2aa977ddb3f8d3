package loadbalancer

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// fail answers when no server did.
func (b *Balancer) fail(w http.ResponseWriter, r *http.Request, err error) {
	if gone(r.Context(), err) {
		return
	}
	status, text := http.StatusBadGateway, "The server that handled your request stopped answering."
	switch timeout := net.Error(nil); {
	case errors.Is(err, errNoBackend):
		status, text = http.StatusServiceUnavailable, "Nobody can be logged in at the moment: no server is ready."
	case errors.As(err, new(*http.MaxBytesError)):
		status, text = http.StatusRequestEntityTooLarge, "What you sent is too large."
	case errors.Is(err, syscall.ETIMEDOUT): // its host has vanished: however slow the server, its kernel answers
	case errors.Is(err, errTooLong), errors.As(err, &timeout) && timeout.Timeout():
		status, text = http.StatusGatewayTimeout, "The server took too long to answer."
	}
	b.cfg.Log.Warn().Err(err).Str("method", r.Method).Str("path", r.URL.Path).Int("status", status).Msg("cannot pass a request on")
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2") // seconds: a crashed server is back in one or two
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(status)
		b.say(json.NewEncoder(w).Encode(map[string]string{"error": "temporarily_unavailable", "error_description": text}))
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_, werr := w.Write([]byte(strings.NewReplacer("{status}", http.StatusText(status), "{text}", text).Replace(page)))
	b.say(werr)
}

// say notes an answer that could not be written.
func (b *Balancer) say(err error) {
	if err != nil {
		b.cfg.Log.Debug().Err(err).Msg("cannot write an error page")
	}
}

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;color:#1c1e21;background:#fff}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181c}}</style></head>
<body><main><h1>We will be right back</h1><p>{text}</p><p>Please try again in a few seconds. If it lasts, tell the people who run this service.</p></main></body></html>
`

// Status is one backend as the status page shows it.
type Status struct {
	Route   string  `json:"route"`
	URL     string  `json:"url"`
	State   string  `json:"state"`   // ready, draining, starting, dead: the domain's word
	Healthy bool    `json:"healthy"` // takes requests now
	Active  int     `json:"active"`  // requests in flight
	Share   float64 `json:"share"`   // 0.1 to 1: below 1 during slow start
}

// Backends gives the pool as it is now.
func (b *Balancer) Backends() []Status {
	b.pool.mu.Lock()
	defer b.pool.mu.Unlock()
	now := b.cfg.Clock.Now()
	list := make([]Status, 0, len(b.pool.members))
	for _, m := range b.pool.members {
		list = append(list, Status{m.Route, m.URL.String(), m.State.String(), m.well(now), m.active, m.share(now)})
	}
	return list
}

// StatusPage serves Backends as JSON. It belongs on the health port: it names
// the servers behind the balancer.
func (b *Balancer) StatusPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		b.say(json.NewEncoder(w).Encode(map[string]any{"backends": b.Backends()}))
	})
}

// String is the state's name.
func (s State) String() string {
	switch s {
	case Ready:
		return "ready"
	case Draining:
		return "draining"
	case Starting:
		return "starting"
	default:
		return "dead"
	}
}
