package caches

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

func TestALeaseGrowsWithTheSite(t *testing.T) {
	w := &Work{lease: DefaultLease}
	for n, want := range map[int]time.Duration{
		1: 2 * time.Second, 3: 2 * time.Second, 20: 2 * time.Second, 30: 3 * time.Second, 40: 4 * time.Second, 500: 4 * time.Second,
	} {
		if got := w.term(n); got != want {
			t.Errorf("in a site of %d a lease is %s, want %s", n, got, want)
		}
	}
}

// A lease is asked for again at the first tick after its rest. One try may take all
// the time that it has and fail; then the lease still runs, and where renewals are
// rare there is another tick in its time.
func TestALeaseIsRenewedInTimeThoughOneTryFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &Work{lease: 16 * time.Duration(rapid.IntRange(1, 10000).Draw(t, "a sixteenth of the lease, ms")) * time.Millisecond}
		n := rapid.IntRange(1, 300).Draw(t, "members")
		tick := w.lease / 4
		first := w.rest(n) + tick // at the latest
		over := first + w.patience(n)
		if n >= fewMembers/2 {
			over += tick
		}
		if over > w.term(n) {
			t.Fatalf("of %s, the first try is at %s and has %s", w.term(n), first, w.patience(n))
		}
	})
}

// counting is a mesh that counts what it is asked to call.
type counting struct {
	Mesh
	calls *atomic.Int64
}

func (c counting) Call(ctx context.Context, node, name string, payload []byte) ([]byte, error) {
	if name == workLease {
		c.calls.Add(1)
	}
	return c.Mesh.Call(ctx, node, name, payload)
}

// Members of a large site ask each other two or three times in the time of a lease,
// not at each change of the view.
func TestALargeSiteDoesNotLiveForItsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 24
		net, calls := clustertest.NewNet(), &atomic.Int64{}
		ctx, cancel := context.WithCancel(t.Context())
		var names []string
		var works []*Work
		for i := range many {
			names = append(names, fmt.Sprintf("s%02d", i))
			w := NewWork(WorkConfig{Mesh: counting{net.Start(names[i]), calls}, Clock: clock.Real(), Log: zerolog.Nop()})
			works = append(works, w)
			go func() { _ = w.Run(ctx) }()
			net.See(names) // one after the other
			synctest.Wait()
		}
		for _, w := range works {
			<-w.Ready()
		}
		if got, want := calls.Load(), int64(many*(many-1)); got != want {
			t.Errorf("%d leases were asked for until all knew each other, want %d: each of each once", got, want)
		}
		calls.Store(0)
		const leases = 5 // of 2.4 s
		time.Sleep(leases * works[0].term(many))
		if got, most := calls.Load(), int64(3*leases*many*(many-1)); got > most {
			t.Errorf("%d times leases were renewed in the time of %d, want at most three times each, %d", got, leases, most)
		}
		for i, w := range works {
			if !w.Coherent() {
				t.Errorf("%s is not coherent", names[i])
			}
		}
		cancel()
		synctest.Wait()
	})
}
