package boot

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// traffic counts the requests that were answered and those answered with 5xx,
// for the gates of rollouts. The closed gate's refusals do not count. A nil one
// counts nothing.
type traffic struct{ requests, failed atomic.Uint64 }

func (t *traffic) counts() (requests, failed uint64) {
	failed = t.failed.Load() // first: never more failed than there are requests
	return t.requests.Load(), failed
}

// register shows the counts.
func (t *traffic) register(r prometheus.Registerer) {
	count := func(name, help string, n *atomic.Uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) }))
	}
	count("gatehouse_http_requests_total", "Requests that were answered; those refused while suspended are not among them.", &t.requests)
	count("gatehouse_http_failed_requests_total", "Requests that were answered with 5xx.", &t.failed)
}

// count counts what next answers.
func (t *traffic) count(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := &noted{ResponseWriter: w, status: http.StatusInternalServerError} // a panic is one
		defer func() {
			t.requests.Add(1)
			if status.status >= http.StatusInternalServerError {
				t.failed.Add(1)
			}
		}()
		next.ServeHTTP(status, r)
		if !status.said {
			status.status = http.StatusOK // net/http's answer to silence
		}
	})
}

// noted notes what was answered.
type noted struct {
	http.ResponseWriter
	status int
	said   bool
}

// WriteHeader notes the final status; those before it (1xx) are not answers.
func (n *noted) WriteHeader(status int) {
	if !n.said && status >= http.StatusOK {
		n.status, n.said = status, true
	}
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(b []byte) (int, error) {
	if !n.said {
		n.status, n.said = http.StatusOK, true
	}
	return n.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find what is below.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
