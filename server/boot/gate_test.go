package boot

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestSuspendRefusesNewRequestsAndLetsThoseInFlightFinish(t *testing.T) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	g := newGate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-goOn
		w.WriteHeader(http.StatusNoContent)
	}))
	get := func() int {
		rec := httptest.NewRecorder()
		g.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		return rec.Code
	}
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("before it was opened: %d, want 503", got)
	}
	g.resume()
	inFlight := make(chan int)
	go func() { inFlight <- get() }()
	<-entered

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.suspend(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("suspend with a request inside ended with %v", err)
	}
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("while suspending: %d, want 503", got)
	}
	suspended := make(chan error)
	go func() { suspended <- g.suspend(context.Background()) }()
	close(goOn)
	if err := <-suspended; err != nil {
		t.Errorf("suspend: %v", err)
	}
	if got := <-inFlight; got != http.StatusNoContent {
		t.Errorf("the request in flight: %d, want 204", got)
	}
	if g.isOpen() {
		t.Error("open after suspend")
	}
}
