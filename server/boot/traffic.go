package boot

import (
	"net/http"
	"sync/atomic"
)

// traffic counts the requests that were answered and those answered with 5xx,
// for the gates of rollouts. The closed gate's refusals do not count. A nil one
// counts nothing.
type traffic struct{ requests, failed atomic.Uint64 }

func (t *traffic) counts() (requests, failed uint64) {
	failed = t.failed.Load() // first: never more failed than there are requests
	return t.requests.Load(), failed
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
