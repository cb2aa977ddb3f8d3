package caches_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gatehouse-idp/gatehouse/server/caches"
)

// call is one operation as a client saw it.
type call struct {
	kind   string // get, put, absent, replace, remove
	key    int
	value  int // written, unique; in replace also
	expect int // replace: the value that was read
}

// outcome is its answer; with unknown it may have taken effect at any time
// since, or never.
type outcome struct {
	value   int // get: 0 is absent
	ok      bool
	unknown bool
}

// register is the model: each key holds a value, 0 is none.
var register = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[int][]porcupine.Operation{}
		for _, o := range history {
			k := o.Input.(call).key
			byKey[k] = append(byKey[k], o)
		}
		var parts [][]porcupine.Operation
		for _, p := range byKey {
			parts = append(parts, p)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(int), input.(call), output.(outcome)
		next, ok := s, true
		switch in.kind {
		case "get":
			return out.unknown || out.value == s, s
		case "put":
			next = in.value
		case "absent":
			if ok = s == 0; ok {
				next = in.value
			}
		case "replace":
			if ok = s != 0 && s == in.expect; ok {
				next = in.value
			}
		case "remove":
			ok = s != 0
			next = 0
		}
		return out.unknown || out.ok == ok, next
	},
}

// TestHistoriesAreLinearizableWhileMembersComeAndGo lets clients on all members
// work on few keys while members join, leave and are killed, one at a time
// with time to make copies in between, and checks the recorded history.
//
// Messages take up to 2 ms, one in twenty up to 100 ms.
func TestHistoriesAreLinearizableWhileMembersComeAndGo(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rounds := uint64(25)
	if n, err := strconv.ParseUint(os.Getenv("CACHES_ROUNDS"), 10, 32); err == nil {
		rounds = n
	}
	total := 0
	defer func() { t.Logf("%d operations checked", total) }()
	for round := range rounds {
		var history []porcupine.Operation
		var unknown int
		synctest.Test(t, func(t *testing.T) { history, unknown = record(t, seed, round) })
		switch porcupine.CheckOperationsTimeout(register, history, 20*time.Second) {
		case porcupine.Illegal:
			t.Errorf("seed %d/%d: a history of %d operations is not linearizable", seed, round, len(history))
		case porcupine.Ok:
			total += len(history)
		case porcupine.Unknown:
			t.Logf("seed %d/%d: %d operations took too long to check", seed, round, len(history))
		}
		if unknown*5 > len(history) {
			t.Errorf("seed %d/%d: %d of %d operations ended with an unknown outcome", seed, round, unknown, len(history))
		}
	}
}

func record(t *testing.T, seed, round uint64) (history []porcupine.Operation, unknown int) {
	g := newGrid(t, 2+int(round%2), caches.Merge, "n0", "n1", "n2", "n9")
	defer g.stopAll()
	r := rand.New(rand.NewPCG(seed, round))
	var delays sync.Mutex
	dr := rand.New(rand.NewPCG(seed, ^round))
	g.net.Delay(func() time.Duration {
		delays.Lock()
		defer delays.Unlock()
		if dr.IntN(20) == 0 {
			return time.Duration(dr.IntN(100)) * time.Millisecond
		}
		return time.Duration(dr.IntN(2000)) * time.Microsecond
	})
	start := time.Now()
	var mu sync.Mutex // guards history, and the grid's members
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for client := range 8 {
		r := rand.New(rand.NewPCG(seed, round<<8|uint64(client)))
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				mu.Lock()
				node := g.nodes[g.alive[r.IntN(len(g.alive))]]
				mu.Unlock()
				ops := step(node, r, client, 1+n, func() int64 { return int64(time.Since(start)) })
				mu.Lock()
				for _, o := range ops {
					if o.Output.(outcome).unknown {
						unknown++
					}
				}
				history = append(history, ops...)
				mu.Unlock()
				time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
			}
		})
	}
	for i := range 5 {
		time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
		switch {
		case len(g.alive) < 4 || r.IntN(3) == 0:
			mu.Lock()
			g.start(fmt.Sprint("n", 3+i))
			mu.Unlock()
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		default:
			mu.Lock()
			name := g.alive[r.IntN(len(g.alive))]
			mu.Unlock()
			if r.IntN(3) == 0 {
				if err := g.nodes[name].Leave(context.Background()); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			g.kill(name, 0)
			mu.Unlock()
			g.complete()
		}
	}
	cancel()
	wg.Wait()
	// What is there at the end must fit, too.
	for key := range 4 {
		began := int64(time.Since(start))
		item, _, err := g.nodes[g.alive[0]].Get(context.Background(), fmt.Sprint("k", key))
		if err != nil {
			t.Errorf("the last read: %v", err)
		}
		history = append(history, porcupine.Operation{ClientId: 0, Input: call{kind: "get", key: key}, Call: began, Output: outcome{value: number(item)}, Return: int64(time.Since(start))})
	}
	return history, unknown
}

// complete waits until the crash is noticed and all copies are made again.
func (g *grid) complete() {
	time.Sleep(500 * time.Millisecond)
	for range 1000 {
		all := true
		for _, n := range g.alive {
			all = all && g.nodes[n].Complete()
		}
		if all {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Error("the copies were not made again in 10 s")
}

func number(i caches.Item) (n int) {
	_, _ = fmt.Sscan(string(i.Value), &n)
	return n
}

// step performs one operation, or a read and a replacement of what was read.
func step(node *gridNode, r *rand.Rand, client, n int, now func() int64) (ops []porcupine.Operation) {
	ctx := context.Background()
	in := call{key: r.IntN(4), value: client*1_000_000 + n}
	key, value := fmt.Sprint("k", in.key), fmt.Append(nil, in.value)
	note := func(in call, began int64, out outcome, err error) {
		select {
		case <-node.dead:
			out.unknown = true
		default:
			out.unknown = err != nil
		}
		end := now()
		if out.unknown {
			end = int64(time.Hour)
		}
		ops = append(ops, porcupine.Operation{ClientId: client, Input: in, Call: began, Output: out, Return: end})
	}
	var item caches.Item
	var ok bool
	var err error
	began := now()
	switch r.IntN(5) {
	case 0:
		in.kind = "put"
		_, err = node.Put(ctx, key, value, 0)
		ok = true
	case 1:
		in.kind = "absent"
		_, ok, err = node.PutIfAbsent(ctx, key, value, 0)
	case 2:
		in.kind = "remove"
		ok, err = node.Remove(ctx, key)
	default:
		item, _, err = node.Get(ctx, key)
		note(call{kind: "get", key: in.key}, began, outcome{value: number(item)}, err)
		if err != nil || number(item) == 0 {
			return ops
		}
		began = now()
		in.kind, in.expect = "replace", number(item)
		_, ok, err = node.Replace(ctx, key, value, 0, item.Version)
	}
	note(in, began, outcome{ok: ok}, err)
	return ops
}
