package durable_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// attempt is one write or read while a member was in trouble.
type attempt struct{ began, took time.Duration }

// work lets all the named servers write and read sessions of their own for a
// while, one every 40 ms, and gives what each took.
func (w *world) work(d time.Duration, at ...string) (all []attempt) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i := 0; time.Since(start) < d; i++ {
		for _, name := range at {
			wg.Go(func() {
				began := time.Now()
				key := storage.SessionKey{Realm: "r", ID: name + strconv.Itoa(i%10)}
				users := w.members[name].Sessions().Users
				err := users.Change(context.Background(), key, func(s *model.UserSession) error { s.Notes["n"] = strconv.Itoa(i); return nil })
				if err == nil {
					_, err = users.Get(context.Background(), key)
				}
				if err != nil {
					w.t.Errorf("%s at %s: %v", name, began.Sub(start), err)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, attempt{began.Sub(start), time.Since(began)})
			})
		}
		time.Sleep(40 * time.Millisecond)
	}
	wg.Wait()
	return all
}

// worst is the longest of those that began in a span of time.
func worst(all []attempt, from, to time.Duration) (longest time.Duration) {
	for _, a := range all {
		if a.began >= from && a.began < to {
			longest = max(longest, a.took)
		}
	}
	return longest
}

func TestAMemberInTroubleHoldsUpOthersOnceAndNotForLong(t *testing.T) {
	// The cluster notices a lost member after two seconds, or later on a busy machine.
	for _, c := range []struct {
		name         string
		trouble      func(w *world, name string) (departed []string)
		servers      []string
		noticed      time.Duration
		once, always time.Duration // limits: at first, and from the third second on
	}{
		{"black hole, 3 servers, noticed late", cutOff, []string{"a", "b", "c"}, 9 * time.Second, 2500 * time.Millisecond, 150 * time.Millisecond},
		{"black hole, 2 servers", cutOff, []string{"a", "b"}, 2 * time.Second, 2500 * time.Millisecond, 150 * time.Millisecond},
		{"killed, 3 servers, noticed late", killed, []string{"a", "b", "c"}, 9 * time.Second, 500 * time.Millisecond, 150 * time.Millisecond},
		{"killed, 2 servers", killed, []string{"a", "b"}, 2 * time.Second, 500 * time.Millisecond, 150 * time.Millisecond},
	} {
		for _, victim := range []string{c.servers[0], c.servers[len(c.servers)-1]} { // the oldest numbers the placements
			t.Run(c.name+", "+victim, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func() time.Duration { return 2 * time.Millisecond }, c.servers...)
					defer w.stop()
					w.net.Delay(func() time.Duration { return time.Millisecond })
					rest := slices.DeleteFunc(slices.Clone(c.servers), func(n string) bool { return n == victim })
					for _, name := range c.servers {
						for i := range 10 {
							w.create(name, storage.SessionKey{Realm: "r", ID: name + strconv.Itoa(i)})
						}
					}
					departed := c.trouble(w, victim)
					time.AfterFunc(c.noticed, func() { w.net.See(rest, departed...) })
					all := w.work(12*time.Second, rest...)
					if got := worst(all, 0, time.Minute); got > c.once {
						t.Errorf("a write and a read took %s, want at most %s", got, c.once)
					}
					if got := worst(all, 3*time.Second, time.Minute); got > c.always {
						t.Errorf("a write and a read after three seconds took %s, want at most %s", got, c.always)
					}
					t.Logf("worst %s, from the third second on %s", worst(all, 0, time.Minute), worst(all, 3*time.Second, time.Minute))
				})
			})
		}
	}
}

// cutOff makes calls to a member hang, as when it is stopped or its network
// is: nobody knows whether it has ended.
func cutOff(w *world, name string) (departed []string) {
	for _, other := range w.alive {
		if other != name {
			w.net.Cut(name, other)
		}
	}
	return []string{name}
}

func killed(w *world, name string) (departed []string) {
	w.net.Kill(name)
	w.members[name].end()
	return nil
}
