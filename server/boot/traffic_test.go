package boot

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTrafficCountsAnswersAndThoseOf5xx(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		failed uint64
	}{
		{"silence is 200", func(http.ResponseWriter, *http.Request) {}, 0},
		{"a body alone is 200", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") }, 0},
		{"the caller's mistake", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 0},
		{"our mistake", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 1},
		{"unavailable", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); io.WriteString(w, "x") }, 1},
		{"an early hint is no answer", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(502) }, 1},
		{"a second status is none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(500) }, 0},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var count traffic
			func() {
				defer func() { _ = recover() }()
				count.count(tt.answer).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}()
			if requests, failed := count.counts(); requests != 1 || failed != tt.failed {
				t.Errorf("%d requests, %d failed; want 1, %d", requests, failed, tt.failed)
			}
		})
	}
}
