package caches

import (
	"hash/fnv"
	"sync"
)

// segment is this member's copy of one segment.
type segment struct {
	mu      sync.RWMutex
	entries map[string]*entry
	used    map[string]int64 // see idle.go
	count   uint64           // the last Count given out as primary
}

func (s *segment) get(key string) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[key]
}

// put stores an entry unless the key has a newer one.
func (s *segment) put(key string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[key]; old != nil && !old.version.Before(e.version) {
		return
	}
	if s.entries == nil {
		s.entries = map[string]*entry{}
	}
	s.entries[key] = e
}

// next is a Count that no write of this primary has had.
func (s *segment) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count
}

// take gives all entries and leaves none.
func (s *segment) take() map[string]*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.entries
	s.entries = nil
	return all
}

// all gives all entries.
func (s *segment) all() []keyed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]keyed, 0, len(s.entries))
	for k, e := range s.entries {
		list = append(list, keyed{k, e})
	}
	return list
}

// digest is a number that is the same for copies with the same entries.
// Expired entries count too: they are swept at their own time on each member,
// which costs at worst a comparison in full.
func (s *segment) digest() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var sum uint64
	for k, e := range s.entries {
		h := fnv.New64a()
		h.Write([]byte(k))
		sum ^= mix(mix(h.Sum64()+e.version.Epoch) + e.version.Count)
	}
	return sum
}

// sweep forgets what expired before a time (Unix milliseconds) and counts what
// is left. Of what has not been written for a while it forgets the operations:
// nobody repeats them any more.
func (s *segment) sweep(before int64) (left int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range s.entries {
		switch n := len(e.last); {
		case e.expires != 0 && e.expires < before:
			delete(s.entries, k)
			delete(s.used, k)
		case n > 0 && e.last[n-1].at+traceLife+skew < before:
			lean := *e
			lean.dropped, lean.last = e.last[n-1].forget(), nil
			s.entries[k] = &lean
		}
	}
	return len(s.entries)
}

// size is how many entries there are, and the bytes of their keys and values.
func (s *segment) size() (n int, bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for k, e := range s.entries {
		bytes += int64(len(k) + len(e.value))
	}
	return len(s.entries), bytes
}
