package caches_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/caches"
)

// A primary that dies in the middle of a write leaves its owners with
// different copies. Whatever the next primary answers must stay the answer
// when that one dies, too.
func TestAWriteThatReachedSomeOwnersIsTheSameForAllAfterwards(t *testing.T) {
	for _, second := range []string{"b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			g := newGrid(t, 3, caches.Merge, "a", "b", "c")
			defer g.stopAll()
			const keys = 100
			get := func(node string, i int) string {
				t.Helper()
				item, _, err := g.nodes[node].Get(context.Background(), fmt.Sprint("session-", i))
				if err != nil {
					t.Fatal(err)
				}
				return string(item.Value)
			}
			g.fill(keys)
			g.net.Cut("a", "b")
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			var wg sync.WaitGroup
			for i := range keys {
				wg.Go(func() { _, _ = g.nodes["a"].Put(ctx, fmt.Sprint("session-", i), []byte("new"), 0) })
			}
			wg.Wait()
			g.kill("a", time.Second)
			var seen [keys]string
			changed := 0
			for i := range keys {
				if seen[i] = get(g.alive[i%2], i); seen[i] == "new" {
					changed++
				}
			}
			if changed == 0 {
				t.Error("no write reached any owner: the test tests nothing")
			}
			g.settle()
			g.kill(second, time.Second)
			for i, want := range seen {
				if got := get(g.alive[0], i); got != want {
					t.Errorf("key %d was %q, and is %q after the crash of %s", i, want, got, second)
				}
			}
		})
	}
}
