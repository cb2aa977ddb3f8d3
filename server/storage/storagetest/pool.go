package storagetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// testWaitingForAConnection: with all connections in use a request waits as
// long as Options.ConnWait says, fails by the name of the pool, and the next
// one works once there are connections again.
func testWaitingForAConnection(t *testing.T, d database) {
	s := d.server(t, func(o *storage.Options) { o.MaxConns, o.ConnWait, o.Source = 1, 50*time.Millisecond, "KeycloakDS" })
	release, over := make(chan struct{}), make(chan error, 64)
	started := 0
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
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
		select {
		case <-begun:
		case refused = <-over:
			started--
			if refused == nil {
				t.Fatal("an update was over before its function was")
			}
		case <-limit.C:
			t.Fatal("an update still waits for a connection after 30 s")
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
