package caches_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/caches/cachetest"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

// grid is a cluster of caches in memory.
type grid struct {
	t      *testing.T
	net    *clustertest.Net
	owners int
	policy caches.SplitPolicy
	idle   func(value []byte) time.Duration
	alive  []string
	nodes  map[string]*gridNode
}

type gridNode struct {
	*caches.Distributed
	name string
	stop func()
	dead chan struct{}
}

func newGrid(t *testing.T, owners int, policy caches.SplitPolicy, names ...string) *grid {
	g := &grid{t: t, net: clustertest.NewNet(), owners: owners, policy: policy, nodes: map[string]*gridNode{}}
	g.startAll(names...)
	return g
}

func (g *grid) startAll(names ...string) {
	for _, n := range names {
		g.start(n)
	}
	g.settle()
}

func open(mesh caches.Mesh, owners int, policy caches.SplitPolicy, idle func(value []byte) time.Duration, join func()) (*caches.Distributed, func()) {
	log := zerolog.Nop()
	if os.Getenv("CACHES_TRACE") != "" {
		log = zerolog.New(os.Stderr).With().Str("node", mesh.Self().Name).Logger()
	}
	d := caches.NewDistributed(caches.DistributedConfig{Name: "sessions", Mesh: mesh, Owners: owners, Policy: policy, Idle: idle, Clock: clock.Real(), Log: log})
	join()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return d, sync.OnceFunc(func() { cancel(); <-done })
}

// start adds a member and lets everybody see it.
func (g *grid) start(name string) *gridNode {
	node := g.net.Start(name)
	g.alive = append(g.alive, name)
	// As in a server: answering before it joins, taking part once it has.
	d, stop := open(node, g.owners, g.policy, g.idle, func() { g.net.See(g.alive) })
	n := &gridNode{d, name, stop, make(chan struct{})}
	g.nodes[name] = n
	return n
}

// kill ends a member's process; the others notice after a while.
func (g *grid) kill(name string, notice time.Duration) {
	close(g.nodes[name].dead)
	g.net.Kill(name)
	g.nodes[name].stop()
	var alive []string
	for _, n := range g.alive {
		if n != name {
			alive = append(alive, n)
		}
	}
	g.alive = alive
	time.Sleep(notice)
	if len(alive) > 0 {
		g.net.See(alive)
	}
}

// settle waits until all copies are made: nothing here takes a minute.
func (g *grid) settle() { time.Sleep(time.Minute); synctest.Wait() }

func (g *grid) stopAll() {
	for _, n := range g.nodes {
		n.stop()
	}
	time.Sleep(time.Second) // for messages under way: virtual time ends with the test
}

func (g *grid) fill(n int) {
	g.t.Helper()
	for i := range n {
		node := g.nodes[g.alive[i%len(g.alive)]]
		if _, err := node.Put(context.Background(), fmt.Sprint("session-", i), fmt.Append(nil, i), 0); err != nil {
			g.t.Fatal(err)
		}
	}
}

func (g *grid) check(n int, when string) {
	g.t.Helper()
	lost := 0
	for i := range n {
		node := g.nodes[g.alive[i%len(g.alive)]]
		item, ok, err := node.Get(context.Background(), fmt.Sprint("session-", i))
		if err != nil {
			g.t.Fatalf("%s: %v", when, err)
		}
		if !ok || string(item.Value) != fmt.Sprint(i) {
			lost++
		}
	}
	if lost > 0 {
		g.t.Errorf("%s: %d of %d lost", when, lost, n)
	}
}

func TestContractOfADistributedCache(t *testing.T) {
	for _, size := range []int{1, 2, 3, 5} {
		t.Run(fmt.Sprint(size, " members"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGrid(t, 2, caches.Merge, []string{"a", "b", "c", "d", "e"}[:size]...)
				defer g.stopAll()
				var stores []cachetest.Store
				for _, n := range g.alive {
					stores = append(stores, g.nodes[n])
				}
				cachetest.Run(t, stores, true)
			})
		})
	}
	t.Run("alone, without a cluster", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, stop := open(caches.Alone{Member: cluster.Member{Name: "a", Born: 1}}, 2, caches.Majority, nil, func() {})
			defer stop()
			cachetest.Run(t, []cachetest.Store{d}, true)
		})
	})
}

func TestNothingIsLostWhenOneOfTwoCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 2, caches.Merge, "a", "b")
		defer g.stopAll()
		g.fill(2000)
		g.kill("a", 2*time.Second)
		g.check(2000, "after the crash of one of two")
		g.start("c")
		g.settle()
		g.kill("b", 2*time.Second)
		g.check(2000, "after another had joined and the second crashed")
	})
}

func TestNothingIsLostWhenTwoOfThreeCrashOneAfterTheOther(t *testing.T) {
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}, {"c", "a"}, {"c", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			g := newGrid(t, 2, caches.Merge, "a", "b", "c")
			defer g.stopAll()
			g.fill(2000)
			for _, name := range order {
				g.kill(name, 2*time.Second)
				g.settle() // no read in between: copies are made at once
			}
			g.check(2000, fmt.Sprint("after the crashes of ", order))
		})
	}
}

func TestThreeOwnersSurviveTwoCrashesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 3, caches.Merge, "a", "b", "c", "d")
		defer g.stopAll()
		g.fill(1000)
		g.kill("b", 0)
		g.kill("a", 2*time.Second)
		g.check(1000, "after two crashes at once")
	})
}

