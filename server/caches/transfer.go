package caches

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// chunk is about how many bytes of entries travel in one message: small enough
// that the requests of people are not held up behind it.
const chunk = 128 << 10

// work takes over, and hands over, what each placement asks for. A new one
// ends the work for the one before.
func (d *Distributed) work(ctx context.Context) {
	given := map[arrival]bool{} // segments that joiners have got from this member
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.installed:
		}
		p, changed := d.current()
		d.mu.Lock()
		stale := d.stale
		d.stale = nil
		d.mu.Unlock()
		if len(stale) > 0 {
			wg.Go(func() { d.mergeBack(ctx, stale) })
		}
		epoch, cancel := until(ctx, changed)
		if d.takeOver(epoch, p) {
			d.handOver(epoch, p, given)
		}
		cancel()
	}
}

// takeOver makes this member the primary that the placement says it is: first
// all members must have left the epochs before, so that no write and no read
// of a former primary can pass any more; then the owners' copies are made the
// same. A write that reached some of them only is completed by it.
func (d *Distributed) takeOver(ctx context.Context, p *placement) bool {
	var mine []int
	d.mu.RLock()
	for s := range p.Segments {
		if p.primary(s).same(d.self) && d.synced[s] != p.Segments[s].Since {
			mine = append(mine, s)
		}
	}
	d.mu.RUnlock()
	if len(mine) == 0 {
		return ctx.Err() == nil
	}
	if !d.fence(ctx, p) {
		return false
	}
	byOwner := map[string][]int{}
	for _, s := range mine {
		for _, o := range p.Segments[s].Owners[1:] {
			byOwner[p.Members[o].Name] = append(byOwner[p.Members[o].Name], s)
		}
	}
	// Twice: the first round may bring something that an owner asked earlier
	// has not got.
	for range 2 {
		for owner, list := range byOwner {
			if !d.insist(ctx, func() error { return d.reconcile(ctx, p, owner, list) }) {
				return false
			}
		}
		if len(byOwner) < 2 {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.place != p {
		return false
	}
	for _, s := range mine {
		d.synced[s] = p.Segments[s].Since
		d.segs[s].forgetUse() // what it knows is from before another was the primary
	}
	close(d.progress)
	d.progress = make(chan struct{})
	return true
}

// fence waits until no member acts in an epoch before p's.
func (d *Distributed) fence(ctx context.Context, p *placement) bool {
	var wg sync.WaitGroup
	open := make(chan string, len(p.Members))
	message := binary.AppendUvarint(nil, p.Epoch)
	for _, m := range p.Members {
		if m.same(d.self) {
			continue
		}
		wg.Go(func() {
			if !d.insist(ctx, func() error {
				_, err := d.cfg.Mesh.Call(ctx, m.Name, d.name("fence"), message)
				return err
			}) {
				open <- m.Name
			}
		})
	}
	wg.Wait()
	return len(open) == 0
}

func (d *Distributed) onFence(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	dec := decoder{b: payload}
	unlock, err := d.within(ctx, dec.uvarint())
	if problem.Is(err, problem.Precondition) {
		return nil, nil // a later epoch is as good
	}
	if err == nil {
		unlock()
	}
	return nil, err
}

// insist repeats until it succeeds or the member's process has ended; false:
// ctx has ended.
func (d *Distributed) insist(ctx context.Context, do func() error) bool {
	for {
		err := do()
		if ctx.Err() != nil {
			return false
		}
		if err == nil || errors.Is(err, cluster.ErrRefused) {
			return true
		}
		if !d.rest(ctx, ctx.Done()) {
			return false
		}
	}
}

// reconcile makes this member's and another owner's copies of segments the
// same: the newer version of each key wins.
func (d *Distributed) reconcile(ctx context.Context, p *placement, owner string, list []int) error {
	message := binary.AppendUvarint(nil, p.Epoch)
	for _, s := range list {
		message = binary.AppendUvarint(message, uint64(s))
	}
	reply, err := d.cfg.Mesh.Call(ctx, owner, d.name("digest"), message)
	if err != nil {
		return err
	}
	digests := decoder{b: reply}
	for _, s := range list {
		if digests.uint64() == d.segs[s].digest() && digests.err == nil {
			continue
		}
		if err := d.pull(ctx, p, owner, s); err != nil {
			return err
		}
		if err := d.send(ctx, p, owner, d.segs[s].all()); err != nil {
			return err
		}
	}
	return digests.err
}

func (d *Distributed) onDigest(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	dec := decoder{b: payload}
	unlock, err := d.within(ctx, dec.uvarint())
	if err != nil {
		return nil, err
	}
	defer unlock()
	var reply []byte
	for len(dec.b) > 0 {
		reply = binary.BigEndian.AppendUint64(reply, d.segs[dec.uvarint()%segments].digest())
	}
	return reply, dec.err
}

// pull gets another owner's copy of a segment, page by page in key order.
func (d *Distributed) pull(ctx context.Context, p *placement, owner string, s int) error {
	for after := ""; ; {
		message := binary.AppendUvarint(binary.AppendUvarint(nil, p.Epoch), uint64(s))
		reply, err := d.cfg.Mesh.Call(ctx, owner, d.name("pull"), appendBytes(message, []byte(after)))
		if err != nil {
			return err
		}
		if len(reply) == 0 {
			return nil
		}
		dec := decoder{b: reply}
		for len(dec.b) > 0 {
			k := dec.keyed()
			if dec.err != nil {
				return dec.err
			}
			d.segs[s].put(k.key, k.entry)
			after = k.key
		}
	}
}

func (d *Distributed) onPull(ctx context.Context, _ string, payload []byte) ([]byte, error) {
	dec := decoder{b: payload}
	epoch, s, after := dec.uvarint(), dec.uvarint()%segments, string(dec.bytes())
	if dec.err != nil {
		return nil, dec.err
	}
	unlock, err := d.within(ctx, epoch)
	if err != nil {
		return nil, err
	}
	defer unlock()
	list := slices.DeleteFunc(d.segs[s].all(), func(k keyed) bool { return k.key <= after })
	slices.SortFunc(list, func(a, b keyed) int {
		if a.key < b.key {
			return -1
		}
		return 1
	})
	var reply []byte
	for _, k := range list {
		if len(reply) > chunk {
			break
		}
		reply = appendKeyed(reply, k)
	}
	return reply, nil
}

// send gives entries to a holder, in chunks.
func (d *Distributed) send(ctx context.Context, p *placement, to string, list []keyed) error {
	for len(list) > 0 {
		message := binary.AppendUvarint(nil, p.Epoch)
		n := 0
		for size := 0; n < len(list) && size < chunk; n++ {
			size += list[n].size()
			message = appendKeyed(message, list[n])
		}
		if _, err := d.cfg.Mesh.Call(ctx, to, d.name("write"), message); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// handOver gives joiners the segments that this member is primary of, and
// tells the coordinator which they have whole.
func (d *Distributed) handOver(ctx context.Context, p *placement, given map[arrival]bool) {
	todo := map[string][]arrival{}
	now := map[arrival]bool{}
	for s := range p.Segments {
		if !p.primary(s).same(d.self) {
			continue
		}
		for _, j := range p.Segments[s].Joiners {
			m := p.Members[j.Peer]
			a := arrival{s, m.Name, m.Born, j.Since}
			todo[m.Name] = append(todo[m.Name], a)
			now[a] = given[a]
		}
	}
	for a := range given {
		if _, still := now[a]; !still {
			delete(given, a)
		}
	}
	for to, list := range todo {
		// Writes from here on reach the joiner themselves.
		if !d.insist(ctx, func() error { return d.give(ctx, p, to, list, given) }) {
			return
		}
		for _, a := range list {
			given[a] = true
		}
		if !d.insist(ctx, func() error { return d.announce(ctx, list) }) {
			return
		}
	}
}

// give sends the segments that a joiner has not got, many in one message.
func (d *Distributed) give(ctx context.Context, p *placement, to string, list []arrival, given map[arrival]bool) error {
	var batch []keyed
	size := 0
	for _, a := range list {
		if given[a] {
			continue
		}
		for _, k := range d.segs[a.Segment].all() {
			batch = append(batch, k)
			size += k.size()
		}
		if size < chunk {
			continue
		}
		if err := d.send(ctx, p, to, batch); err != nil {
			return err
		}
		batch, size = nil, 0
	}
	return d.send(ctx, p, to, batch)
}

// announce tells the coordinator which segments have arrived.
func (d *Distributed) announce(ctx context.Context, list []arrival) error {
	message, err := json.Marshal(list)
	if err != nil {
		return err
	}
	view, _ := d.cfg.Mesh.View()
	if oldest := view.Oldest().Name; oldest != d.self.Name {
		_, err = d.cfg.Mesh.Call(ctx, oldest, d.name("arrived"), message)
		if errors.Is(err, cluster.ErrRefused) {
			return problem.Unavailable.Errorf("cannot tell the coordinator: %s has ended", oldest)
		}
		return err
	}
	_, err = d.onArrived(ctx, d.self.Name, message)
	return err
}

// mergeBack offers what this member held on the other side of a partition.
func (d *Distributed) mergeBack(ctx context.Context, list []keyed) {
	for _, k := range list {
		if k.expires != 0 && k.expires < d.now() {
			continue
		}
		op := operation{kind: opMerge, key: k.key, value: k.value, version: k.version, modified: k.modified, expires: k.expires, deleted: k.deleted}
		if _, err := d.do(ctx, op); err != nil {
			d.log.Warn().Err(err).Msg("cannot merge an entry of a parted cluster; it is lost")
		}
		if ctx.Err() != nil {
			return
		}
	}
}
