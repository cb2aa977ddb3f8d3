package caches

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

// site is many members that know each other.
type site struct {
	t     *testing.T
	net   *clustertest.Net
	names []string
	works []*Work
	asked atomic.Int64 // leases asked for directly
	calls atomic.Int64 // all calls
	ends  []context.CancelFunc
}

// spy is a member's mesh as the test sees it.
type spy struct {
	Mesh
	site *site
	old  bool // it knows no renewals in common
}

func (s spy) Handle(name string, h cluster.Handler) {
	if !s.old || name != workRenew && name != workGrant {
		s.Mesh.Handle(name, h)
	}
}

func (s spy) Call(ctx context.Context, node, name string, payload []byte) ([]byte, error) {
	s.site.calls.Add(1)
	if name == workLease {
		s.site.asked.Add(1)
	}
	return s.Mesh.Call(ctx, node, name, payload)
}

// newSite starts n members within a bubble; old tells which are of a release
// before renewals in common.
func newSite(t *testing.T, n int, old func(i int) bool) *site {
	s := &site{t: t, net: clustertest.NewNet()}
	s.net.Delay(func() time.Duration { return time.Millisecond })
	for i := range n {
		s.names = append(s.names, fmt.Sprintf("s%02d", i))
		w := NewWork(WorkConfig{Mesh: spy{s.net.Start(s.names[i]), s, old != nil && old(i)}, Clock: clock.Real(), Log: zerolog.Nop()})
		ctx, cancel := context.WithCancel(t.Context())
		s.works, s.ends = append(s.works, w), append(s.ends, cancel)
		go func() { _ = w.Run(ctx) }()
	}
	s.net.See(s.names)
	for _, w := range s.works {
		<-w.Ready() // those who ran before the others were seen were ready alone
	}
	time.Sleep(time.Second)
	return s
}

// stop ends all members.
func (s *site) stop() {
	for _, end := range s.ends {
		end()
	}
	time.Sleep(time.Second) // what is on its way arrives
	synctest.Wait()
}

// watch lets time pass and expects all members from the first on to be coherent
// throughout.
func (s *site) watch(first int, d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for i, w := range s.works[first:] {
			if !w.Coherent() {
				s.t.Fatalf("%s is not coherent, %s before the end of %s", s.names[first+i], time.Until(end), d)
			}
		}
	}
}

func TestManyMembersRenewTheirLeasesInCommon(t *testing.T) {
	for _, n := range []int{10, 50} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, n, nil)
			defer s.stop()
			s.watch(0, s.works[0].term(n))
			s.asked.Store(0)
			s.calls.Store(0)
			const periods = 8
			s.watch(0, periods*s.works[0].period(n))
			if got := s.asked.Load(); got != 0 {
				t.Errorf("of %d members, %d leases were asked for directly", n, got)
			}
			if got, most := s.calls.Load(), int64(2*n*(periods+1)); got > most {
				t.Errorf("%d members made %d calls in %d periods, want at most two each in a period, %d", n, got, periods, most)
			}
		})
	}
}

// Who relays may end, hang or be of an older release: the others go on, and ask
// each other.
func TestNobodyLosesItsLeasesWithTheRelay(t *testing.T) {
	const n = 12
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, n, nil)
		defer s.stop()
		s.ends[0]()
		s.net.Kill(s.names[0])
		s.watch(1, 5*time.Second)
		s.net.See(s.names[1:])
		s.watch(1, 5*time.Second)
		s.asked.Store(0)
		s.watch(1, 5*time.Second)
		if got := s.asked.Load(); got != 0 {
			t.Errorf("%d leases were asked for directly though there is another relay", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, n, nil)
		defer s.stop()
		for _, name := range s.names[2:] { // the one who is cut off from the relay alone is s01
			s.net.Cut(s.names[1], name)
		}
		s.watch(2, 500*time.Millisecond)
		s.net.Heal()
		time.Sleep(5 * time.Second)
		s.watch(0, 5*time.Second)
	})
	for name, old := range map[string]func(i int) bool{
		"relay": func(i int) bool { return i == 0 }, "another": func(i int) bool { return i == 7 },
		"all but the relay": func(i int) bool { return i > 0 }, "all": func(int) bool { return true },
	} {
		t.Run("of an older release: "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, n, old)
				defer s.stop()
				s.watch(0, 5*time.Second)
			})
		})
	}
}

