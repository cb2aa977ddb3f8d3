package caches

import (
	"context"
	"sync"
)

// Every read and write of a key comes to its primary: it alone knows when an entry
// was used last, and removes one that was not for too long from all owners. A
// member that becomes the primary counts from then on: an entry may live longer by
// a crash, never shorter.

// expirers is how many idle entries are removed at a time.
const expirers = 16

// entry is what the primary has under a key at a time (Unix milliseconds): an
// entry that was not used for too long is one that has expired.
func (d *Distributed) entry(s int, key string, now int64) *entry {
	e := d.segs[s].get(key)
	if !e.live(now) || !d.segs[s].unused(key, d.limit(e), now) {
		return e
	}
	expired := *e
	expired.expires = now
	return &expired
}

// limit is how long an entry may go unused, in milliseconds; 0: for ever.
func (d *Distributed) limit(e *entry) int64 {
	if d.cfg.Idle == nil {
		return 0
	}
	return d.cfg.Idle(e.value).Milliseconds()
}

// use notes that a key is used.
func (d *Distributed) use(s int, key string, now int64) {
	if d.cfg.Idle != nil {
		d.segs[s].use(key, now)
	}
}

// sweepIdle removes what nobody used from the segments that this member answers
// for.
func (d *Distributed) sweepIdle(ctx context.Context) {
	if d.cfg.Idle == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	turn := make(chan struct{}, expirers)
	for s := range d.segs {
		for _, op := range d.idle(s) {
			select {
			case turn <- struct{}{}:
			case <-ctx.Done():
				return
			}
			op.id, op.started = opID{d.id, d.ops.Add(1)}, d.now()
			wg.Go(func() {
				d.serve(ctx, op) // where it fails the next sweep tries again
				<-turn
			})
		}
	}
}

// idle are the removals that are due in a segment. Of what this member does not
// answer for it forgets when it was used.
func (d *Distributed) idle(s int) (due []operation) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.leads(s) {
		d.segs[s].forgetUse()
		return nil
	}
	now := d.now()
	d.segs[s].forgetUseOfNothing()
	for _, k := range d.segs[s].all() {
		if k.live(now) && d.segs[s].unused(k.key, d.limit(k.entry), now) {
			due = append(due, operation{kind: opExpire, key: k.key, version: k.version})
		}
	}
	return due
}

// use notes that a key is used at a time.
func (s *segment) use(key string, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = map[string]int64{}
	}
	s.used[key] = now
}

// unused reports whether a key was not used for a time (milliseconds; 0: it need
// not be). Of one that nothing is known of the time begins now.
func (s *segment) unused(key string, limit, now int64) bool {
	if limit <= 0 {
		return false
	}
	s.mu.RLock()
	last, known := s.used[key]
	s.mu.RUnlock()
	if !known {
		s.use(key, now)
		return false
	}
	return now-last >= limit
}

// forgetUseOfNothing forgets when keys were used that there are no more.
func (s *segment) forgetUseOfNothing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.used {
		if s.entries[key] == nil {
			delete(s.used, key)
		}
	}
}

// forgetUse forgets when all keys were used.
func (s *segment) forgetUse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = nil
}
