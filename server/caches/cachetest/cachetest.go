// Package cachetest owns the contract suite of distributed caches: every
// engine and every size of cluster runs it. It is never compiled into the
// product.
package cachetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/caches"
)

// Store is the contract; caches.Distributed has the words.
type Store interface {
	Get(ctx context.Context, key string) (caches.Item, bool, error)
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) (caches.Version, error)
	PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (caches.Item, bool, error)
	Replace(ctx context.Context, key string, value []byte, ttl time.Duration, version caches.Version) (caches.Item, bool, error)
	Remove(ctx context.Context, key string) (bool, error)
}

// Run holds the contract against the stores that open gives, which are the
// members of one cluster. open is called inside a synctest bubble when virtual
// is true; then expiry is waited for.
func Run(t *testing.T, stores []Store, virtual bool) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // what takes long on a busy machine is no failure
	defer cancel()
	s := &suite{t: t, ctx: ctx, stores: stores}
	s.whatIsPutIsThereOnEveryMember()
	s.whatIsRemovedIsGone()
	s.putIfAbsentHasOneWinner()
	s.replaceNeedsTheVersion()
	s.removeHasOneWinner()
	s.concurrentIncrementsAreNotLost()
	if virtual {
		s.entriesExpire()
	}
}

type suite struct {
	t      *testing.T
	ctx    context.Context
	stores []Store
	keys   int
	next   int
}

func (s *suite) at() Store {
	s.next++
	return s.stores[s.next%len(s.stores)]
}

func (s *suite) key() string {
	s.keys++
	return fmt.Sprintf("key-%d", s.keys)
}

func (s *suite) put(key, value string, ttl time.Duration) caches.Version {
	s.t.Helper()
	v, err := s.at().Put(s.ctx, key, []byte(value), ttl)
	if err != nil {
		s.t.Fatalf("Put(%s) = %v", key, err)
	}
	return v
}

// holds checks what every member says of a key; "" is that it is absent.
func (s *suite) holds(what, key, want string) {
	s.t.Helper()
	for i, st := range s.stores {
		item, ok, err := st.Get(s.ctx, key)
		if err != nil || ok != (want != "") || string(item.Value) != want {
			s.t.Errorf("%s: member %d has %q %v %v, want %q", what, i, item.Value, ok, err, want)
		}
	}
}

func (s *suite) whatIsPutIsThereOnEveryMember() {
	for range 40 {
		key := s.key()
		s.holds("before", key, "")
		first := s.put(key, "one", 0)
		s.holds("after a put", key, "one")
		second := s.put(key, "two", 0)
		s.holds("after another", key, "two")
		if !first.Before(second) {
			s.t.Errorf("versions %v, then %v", first, second)
		}
	}
}

func (s *suite) whatIsRemovedIsGone() {
	for range 20 {
		key := s.key()
		if ok, err := s.at().Remove(s.ctx, key); ok || err != nil {
			s.t.Errorf("Remove of nothing = %v %v", ok, err)
		}
		s.put(key, "x", 0)
		if ok, err := s.at().Remove(s.ctx, key); !ok || err != nil {
			s.t.Errorf("Remove = %v %v", ok, err)
		}
		s.holds("after the removal", key, "")
		s.put(key, "y", 0)
		s.holds("put again", key, "y")
	}
}

func (s *suite) putIfAbsentHasOneWinner() {
	s.oneWinner("PutIfAbsent", func(string) {}, func(st Store, key string, n int) (bool, error) {
		_, ok, err := st.PutIfAbsent(s.ctx, key, fmt.Append(nil, n), 0)
		return ok, err
	})
}

// removeHasOneWinner: a code, an action token is used once.
func (s *suite) removeHasOneWinner() {
	s.oneWinner("Remove", func(key string) { s.put(key, "code", time.Minute) }, func(st Store, key string, _ int) (bool, error) {
		return st.Remove(s.ctx, key)
	})
}

func (s *suite) oneWinner(what string, prepare func(key string), try func(st Store, key string, n int) (bool, error)) {
	for range 20 {
		key := s.key()
		prepare(key)
		var won atomic.Int64
		var wg sync.WaitGroup
		for n := range 8 {
			st := s.at()
			wg.Go(func() {
				ok, err := try(st, key, n)
				if err != nil {
					s.t.Errorf("%s = %v", what, err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			s.t.Errorf("%s of one key by eight: %d winners", what, won.Load())
		}
	}
}

func (s *suite) replaceNeedsTheVersion() {
	for range 20 {
		key := s.key()
		if _, ok, err := s.at().Replace(s.ctx, key, []byte("x"), 0, caches.Version{}); ok || err != nil {
			s.t.Errorf("Replace of nothing = %v %v", ok, err)
		}
		old := s.put(key, "one", 0)
		item, ok, err := s.at().Replace(s.ctx, key, []byte("two"), 0, old)
		if !ok || err != nil {
			s.t.Errorf("Replace of the version = %v %v", ok, err)
		}
		is, ok, err := s.at().Replace(s.ctx, key, []byte("three"), 0, old)
		if ok || err != nil || is.Version != item.Version || string(is.Value) != "two" {
			s.t.Errorf("Replace of an old version = %+v %v %v, want what is there", is, ok, err)
		}
		s.holds("after the replacements", key, "two")
	}
}

func (s *suite) concurrentIncrementsAreNotLost() {
	key := s.key()
	s.put(key, "0", 0)
	var wg sync.WaitGroup
	for range 6 {
		st := s.at()
		wg.Go(func() {
			for done := 0; done < 10; {
				item, _, err := st.Get(s.ctx, key)
				if err != nil {
					s.t.Errorf("Get = %v", err)
					return
				}
				var n int
				if _, err := fmt.Sscan(string(item.Value), &n); err != nil {
					s.t.Errorf("value %q", item.Value)
					return
				}
				_, ok, err := st.Replace(s.ctx, key, fmt.Append(nil, n+1), 0, item.Version)
				if err != nil {
					s.t.Errorf("Replace = %v", err)
					return
				}
				if ok {
					done++
				}
			}
		})
	}
	wg.Wait()
	s.holds("after sixty increments", key, "60")
}

func (s *suite) entriesExpire() {
	key, forever := s.key(), s.key()
	s.put(key, "short", time.Minute)
	s.put(forever, "long", 0)
	time.Sleep(59 * time.Second)
	s.holds("before its time", key, "short")
	time.Sleep(2 * time.Second)
	s.holds("after its time", key, "")
	s.holds("without a time", forever, "long")
	if _, ok, err := s.at().PutIfAbsent(s.ctx, key, []byte("new"), time.Hour); !ok || err != nil {
		s.t.Errorf("PutIfAbsent of an expired key = %v %v", ok, err)
	}
	s.holds("put again", key, "new")
}
