package loadbalancer

import (
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Whoever hangs up first on an idle connection must be the balancer: a request that
// is written while the server does is lost, and a POST fails.
func TestIdleConnectionsAreGivenUpWellBeforeServersHangUp(t *testing.T) {
	at := profiles.Address{{Type: "subsystem", Name: "http"}, {Type: "server", Name: "default-server"}, {Type: "http-listener", Name: "default"}}
	listener, err := profiles.Standalone.Describe(at)
	if err != nil {
		t.Fatal(err)
	}
	kept := New(Config{Clock: clock.Real()}).transport.Load().IdleConnTimeout
	seen := 0
	for _, a := range listener.Attributes {
		if a.Name != "no-request-timeout" && a.Name != "request-parse-timeout" {
			continue
		}
		seen++
		n, ok := a.Default.(int64)
		if !ok {
			t.Fatalf("the default of %s is %v, not milliseconds", a.Name, a.Default)
		}
		if allowed := time.Duration(n) * time.Millisecond; kept <= 0 || kept > allowed/2 {
			t.Errorf("the balancer keeps a connection for %s, servers allow %s (%s)", kept, allowed, a.Name)
		}
	}
	if seen != 2 {
		t.Errorf("found %d of the servers' limits, want 2", seen)
	}
}
