package caches

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
)

// doubts are which members are changing what they cannot tell of beforehand.
// Each member numbers its phases: an odd one is a doubt. The numbers travel
// with each lease, so that who comes, or comes back, knows them before it is
// coherent; an event carries the beginning of a doubt to all others at once.
type doubts struct {
	mu     sync.Mutex
	own    uint64
	others map[string]uint64
	any    atomic.Bool
}

// doubtTopic is the topic of phases: the number, then the node's name.
const doubtTopic = "\x00doubt"

// Doubt makes every member doubt what is cached until Sure is called: when it
// returns nil, Doubted is true on all that are coherent. When this member ends
// without Sure, OnGone tells the others so.
func (w *Work) Doubt(ctx context.Context) error {
	return w.Publish(ctx, doubtTopic, w.phase(func(n uint64) uint64 { return n | 1 }))
}

// Sure ends this member's doubt and tells the others, until ctx ends: nothing
// waits for them, those that cannot be told learn it with their next lease.
func (w *Work) Sure(ctx context.Context) error {
	message := event(doubtTopic, w.phase(func(n uint64) uint64 { return n + n&1 }))
	view, _ := w.mesh.View()
	errs := make([]error, len(view.Members))
	var wg sync.WaitGroup
	for i, m := range view.Members {
		if m.Name != w.mesh.Self().Name {
			wg.Go(func() { _, errs[i] = w.mesh.Call(ctx, m.Name, workEvent, message) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Doubted reports whether any member, this one included, is in doubt.
func (w *Work) Doubted() bool { return w.doubts.any.Load() }

// phase moves this member on to another phase and says so.
func (w *Work) phase(next func(uint64) uint64) []byte {
	d := &w.doubts
	d.mu.Lock()
	defer d.mu.Unlock()
	d.own = next(d.own)
	d.reckon()
	return append(binary.BigEndian.AppendUint64(nil, d.own), w.mesh.Self().Name...)
}

func (w *Work) ownPhase() uint64 {
	w.doubts.mu.Lock()
	defer w.doubts.mu.Unlock()
	return w.doubts.own
}

// onDoubt takes a phase from an event.
func (w *Work) onDoubt(payload []byte) {
	if len(payload) > 8 && string(payload[8:]) != w.mesh.Self().Name {
		w.doubts.note(string(payload[8:]), binary.BigEndian.Uint64(payload))
	}
}

// note takes a member's phase, unless a later one is known.
func (d *doubts) note(node string, phase uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, is := d.others[node]; is && phase <= known {
		return
	}
	d.others[node] = phase
	d.reckon()
}

// of reports whether a member is in doubt.
func (d *doubts) of(node string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.others[node]&1 != 0
}

// forget drops a member that has ended.
func (d *doubts) forget(node string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.others, node)
	d.reckon()
}

func (d *doubts) reckon() {
	odd := d.own&1 != 0
	for _, phase := range d.others {
		odd = odd || phase&1 != 0
	}
	d.any.Store(odd)
}
