package caches_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

// database is what the servers of a site share: one number for each key.
type database struct {
	mu    sync.Mutex
	rows  map[string]int
	reads int
}

func (d *database) read(key string) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reads++
		return d.rows[key], nil
	}
}

func (d *database) write(key string, v int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows[key] = v
}

// server is one member with a cache over the database.
type server struct {
	name  string
	work  *caches.Work
	cache *caches.Invalidated[int]
	stop  func()
}

func startServer(t *testing.T, net *clustertest.Net, name string) *server {
	t.Helper()
	work := caches.NewWork(caches.WorkConfig{Mesh: net.Start(name), Clock: clock.Real(), Log: zerolog.Nop()})
	cache, err := caches.NewInvalidated[int](work, "realms", caches.LocalConfig[string, int]{Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- work.Run(ctx) }()
	return &server{name, work, cache, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Run = %v", name, err)
		}
		cache.Close()
	}}
}

func (s *server) get(t *testing.T, db *database) int {
	t.Helper()
	v, err := s.cache.Get(context.Background(), "k", db.read("k"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAChangeIsSeenByTheNextReadOnAnyServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, db := clustertest.NewNet(), &database{rows: map[string]int{"k": 0}}
		servers := []*server{startServer(t, net, "a"), startServer(t, net, "b"), startServer(t, net, "c")}
		net.See([]string{"a", "b", "c"})
		for _, s := range servers {
			defer s.stop()
			<-s.work.Ready()
		}
		for i := 1; i <= 30; i++ {
			writer := servers[i%3]
			db.write("k", i)
			start := time.Now()
			if err := writer.cache.Changed(context.Background(), "k"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 0 {
				t.Errorf("an invalidation among healthy servers waited %v", took)
			}
			for _, s := range servers {
				if got := s.get(t, db); got != i {
					t.Fatalf("after change %d through %s, %s reads %d", i, writer.name, s.name, got)
				}
			}
		}
		reads := db.reads
		for range 100 {
			servers[1].get(t, db)
		}
		if db.reads != reads {
			t.Errorf("%d reads of the database for a cached value", db.reads-reads)
		}
	})
}

func TestACutOffServerServesNothingOlderThanAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, db := clustertest.NewNet(), &database{rows: map[string]int{"k": 1}}
		a, b := startServer(t, net, "a"), startServer(t, net, "b")
		defer a.stop()
		defer b.stop()
		net.See([]string{"a", "b"})
		<-a.work.Ready()
		<-b.work.Ready()
		b.get(t, db)
		net.Cut("a", "b")
		db.write("k", 2)
		start := time.Now()
		if err := a.cache.Changed(context.Background(), "k"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 2*caches.DefaultLease {
			t.Errorf("waited %v for a member that does not answer", took)
		}
		if got := b.get(t, db); got != 2 {
			t.Errorf("the cut off server serves %d, changed to 2 before", got)
		}
		// Each side gives the other up; b may still change the database.
		net.See([]string{"a"}, "b")
		net.See([]string{"b"}, "a")
		time.Sleep(time.Minute)
		for i := 3; i < 10; i++ {
			db.write("k", i)
			if err := b.cache.Changed(context.Background(), "k"); err != nil {
				t.Fatal(err)
			}
			if got := a.get(t, db); got != i {
				t.Errorf("beyond the partition a reads %d, changed to %d before", got, i)
			}
		}
		net.Heal()
		net.See([]string{"a", "b"})
		time.Sleep(time.Second)
		synctest.Wait()
		if !a.work.Coherent() || !b.work.Coherent() {
			t.Error("not coherent again after the partition")
		}
		if a.get(t, db) != 9 || b.get(t, db) != 9 {
			t.Error("stale after the partition")
		}
	})
}

func TestACrashedServerHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, db := clustertest.NewNet(), &database{rows: map[string]int{"k": 1}}
		a, b := startServer(t, net, "a"), startServer(t, net, "b")
		defer a.stop()
		net.See([]string{"a", "b"})
		<-a.work.Ready()
		<-b.work.Ready()
		a.get(t, db)
		db.write("k", 2) // b commits and dies before it can tell
		net.Kill("b")
		b.stop()
		time.Sleep(caches.DefaultLease)
		synctest.Wait()
		if got := a.get(t, db); got != 2 {
			t.Errorf("a serves %d: it missed what b changed with its last breath", got)
		}
		start := time.Now()
		if err := a.cache.Changed(context.Background()); err != nil || time.Since(start) > 0 {
			t.Errorf("Changed after the crash: %v in %v", err, time.Since(start))
		}
		if !a.work.Coherent() {
			t.Error("a crashed server keeps the caches of the others off")
		}
	})
}

func TestPublishGivesUpWithItsContextAndTheMemberFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, db := clustertest.NewNet(), &database{rows: map[string]int{"k": 1}}
		a, b := startServer(t, net, "a"), startServer(t, net, "b")
		defer a.stop()
		defer b.stop()
		net.See([]string{"a", "b"})
		<-a.work.Ready()
		<-b.work.Ready()
		b.get(t, db)
		net.Cut("a", "b")
		db.write("k", 2)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := a.cache.Changed(ctx, "k"); !problem.Is(err, problem.Timeout) {
			t.Errorf("Changed = %v, want Timeout", err)
		}
		net.Heal()
		time.Sleep(caches.DefaultLease)
		synctest.Wait()
		if got := b.get(t, db); got != 2 {
			t.Errorf("b serves %d after its next lease", got)
		}
	})
}

// TestNoStaleReadWhateverTheNetworkDoes drives random changes, cuts, heals and
// views, and checks each read that starts after a change was acknowledged.
func TestNoStaleReadWhateverTheNetworkDoes(t *testing.T) {
	noStaleRead(t, 30, 60, 0)
}

// The leases of a large site are longer, and asked for more rarely.
func TestNoStaleReadInALargeSiteWhateverTheNetworkDoes(t *testing.T) {
	noStaleRead(t, 1, 20, 21)
}

// noStaleRead is some rounds of so many steps with three servers that change and
// read, and others that are only there.
func noStaleRead(t *testing.T, rounds uint64, steps, others int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, round))
			net, db := clustertest.NewNet(), &database{rows: map[string]int{}}
			names := []string{"a", "b", "c"}
			var rest []string
			for i := range others {
				rest = append(rest, fmt.Sprintf("other-%02d", i))
			}
			var servers []*server
			all := append(names[:3:3], rest...)
			for _, n := range all {
				s := startServer(t, net, n)
				defer s.stop()
				servers = append(servers, s)
			}
			net.See(all)
			for _, s := range servers {
				<-s.work.Ready()
			}
			servers = servers[:3]
			var acked atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			for _, s := range servers {
				wg.Go(func() {
					for ctx.Err() == nil {
						floor := acked.Load()
						if got := s.get(t, db); int64(got) < floor {
							t.Errorf("seed %d/%d: %s reads %d, %d was acknowledged before", seed, round, s.name, got, floor)
							return
						}
						time.Sleep(3 * time.Millisecond)
					}
				})
			}
			for i := range steps {
				switch r.IntN(4) {
				case 0:
					a, b := r.IntN(3), r.IntN(3)
					if a != b {
						net.Cut(names[a], names[b])
						if r.IntN(2) == 0 {
							net.See(append([]string{names[a]}, rest...), names[b], names[3-a-b])
						}
					}
				case 1:
					net.Heal()
					net.See(all)
				default:
					db.write("k", i+1)
					if err := servers[r.IntN(3)].cache.Changed(ctx, "k"); err == nil {
						acked.Store(int64(i + 1))
					}
				}
				time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
			}
			net.Heal()
			cancel()
			wg.Wait()
		})
	}
}

