package caches_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

// idleGrid is a grid whose entries live while somebody uses them, but for those
// that say "for ever".
func idleGrid(t *testing.T, limit time.Duration, names ...string) *grid {
	g := &grid{t: t, net: clustertest.NewNet(), owners: 2, policy: caches.Majority, nodes: map[string]*gridNode{}, idle: func(value []byte) time.Duration {
		if string(value) == "for ever" {
			return 0
		}
		return limit
	}}
	g.startAll(names...)
	return g
}

// there reports whether a key is there, as one member sees it: that is a use.
func (g *grid) there(node, key string) bool {
	g.t.Helper()
	_, ok, err := g.nodes[node].Get(context.Background(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	return ok
}

func (g *grid) put(node, key, value string) caches.Version {
	g.t.Helper()
	v, err := g.nodes[node].Put(context.Background(), key, []byte(value), 0)
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func TestAnEntryThatNobodyUsesExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		g := idleGrid(t, limit, "a", "b", "c")
		defer g.stopAll()
		ctx := context.Background()
		for i := range 60 { // keys of all primaries
			g.put(g.alive[i%3], fmt.Sprint("read-", i), "x")
			g.put(g.alive[i%3], fmt.Sprint("written-", i), "x")
			g.put(g.alive[i%3], fmt.Sprint("idle-", i), "x")
			g.put(g.alive[i%3], fmt.Sprint("for-ever-", i), "for ever")
		}
		for round := range 5 {
			time.Sleep(limit - time.Second)
			for i := range 60 {
				if !g.there(g.alive[(i+round)%3], fmt.Sprint("read-", i)) {
					t.Fatalf("an entry that is read is gone after %d rounds", round)
				}
				item, ok, err := g.nodes[g.alive[(i+round)%3]].Get(ctx, fmt.Sprint("written-", i))
				if err != nil || !ok {
					t.Fatalf("an entry that is written is gone after %d rounds: %v", round, err)
				}
				if _, ok, err := g.nodes["a"].Replace(ctx, fmt.Sprint("written-", i), []byte("y"), 0, item.Version); !ok || err != nil {
					t.Fatalf("an entry that is used cannot be replaced: %v", err)
				}
			}
		}
		for i := range 60 {
			if g.there("a", fmt.Sprint("idle-", i)) {
				t.Errorf("idle-%d is there after %s", i, 5*limit)
			}
			if !g.there("b", fmt.Sprint("for-ever-", i)) {
				t.Errorf("for-ever-%d is gone", i)
			}
		}
		time.Sleep(limit + 20*time.Second) // all but what is for ever, and the sweep
		time.Sleep(6 * time.Minute)        // and what is remembered of the removed
		synctest.Wait()
		held := 0
		for _, n := range g.alive {
			held += g.nodes[n].Local()
		}
		if want := 60 * g.owners; held != want {
			t.Errorf("the owners hold %d entries, want %d: those that live for ever", held, want)
		}
	})
}

// To the moment, whenever it is swept; and an entry that has expired is none.
func TestAnIdleEntryIsNoneForWhoeverAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Second // sweeps are 10 s apart
		g := idleGrid(t, limit, "a", "b")
		defer g.stopAll()
		ctx := context.Background()
		for i := range 40 {
			key := fmt.Sprint("k", i)
			version := g.put("a", key, "x")
			time.Sleep(limit - time.Millisecond)
			if !g.there("b", key) {
				t.Fatalf("%s is gone before %s", key, limit)
			}
			time.Sleep(limit)
			switch i % 4 {
			case 0:
				if g.there("b", key) {
					t.Errorf("%s is there after %s", key, limit)
				}
			case 1:
				if _, ok, err := g.nodes["b"].Replace(ctx, key, []byte("y"), 0, version); ok || err != nil {
					t.Errorf("%s was replaced: %v, %v", key, ok, err)
				}
			case 2:
				if ok, err := g.nodes["b"].Remove(ctx, key); ok || err != nil {
					t.Errorf("%s was removed: %v, %v", key, ok, err)
				}
			default:
				if _, ok, err := g.nodes["b"].PutIfAbsent(ctx, key, []byte("y"), 0); !ok || err != nil {
					t.Errorf("%s is taken: %v, %v", key, ok, err)
				}
				if !g.there("a", key) {
					t.Errorf("%s was put anew, and is gone", key)
				}
			}
		}
	})
}

// What the primary knew of uses goes with it: its successor does not take an entry
// for unused that somebody used a moment before.
func TestACrashExpiresNothingEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 * time.Minute
		g := idleGrid(t, limit, "a", "b", "c")
		defer g.stopAll()
		for i := range 100 {
			g.put("a", fmt.Sprint("k", i), "x")
		}
		for _, crash := range []string{"a", "b"} {
			time.Sleep(limit - time.Second) // long after it was written
			for i := range 100 {
				g.there("c", fmt.Sprint("k", i))
			}
			g.kill(crash, time.Second)
			g.settle()
			g.start(crash)
			g.settle()
			time.Sleep(time.Minute)
			for i := range 100 {
				if !g.there("c", fmt.Sprint("k", i)) {
					t.Fatalf("k%d is gone three minutes after it was read, by the crash of %s", i, crash)
				}
			}
		}
		time.Sleep(limit + time.Second)
		for i := range 100 {
			if g.there("c", fmt.Sprint("k", i)) {
				t.Errorf("k%d is there, and nobody used it for %s", i, limit)
			}
		}
	})
}
