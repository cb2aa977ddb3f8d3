package loadbalancer_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// A POST cannot be repeated by the balancer. Who repeats it does not fail a second
// time by a connection that died with the first, of which nobody knows yet: an
// answer was on its way over it, after the first had failed.
func TestARepeatedPOSTGetsAConnectionThatStands(t *testing.T) {
	inside, answer := make(chan string, 1), make(chan struct{})
	dead := "" // the other end of the connection that is dead after its answer
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health/ready":
		case r.URL.Path == "/under-way":
			inside <- r.RemoteAddr
			<-answer
		case r.URL.Path == "/first" || r.RemoteAddr == dead:
			panic(http.ErrAbortHandler)
		}
	}))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, []loadbalancer.Backend{{Route: "one", URL: at, State: loadbalancer.Ready, Health: at.JoinPath("/health/ready")}})
	got := make(chan error, 1)
	go func() {
		resp, err := http.Get(f.addr + "/under-way")
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		got <- err
	}()
	select {
	case dead = <-inside:
	case err := <-got:
		t.Fatalf("the request that is under way ended: %v", err)
	}
	if status, _, _ := f.do("POST", "/first", "x"); status != http.StatusBadGateway {
		t.Errorf("the POST that was cut off: %d", status)
	}
	f.do("GET", "/other", "") // from now on connections are kept again
	close(answer)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if status, _, _ := f.do("POST", "/second", "x"); status != http.StatusOK {
		t.Errorf("asked again: %d", status)
	}
}

// Where there are others, it gets another server: this one may have died a moment
// ago, and be known for it a moment later.
func TestARepeatedPOSTGetsAnotherServerWhereThereIsOne(t *testing.T) {
	var all []loadbalancer.Backend
	for _, route := range []string{"one", "two"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, route)
		}))
		defer server.Close()
		at, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, loadbalancer.Backend{Route: route, URL: at, State: loadbalancer.Ready})
	}
	stopped := clocktest.New(time.Unix(0, 0)) // the moment does not pass
	f := start(t, all, func(c *loadbalancer.Config) { c.Clock = stopped })
	const sticky = "AUTH_SESSION_ID=x.one"
	if _, body, _ := f.do("POST", "/", "x", "Cookie", sticky); body != "one" {
		t.Errorf("before: %q", body)
	}
	if status, _, _ := f.do("POST", "/first", "x", "Cookie", sticky); status != http.StatusBadGateway {
		t.Errorf("the POST that was cut off: %d", status)
	}
	if _, body, _ := f.do("POST", "/", "x", "Cookie", sticky); body != "two" {
		t.Errorf("asked again: %q", body)
	}
	if _, body, _ := f.do("GET", "/", "", "Cookie", sticky); body != "one" {
		t.Errorf("what can be repeated stays: %q", body)
	}
	stopped.Advance(time.Minute)
	if _, body, _ := f.do("POST", "/", "x", "Cookie", sticky); body != "one" {
		t.Errorf("a minute later: %q", body)
	}
}