func TestALeavingMemberHandsOverEvenWithOneOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 1, caches.Merge, "a", "b", "c")
		defer g.stopAll()
		g.fill(1000)
		for _, name := range []string{"a", "c"} {
			if err := g.nodes[name].Leave(context.Background()); err != nil {
				t.Fatal(err)
			}
			g.kill(name, 0)
			g.check(1000, name+" has left")
		}
	})
}

// LIBRARIES.md C.4: the prototype lost acknowledged updates here.
func TestNoAcknowledgedUpdateIsLostWhileAMemberJoinsAndDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 2, caches.Merge, "a", "b")
		defer g.stopAll()
		const keys = 200
		var acked [keys]int
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range 4 {
			node := g.nodes[[]string{"a", "b"}[w%2]] // before the map is replaced
			wg.Go(func() {
				for n := 1; ctx.Err() == nil; n++ {
					k := w + 4*(n%(keys/4))
					_, err := node.Put(context.Background(), fmt.Sprint("session-", k), fmt.Append(nil, n), 0)
					for problem.Is(err, problem.Timeout) { // outcome unknown: its primary died
						_, err = node.Put(context.Background(), fmt.Sprint("session-", k), fmt.Append(nil, n), 0)
					}
					if err != nil {
						t.Errorf("Put: %v", err)
						return
					}
					acked[k] = n
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		for i := range 3 {
			name := fmt.Sprint("joiner-", i)
			nodes, alive := g.nodes, g.alive
			g.nodes = map[string]*gridNode{} // the workers read the old map
			for k, v := range nodes {
				g.nodes[k] = v
			}
			g.alive = append([]string{}, alive...)
			g.start(name)
			time.Sleep([]time.Duration{30 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second}[i])
			g.kill(name, time.Second)
			time.Sleep(time.Second)
		}
		cancel()
		wg.Wait()
		for k, want := range acked {
			item, _, err := g.nodes["a"].Get(context.Background(), fmt.Sprint("session-", k))
			if err != nil || want > 0 && string(item.Value) != fmt.Sprint(want) {
				t.Errorf("key %d has %q %v, acknowledged %d", k, item.Value, err, want)
			}
		}
	})
}

func TestAfterAPartitionTheLaterWriteWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 2, caches.Merge, "a", "b")
		defer g.stopAll()
		ctx := context.Background()
		put := func(node, key, value string) {
			t.Helper()
			if _, err := g.nodes[node].Put(ctx, key, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"k1", "k2", "both", "gone"} {
			put("a", key, "old")
		}
		g.net.Cut("a", "b")
		g.net.See([]string{"a"}, "b")
		g.net.See([]string{"b"}, "a")
		time.Sleep(5 * time.Second)
		put("a", "k1", "from a")
		put("b", "k2", "from b")
		put("a", "both", "earlier")
		time.Sleep(time.Second)
		put("b", "both", "later")
		if _, err := g.nodes["b"].Remove(ctx, "gone"); err != nil {
			t.Fatal(err)
		}
		g.net.Heal()
		g.net.See([]string{"a", "b"})
		g.settle()
		for key, want := range map[string]string{"k1": "from a", "k2": "from b", "both": "later", "gone": ""} {
			for _, node := range g.alive {
				item, _, err := g.nodes[node].Get(ctx, key)
				if err != nil || string(item.Value) != want {
					t.Errorf("%s on %s: %q %v, want %q", key, node, item.Value, err, want)
				}
			}
		}
	})
}

func TestTheSideWithoutAMajorityRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 2, caches.Majority, "a", "b", "c")
		defer g.stopAll()
		g.fill(100)
		ctx := context.Background()
		g.net.Cut("a", "b")
		g.net.Cut("a", "c")
		g.net.See([]string{"a"}, "b", "c")
		g.net.See([]string{"b", "c"}, "a")
		time.Sleep(5 * time.Second)
		if _, err := g.nodes["a"].Put(ctx, "code", []byte("x"), 0); !problem.Is(err, problem.Unavailable) {
			t.Errorf("Put without a majority: %v, want Unavailable", err)
		}
		if _, _, err := g.nodes["a"].Get(ctx, "session-1"); !problem.Is(err, problem.Unavailable) {
			t.Errorf("Get without a majority: %v, want Unavailable", err)
		}
		if ok, err := g.nodes["b"].Remove(ctx, "session-1"); !ok || err != nil {
			t.Errorf("Remove with a majority: %v %v", ok, err)
		}
		g.net.Heal()
		g.net.See([]string{"a", "b", "c"})
		g.settle()
		if ok, err := g.nodes["a"].Remove(ctx, "session-1"); ok || err != nil {
			t.Errorf("a used code is used again after the partition: %v %v", ok, err)
		}
		if ok, err := g.nodes["a"].Remove(ctx, "session-2"); !ok || err != nil {
			t.Errorf("a code of before: %v %v", ok, err)
		}
	})
}

func TestACrashIsNoLossOfTheMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrid(t, 2, caches.Majority, "a", "b")
		defer g.stopAll()
		g.fill(100)
		g.kill("a", time.Second) // the oldest, and surely ended: the view does not count it as departed
		g.check(100, "after the crash")
	})
}
