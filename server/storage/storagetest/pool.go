package storagetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// testWaitingForAConnection: with all connections in use a request waits as
// long as Options.ConnWait says, fails by the name of the pool, and the next
// one works once there are connections again. Time passes only while all are in
// use: whoever waits for one that is free gets it, however busy the machine is.
func testWaitingForAConnection(t *testing.T, d database) {
	c := clocktest.New(time.Unix(1000, 0))
	const wait = 50 * time.Millisecond
	s := d.server(t, func(o *storage.Options) { o.Clock, o.MaxConns, o.ConnWait, o.Source = c, 1, wait, "KeycloakDS" })
	release, over := make(chan struct{}), make(chan error, 64)
	started := 0
	limit, tick := time.NewTimer(time.Minute), time.NewTicker(5*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	var refused error
	for refused == nil { // until none is left, however many a driver has for writing
		begun, once := make(chan struct{}), sync.Once{}
		started++
		go func() {
			over <- s.Update(context.Background(), func(storage.Tx) error {
				once.Do(func() { close(begun) })
				<-release
				return nil
			})
		}()
		for waits := true; waits; {
			select {
			case <-begun:
				waits = false
			case refused = <-over:
				waits = false
				started--
				if refused == nil {
					t.Fatal("an update was over before its function was")
				}
			case <-tick.C:
				c.Advance(wait)
			case <-limit.C:
				t.Fatal("an update still waits for a connection after a minute")
			}
		}
	}
	if !problem.Is(refused, problem.Unavailable) || !strings.Contains(refused.Error(), "data-source KeycloakDS") {
		t.Errorf("%v, want unavailable, naming the data source", refused)
	}
	close(release)
	for range started {
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
	if err := s.Update(t.Context(), func(storage.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
}
