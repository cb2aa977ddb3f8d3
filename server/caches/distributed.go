package caches

import (
	"context"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// SplitPolicy says what a cache does when the network parts its members.
type SplitPolicy uint8

// The split policies.
const (
	// Merge: both sides go on; afterwards the later write of each key wins.
	// For sessions.
	Merge SplitPolicy = iota
	// Majority: the side without a majority refuses everything. For what may
	// be used once. Half of the members are a majority if the oldest is there.
	Majority
)

// DistributedConfig is what a Distributed is made from.
type DistributedConfig struct {
	Name   string // the same on all servers
	Mesh   Mesh
	Owners int // copies of each entry; 0: 2
	Policy SplitPolicy
	// Sweep is how often expired entries are cleared away; 0: 10 s.
	Sweep time.Duration
	// Idle says how long an entry of a value may go without being read or written
	// until it counts as expired; 0: for ever. nil: all may. The same on all servers.
	Idle func(value []byte) time.Duration
	// Statistics counts hits and misses.
	Statistics bool
	Clock      clock.Clock
	Log        zerolog.Logger
}

// Item is what a cache holds under a key.
type Item struct {
	Value   []byte
	Version Version
	Expires time.Time // zero: never
}

const (
	// patience bounds an operation whose context has no end: five times what
	// the cluster takes to notice a lost member.
	patience = 10 * time.Second
	// pause is how long to wait before trying again where nothing tells when.
	pause = 20 * time.Millisecond
	// MaxValue is the most bytes of one value; sessions are a few hundred.
	MaxValue = 1 << 20
	maxKey   = 1 << 10
)

// Distributed is an in-memory store shared by the servers of a site. Each
// entry is held by several of them, so it survives the crash of all but one at
// a time. Operations on one key are linearizable while servers join, leave and
// crash; DESIGN.md says what holds when the network is parted. It is safe for
// concurrent use.
type Distributed struct {
	cfg  DistributedConfig
	log  zerolog.Logger
	self peer
	id   uint64 // of this run, in operation ids
	ops  atomic.Uint64
	segs [segments]segment
	keys [1024]chan struct{} // locks of keys, by hash

	mu        sync.RWMutex // guards the placement and, by read lock, writes under it
	place     *placement
	changed   chan struct{} // closed when another placement is installed
	synced    [segments]uint64
	progress  chan struct{} // closed when synced changes
	installed chan struct{} // capacity 1: the worker has a new placement
	stale     []keyed       // what this member held before it was parted from the others

	coordination struct {
		sync.Mutex
		arrived map[arrival]bool
		leaving map[string]int64
		raise   uint64
	}
	kick chan struct{} // capacity 1: the coordinator has news
	life context.Context
	end  context.CancelFunc
	busy sync.WaitGroup // commits under way

	counted struct{ hits, misses, moves atomic.Uint64 }
}

// NewDistributed makes a cache that answers other servers' calls at once, but
// holds nothing until Run.
func NewDistributed(cfg DistributedConfig) *Distributed {
	if cfg.Owners == 0 {
		cfg.Owners = 2
	}
	if cfg.Sweep <= 0 {
		cfg.Sweep = sweeping
	}
	self := cfg.Mesh.Self()
	h := fnv.New64a()
	h.Write([]byte(self.Name))
	d := &Distributed{
		cfg: cfg, log: cfg.Log.With().Str("cache", cfg.Name).Logger(),
		self: peer{Name: self.Name, Born: self.Born}, id: mix(h.Sum64()) ^ uint64(self.Born),
		place: &placement{}, changed: make(chan struct{}), progress: make(chan struct{}),
		installed: make(chan struct{}, 1), kick: make(chan struct{}, 1),
	}
	for i := range d.keys {
		d.keys[i] = make(chan struct{}, 1)
	}
	d.coordination.arrived = map[arrival]bool{}
	d.coordination.leaving = map[string]int64{}
	d.life, d.end = context.WithCancel(context.Background())
	d.handle("op", d.onOp)
	d.handle("write", d.onWrite)
	d.handle("fence", d.onFence)
	d.handle("digest", d.onDigest)
	d.handle("pull", d.onPull)
	d.handle("query", d.onQuery)
	d.handle("install", d.onInstall)
	d.handle("arrived", d.onArrived)
	d.handle("leave", d.onLeave)
	d.handle("raise", d.onRaise)
	return d
}

// Get gives the live entry of a key. A missing one is ok == false, not an error.
func (d *Distributed) Get(ctx context.Context, key string) (item Item, ok bool, err error) {
	r, err := d.do(ctx, operation{kind: opGet, key: key})
	d.count(r, err)
	return r.item(), r.found && err == nil, err
}

// Peek is Get for those who have somewhere else to look: it asks the key's
// primary once, and gives up where Get would wait until one answers.
func (d *Distributed) Peek(ctx context.Context, key string) (item Item, ok bool, err error) {
	p, _ := d.current()
	if p.Epoch == 0 || key == "" || len(key) > maxKey {
		return Item{}, false, problem.Unavailable.Errorf("cannot look into cache %s: this server holds no part of it yet", d.cfg.Name)
	}
	r, err := d.attempt(ctx, p.primary(segmentOf(key)), operation{kind: opGet, key: key, id: opID{d.id, d.ops.Add(1)}, started: d.now()})
	if err == nil && r.status != answered {
		err = problem.Unavailable.Errorf("cannot look into cache %s: its primary does not answer", d.cfg.Name)
	}
	d.count(r, err)
	return r.item(), r.found && err == nil, err
}

// Put stores a value for ttl (0: for ever), whatever was there.
func (d *Distributed) Put(ctx context.Context, key string, value []byte, ttl time.Duration) (Version, error) {
	r, err := d.do(ctx, operation{kind: opPut, key: key, value: value, ttl: ttl})
	return r.version, err
}

// PutIfAbsent stores a value if the key has none. ok tells whether it did;
// otherwise item is the one that is there.
func (d *Distributed) PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (item Item, ok bool, err error) {
	r, err := d.do(ctx, operation{kind: opPutIfAbsent, key: key, value: value, ttl: ttl})
	return r.item(), r.done && err == nil, err
}

// Replace stores a value if the key's version is still the given one. ok tells
// whether it did; otherwise item is the one that is there, if any.
func (d *Distributed) Replace(ctx context.Context, key string, value []byte, ttl time.Duration, version Version) (item Item, ok bool, err error) {
	r, err := d.do(ctx, operation{kind: opReplace, key: key, value: value, ttl: ttl, version: version})
	return r.item(), r.done && err == nil, err
}

// Remove takes a key out and tells whether it was there: of many who remove
// one key at the same time, one is told so.
func (d *Distributed) Remove(ctx context.Context, key string) (ok bool, err error) {
	r, err := d.do(ctx, operation{kind: opRemove, key: key})
	return r.done && err == nil, err
}

// Name is the cache's.
func (d *Distributed) Name() string { return d.cfg.Name }

// Local is how many entries this member holds, those of tombstones included.
func (d *Distributed) Local() (n int) {
	for i := range d.segs {
		d.segs[i].mu.RLock()
		n += len(d.segs[i].entries)
		d.segs[i].mu.RUnlock()
	}
	return n
}

// Complete reports whether, as far as this member knows, every entry has all
// its copies: then any one server may go without loss. A rolling restart waits
// for it.
func (d *Distributed) Complete() bool {
	p, _ := d.current()
	for s := range p.Segments {
		if len(p.Segments[s].Joiners) > 0 {
			return false
		}
	}
	return p.Epoch != 0 && !p.Degraded
}

// do carries an operation to the key's primary and repeats it until it is
// answered: the primary recognises repetitions.
func (d *Distributed) do(ctx context.Context, op operation) (result, error) {
	if len(op.value) > MaxValue || len(op.key) > maxKey || op.key == "" {
		return result{}, problem.TooLarge.Errorf("cannot use cache %s: key of %d bytes (1 to %d), value of %d (at most %d)", d.cfg.Name, len(op.key), maxKey, len(op.value), MaxValue)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	op.id, op.started = opID{d.id, d.ops.Add(1)}, d.now()
	first := uint64(0) // the epoch of the first attempt
	for {
		p, changed := d.current()
		if p.Epoch != 0 {
			if first == 0 {
				first = p.Epoch
			}
			r, err := d.attempt(ctx, p.primary(segmentOf(op.key)), op)
			if r.status != retry && r.status != elsewhere {
				return r, err
			}
			if r.status == retry {
				op.mayBe(r.version, first)
			}
		}
		t := d.cfg.Clock.NewTimer(pause)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return result{}, problem.Timeout.Errorf("cannot learn what became of %q in cache %s: %w", op.key, d.cfg.Name, ctx.Err())
		case <-d.life.Done():
			t.Stop()
			return result{}, problem.Unavailable.Errorf("cannot use cache %s: this server is leaving", d.cfg.Name)
		}
		t.Stop()
	}
}

// attempt asks one primary once, at most while it is a member: one that is no
// longer the primary still says whether it has done anything.
func (d *Distributed) attempt(ctx context.Context, primary peer, op operation) (result, error) {
	var r result
	if primary.same(d.self) {
		r = d.serve(ctx, op)
	} else {
		ctx, cancel := d.whileMember(ctx, primary)
		defer cancel()
		reply, err := d.cfg.Mesh.Call(ctx, primary.Name, d.name("op"), op.append(nil))
		if err != nil {
			return result{status: retry}, nil // lost with the outcome unknown
		}
		if r, err = readResult(reply); err != nil {
			return r, err
		}
	}
	switch r.status {
	case unknown:
		return r, problem.Timeout.Errorf("cannot learn what became of %q in cache %s: too much was written since", op.key, d.cfg.Name)
	case refused:
		return r, problem.Unavailable.Errorf("cannot use cache %s: this part of the cluster has no majority", d.cfg.Name)
	}
	return r, nil
}

// until is ctx, ended also by a channel's close.
func until(ctx context.Context, closed <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// whileMember is ctx, ended also when a member is no longer one: its answer
// may never come.
func (d *Distributed) whileMember(ctx context.Context, m peer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for {
			p, changed := d.current()
			if is := p.find(m.Name); is == nil || !is.same(m) {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
}

func (d *Distributed) current() (*placement, <-chan struct{}) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.place, d.changed
}

func (d *Distributed) name(call string) string { return "cache." + d.cfg.Name + "." + call }

func (d *Distributed) handle(call string, h func(ctx context.Context, from string, payload []byte) ([]byte, error)) {
	d.cfg.Mesh.Handle(d.name(call), h)
}

func (d *Distributed) now() int64 { return d.cfg.Clock.Now().UnixMilli() }