func TestAReadThatBeganBeforeAnInvalidationIsNotKept(t *testing.T) {
	for name, forget := range map[string]func(*caches.Local[string, int]){
		"invalidate":    func(l *caches.Local[string, int]) { l.Invalidate("k") },
		"flush":         func(l *caches.Local[string, int]) { l.Flush() },
		"invalidate if": func(l *caches.Local[string, int]) { l.InvalidateIf(func(string, int) bool { return true }) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := caches.NewLocal(caches.LocalConfig[string, int]{Clock: clock.Real()})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			began, finish := make(chan bool), make(chan bool)
			old := make(chan int, 1)
			go func() {
				v, _ := l.Get(context.Background(), "k", func(context.Context) (int, error) { close(began); <-finish; return 1, nil })
				old <- v
			}()
			<-began
			forget(l)
			two := func(context.Context) (int, error) { return 2, nil }
			if v, _ := l.Get(context.Background(), "k", two); v != 2 {
				t.Errorf("a read after the invalidation gives %d: it joined one from before", v)
			}
			close(finish)
			<-old
			if v, ok := l.Peek("k"); !ok || v != 2 {
				t.Errorf("cached: %d %v, want 2", v, ok)
			}
		})
	}
}

// As long as a member is stopped, nobody has its lease: each read of each request
// goes to the database.
func TestReadsWithoutALeaseShareLoadsThatBeginAfterThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := caches.NewLocal(caches.LocalConfig[string, int64]{Clock: clock.Real(), Coherent: func() bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		start := time.Now()
		row := func() int64 { return int64(time.Since(start)) } // it changes all the time
		var loads, reads atomic.Int64
		load := func(context.Context) (int64, error) {
			loads.Add(1)
			v := row()
			time.Sleep(10 * time.Millisecond)
			return v, nil
		}
		const readers, long = 100, time.Second
		var wg sync.WaitGroup
		for i := range readers {
			wg.Go(func() {
				for time.Since(start) < long {
					floor := row()
					if i%10 == 0 {
						l.Invalidate("k")
					}
					if got, err := l.Get(context.Background(), "k", load); err != nil || got < floor {
						t.Errorf("a read at %d gives %d, %v", floor, got, err)
					}
					if took := time.Duration(row() - floor); took > 20*time.Millisecond {
						t.Errorf("a read took %s, want at most the load under way and its own", took)
					}
					reads.Add(1)
					time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				}
			})
		}
		wg.Wait()
		if most := int64(long/(10*time.Millisecond)) + 2; loads.Load() > most || reads.Load() < 10*most {
			t.Errorf("%d reads took %d loads, want at most %d", reads.Load(), loads.Load(), most)
		}
		if _, err := l.Get(context.Background(), "k", func(context.Context) (int64, error) { return 0, errors.New("database gone") }); err == nil {
			t.Error("an error was swallowed")
		}
	})
}

func TestLocalIsBoundedExpiresAndLoadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := caches.NewLocal(caches.LocalConfig[int, int]{Size: 100, MaxAge: time.Hour, Clock: clock.Real()})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var loads atomic.Int64
		load := func(context.Context) (int, error) { loads.Add(1); time.Sleep(time.Second); return 1, nil }
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { _, _ = l.Get(context.Background(), 1, load) })
		}
		wg.Wait()
		if loads.Load() != 1 {
			t.Errorf("%d loads for one key asked for by 50 at once", loads.Load())
		}
		time.Sleep(time.Hour)
		if _, ok := l.Peek(1); ok {
			t.Error("an entry outlived its age")
		}
		for i := range 1000 {
			_, _ = l.Get(context.Background(), i, func(context.Context) (int, error) { return i, nil })
		}
		synctest.Wait()
		if n := l.Len(); n > 110 {
			t.Errorf("%d entries, at most about 100", n)
		}
		failing := func(context.Context) (int, error) { return 0, errors.New("database gone") }
		if _, err := l.Get(context.Background(), 5000, failing); err == nil {
			t.Error("an error was swallowed")
		}
		if _, err := l.Get(context.Background(), 5001, func(context.Context) (int, error) { panic("bug") }); !problem.Is(err, problem.Internal) {
			t.Errorf("a panic of the loader: %v", err)
		}
		if v, err := l.Get(context.Background(), 5000, func(context.Context) (int, error) { return 5, nil }); v != 5 || err != nil {
			t.Errorf("after an error: %d %v", v, err)
		}
	})
}

func BenchmarkLocalGet(b *testing.B) {
	l, err := caches.NewLocal(caches.LocalConfig[string, int]{Clock: clock.Real()})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("realm-", i)
	}
	load := func(context.Context) (int, error) { return 1, nil }
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, _ = l.Get(context.Background(), keys[i%1000], load)
		}
	})
}
