package caches

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func (d *Distributed) onOp(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	op, err := readOperation(payload)
	if err != nil {
		return nil, err
	}
	return d.serve(ctx, op).append(nil), nil
}

// serve performs an operation as the key's primary.
func (d *Distributed) serve(ctx context.Context, op operation) result {
	s := segmentOf(op.key)
	if r, ok := d.takenOver(ctx, s); !ok {
		return r
	}
	if op.kind == opGet {
		d.mu.RLock()
		defer d.mu.RUnlock()
		if !d.leads(s) {
			return result{status: elsewhere}
		}
		now := d.now()
		r, _ := op.decide(d.entry(s, op.key, now), now)
		if r.found {
			d.use(s, op.key, now)
		}
		return r
	}
	h := fnv.New64a()
	h.Write([]byte(op.key))
	lock := d.keys[mix(h.Sum64()+1)%uint64(len(d.keys))]
	select {
	case lock <- struct{}{}:
	case <-ctx.Done():
		return result{status: elsewhere}
	}
	r, next, since := d.prepare(s, op)
	if next == nil {
		<-lock
		return r
	}
	// The write is carried through even when its caller gives up: owners must
	// not be left with different copies.
	done := make(chan bool, 1)
	if !d.carry(func() {
		done <- d.commit(s, since, op.key, next)
		<-lock
	}) {
		<-lock
		return result{status: elsewhere}
	}
	select {
	case ok := <-done:
		if !ok {
			return result{status: retry, version: next.version}
		}
		return r
	case <-ctx.Done():
		return result{status: retry, version: next.version}
	}
}

// carry runs f beside its caller, unless this member is leaving: Run waits for
// all that it let start.
func (d *Distributed) carry(f func()) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.life.Err() != nil {
		return false
	}
	d.busy.Go(f)
	return true
}

// prepare decides an operation under its key's lock: the answer if it is
// carried through, and the entry to store, if any.
func (d *Distributed) prepare(s int, op operation) (r result, next *entry, since uint64) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.leads(s) {
		return result{status: elsewhere}, nil, 0
	}
	now := d.now()
	e := d.entry(s, op.key, now)
	if v, ok := e.applied(op.id); ok {
		return result{done: true, found: !e.deleted, version: v, value: op.value, expires: e.expires}, nil, 0
	}
	if op.again && !e.remembers(op.since, op.started) {
		return result{status: unknown}, nil, 0
	}
	r, next = op.decide(e, now)
	if next == nil {
		return r, nil, 0
	}
	next.version = Version{d.place.Epoch, d.segs[s].next()}
	e.leaveTrace(next, op.id, now)
	return result{done: true, found: !next.deleted, version: next.version, value: next.value, expires: next.expires},
		next, d.place.Segments[s].Since
}

// leads reports whether this member is the segment's primary and has taken it
// over; d.mu is held.
func (d *Distributed) leads(s int) bool {
	p := d.place
	return p.Epoch != 0 && !p.Degraded && p.primary(s).same(d.self) && d.synced[s] == p.Segments[s].Since
}

// takenOver waits while this member is becoming the segment's primary.
func (d *Distributed) takenOver(ctx context.Context, s int) (r result, ok bool) {
	for {
		d.mu.RLock()
		leads, mine, degraded := d.leads(s), d.place.Epoch != 0 && d.place.primary(s).same(d.self), d.place.Degraded
		changed, progress := d.changed, d.progress
		d.mu.RUnlock()
		switch {
		case degraded:
			return result{status: refused}, false
		case leads:
			return result{}, true
		case !mine:
			return result{status: elsewhere}, false
		}
		select {
		case <-changed:
		case <-progress:
		case <-ctx.Done():
			return result{status: elsewhere}, false
		case <-d.life.Done():
			return result{status: elsewhere}, false
		}
	}
}

// commit brings an entry to all who hold the segment, then stores it here. It
// gives up only when this member is no longer the primary that it was: the
// next one finds the entry on the owners, or nobody has it.
func (d *Distributed) commit(s int, since uint64, key string, e *entry) bool {
	for {
		p, changed := d.current()
		if p.Degraded || !p.primary(s).same(d.self) || p.Segments[s].Since != since {
			return false
		}
		if d.replicate(p, changed, s, key, e) {
			d.mu.RLock()
			// A holder that came meanwhile has not got it: once more then.
			same := d.place == p
			if same {
				d.segs[s].put(key, e)
				d.use(s, key, d.now())
			}
			d.mu.RUnlock()
			if same {
				return true
			}
			continue
		}
		if !d.rest(d.life, changed) {
			return false
		}
	}
}

// replicate sends an entry to all other holders and reports whether all have it.
func (d *Distributed) replicate(p *placement, changed <-chan struct{}, s int, key string, e *entry) bool {
	holders := p.holders(s, d.self.Name)
	if len(holders) == 0 {
		return true
	}
	ctx, cancel := until(d.life, changed)
	defer cancel()
	message := appendKeyed(binary.AppendUvarint(nil, p.Epoch), keyed{key, e})
	if len(holders) == 1 {
		_, err := d.cfg.Mesh.Call(ctx, holders[0], d.name("write"), message)
		return err == nil
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(holders))
	for _, holder := range holders {
		wg.Go(func() {
			if _, err := d.cfg.Mesh.Call(ctx, holder, d.name("write"), message); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	return len(failed) == 0
}

// rest waits for another placement, or a moment; false: ctx has ended.
func (d *Distributed) rest(ctx context.Context, changed <-chan struct{}) bool {
	t := d.cfg.Clock.NewTimer(pause)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// onWrite stores entries that the primary of their segments sends: writes,
// and copies for those who join.
func (d *Distributed) onWrite(ctx context.Context, from string, payload []byte) ([]byte, error) {
	dec := decoder{b: payload}
	epoch := dec.uvarint()
	var entries []keyed
	for len(dec.b) > 0 {
		entries = append(entries, dec.keyed())
	}
	if dec.err != nil {
		return nil, dec.err
	}
	unlock, err := d.within(ctx, epoch)
	if err != nil {
		return nil, err
	}
	defer unlock()
	for _, k := range entries {
		s := segmentOf(k.key)
		if d.place.primary(s).Name != from {
			return nil, problem.Precondition.Errorf("cannot store for %s: it is not the primary of segment %d", from, s)
		}
		d.segs[s].put(k.key, k.entry)
	}
	return nil, nil
}

// within waits until this member has a placement and holds on to it: what
// follows happens in that epoch and in no other. A later one is an error: who
// asks acts on an old placement.
func (d *Distributed) within(ctx context.Context, epoch uint64) (unlock func(), err error) {
	for {
		d.mu.RLock()
		has, changed := d.place.Epoch, d.changed
		if has == epoch {
			return d.mu.RUnlock, nil
		}
		d.mu.RUnlock()
		if has > epoch {
			return nil, problem.Precondition.Errorf("cannot act in epoch %d: this server is in %d", epoch, has)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, problem.Timeout.Errorf("cannot act in epoch %d: this server is still in %d", epoch, has)
		case <-d.life.Done():
			return nil, problem.Unavailable.Errorf("cannot act in epoch %d: this server is leaving", epoch)
		}
	}
}