// Two members that cannot reach each other have a relay that reaches both: what the
// one publishes is not held up for longer than a lease, and the other does not go
// on with what it had.
func TestARelayProlongsNoLeaseThatAnEventWaitsFor(t *testing.T) {
	const n = 40
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, n, nil)
		defer s.stop()
		var flushed atomic.Int64
		s.works[9].OnFlush(func(string) { flushed.Add(1) })
		s.watch(0, 5*time.Second)
		s.net.Cut(s.names[5], s.names[9])
		start := time.Now()
		if err := s.works[5].Publish(context.Background(), "topic", nil); err != nil {
			t.Fatal(err)
		}
		term := s.works[0].term(n)
		if took := time.Since(start); took > term+term/8 {
			t.Errorf("Publish waited %s for a member that it does not reach, want a lease, %s", took, term)
		}
		if s.works[9].Coherent() {
			t.Error("a member that could not be told of an event is coherent")
		}
		time.Sleep(2 * term)
		if s.works[9].Coherent() {
			t.Error("a member that could not be told of an event has become coherent through others")
		}
		s.net.Heal()
		time.Sleep(2 * term)
		if !s.works[9].Coherent() || flushed.Load() == 0 {
			t.Errorf("healed: coherent %v after %d flushes, want true after one", s.works[9].Coherent(), flushed.Load())
		}
	})
}

// Publish that gives up with its context has marked the member that was not told.
func TestARelayProlongsNoLeaseWhoseHolderMissedAnEvent(t *testing.T) {
	const n = 12
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, n, nil)
		defer s.stop()
		s.net.Cut(s.names[5], s.names[9])
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := s.works[5].Publish(ctx, "topic", nil); err == nil {
			t.Fatal("Publish is sure of a member that it does not reach")
		}
		time.Sleep(2 * s.works[0].term(n))
		if s.works[9].Coherent() {
			t.Error("a member that missed an event goes on through others")
		}
		s.net.Heal()
	})
}

// What a relay has from a member that has gone meanwhile begins no doubt: nobody
// would end it.
func TestARenewalFromAMemberThatHasGoneBeginsNoDoubt(t *testing.T) {
	for name, end := range map[string]func(*site){
		"left":  func(s *site) { s.net.See(s.names[:9]) },
		"ended": func(s *site) { s.net.Kill(s.names[9]) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 10, nil)
				defer s.stop()
				w, last := s.works[3], s.names[9]
				late := func() {
					w.mu.Lock()
					token := uint64(1)
					if h := w.held[last]; h != nil {
						token = h.token
					}
					w.mu.Unlock()
					w.prolong(time.Now(), []granter{{last, s.works[9].mesh.Self().Born, s.works[9].ownPhase() | 1, int64(w.term(10))}}, []uint64{token})
				}
				late()
				if !w.Doubted() {
					t.Error("the doubt of a member is not heard of with its lease")
				}
				s.ends[9]()
				end(s)
				time.Sleep(2 * w.term(10))
				late()
				if w.Doubted() {
					t.Error("a doubt remains of a member that has gone")
				}
			})
		})
	}
}

// Renewals in common are over before leases would be asked for directly.
func TestRenewalsInCommonComeFirst(t *testing.T) {
	w := &Work{lease: DefaultLease}
	for n := fewMembers / 2; n <= 300; n++ {
		if done, rest := w.period(n)+w.gathering(n), w.rest(n); done+DefaultLease/40 > rest {
			t.Errorf("%d members: renewed in common after %s, and asked for directly after %s", n, done, rest)
		}
		if over, renewed := w.gathering(n)+w.answering(n), w.period(n); over >= renewed {
			t.Errorf("%d members: a round takes up to %s, the next comes after %s", n, over, renewed)
		}
	}
}
