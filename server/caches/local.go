package caches

import (
	"context"
	"hash/maphash"
	"runtime/debug"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// LocalConfig bounds a Local cache.
type LocalConfig[K comparable, V any] struct {
	// Size is the most entries; 0 means 10,000 (Keycloak's default for realms
	// and users). Ignored with a Weigh.
	Size int
	// Weight is the most total weight as Weigh counts it.
	Weight uint64
	Weigh  func(K, V) uint32
	// MaxAge expires an entry so long after it was loaded; 0: never.
	MaxAge time.Duration
	Clock  clock.Clock
	// Coherent says whether what was cached before may be served now; nil:
	// always. Work.Coherent is made for it: while it says no, every read goes
	// to the loader and nothing is kept.
	Coherent func() bool
}

// stripes is how many locks the keys of one cache share.
const stripes = 64

// Local is a bounded cache of this server for what is in the database. Its
// invariant: a value that was read from the database before an invalidation is
// never served after it, however late the read ends. It is safe for concurrent
// use.
type Local[K comparable, V any] struct {
	cache    *otter.Cache[K, V]
	coherent func() bool
	seed     maphash.Seed
	stripe   [stripes]stripe[K, V]
}

// stripe orders loads and invalidations of its keys.
type stripe[K comparable, V any] struct {
	mu         sync.Mutex
	generation uint64 // counts invalidations
	loading    map[K]*load[V]
}

// load is one read of the database that several callers wait for.
type load[V any] struct {
	generation uint64
	done       chan struct{}
	value      V
	err        error
	read       func() (V, error)
	next       *load[V] // begins when this one ends; nil: nobody waits for it
}

// NewLocal makes an empty cache.
func NewLocal[K comparable, V any](cfg LocalConfig[K, V]) (*Local[K, V], error) {
	opts := otter.Options[K, V]{Clock: &otterClock{clock: cfg.Clock}}
	switch {
	case cfg.Weigh != nil && cfg.Weight > 0:
		opts.MaximumWeight, opts.Weigher = cfg.Weight, cfg.Weigh
	case cfg.Weigh != nil || cfg.Weight > 0:
		return nil, problem.Invalid.Errorf("cannot make a cache: Weight and Weigh go together")
	case cfg.Size > 0:
		opts.MaximumSize = cfg.Size
	default:
		opts.MaximumSize = 10_000
	}
	if cfg.MaxAge > 0 {
		opts.ExpiryCalculator = otter.ExpiryWriting[K, V](cfg.MaxAge)
	}
	cache, err := otter.New(&opts)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot make a cache: %w", err)
	}
	coherent := cfg.Coherent
	if coherent == nil {
		coherent = func() bool { return true }
	}
	return &Local[K, V]{cache: cache, coherent: coherent, seed: maphash.MakeSeed()}, nil
}

// Get gives the cached value or that of read, which is called once for all who
// ask for the key at the same time. An error is given to all of them and not
// kept. read goes on when the caller that started it gives up.
func (l *Local[K, V]) Get(ctx context.Context, key K, read func(context.Context) (V, error)) (V, error) {
	coherent := l.coherent()
	if coherent {
		if v, ok := l.cache.GetIfPresent(key); ok {
			return v, nil
		}
	}
	s := l.stripeOf(key)
	s.mu.Lock()
	// A load that began before an invalidation may see what was before it:
	// whoever comes after starts another.
	f := s.loading[key]
	if f != nil && f.generation == s.generation && coherent {
		s.mu.Unlock()
		return f.wait(ctx)
	}
	own := &load[V]{generation: s.generation, done: make(chan struct{})}
	own.read = func() (V, error) { return guarded(context.WithoutCancel(ctx), read) }
	// Without a lease any change may go unseen, so only a load that is yet to
	// begin will do. All who come while one runs share the next: a member that
	// is stopped for long must not multiply the reads of the database.
	if f != nil && !coherent {
		if f.next == nil {
			f.next = own
		}
		f = f.next
		s.mu.Unlock()
		return f.wait(ctx)
	}
	if s.loading == nil {
		s.loading = map[K]*load[V]{}
	}
	s.loading[key] = own
	s.mu.Unlock()
	go l.load(key, own)
	return own.wait(ctx)
}

// load reads for those who wait for f, then for those who came meanwhile.
func (l *Local[K, V]) load(key K, f *load[V]) {
	s := l.stripeOf(key)
	for f != nil {
		f.value, f.err = f.read()
		s.mu.Lock()
		if f.err == nil && f.generation == s.generation && l.coherent() {
			l.cache.Set(key, f.value)
		}
		next := f.next
		if next != nil {
			next.generation = s.generation
		}
		switch {
		case s.loading[key] != f: // one after an invalidation has taken its place
		case next != nil:
			s.loading[key] = next
		default:
			delete(s.loading, key)
		}
		s.mu.Unlock()
		close(f.done)
		f = next
	}
}

// guarded turns a panic of read into an error: it runs on a goroutine of its
// own, where a panic would end the whole server.
func guarded[V any](ctx context.Context, read func(context.Context) (V, error)) (v V, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = problem.Internal.Errorf("cannot load into a cache: %v\n%s", r, debug.Stack())
		}
	}()
	return read(ctx)
}

func (f *load[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// Peek gives the cached value without reading anything.
func (l *Local[K, V]) Peek(key K) (V, bool) {
	if !l.coherent() {
		var none V
		return none, false
	}
	return l.cache.GetIfPresent(key)
}

// Invalidate forgets keys, including values that are being read now.
func (l *Local[K, V]) Invalidate(keys ...K) {
	for _, key := range keys {
		s := l.stripeOf(key)
		s.mu.Lock()
		s.generation++
		l.cache.Invalidate(key)
		s.mu.Unlock()
	}
}

// InvalidateIf forgets all entries that match, for example those of a realm,
// including what is being read now.
func (l *Local[K, V]) InvalidateIf(match func(K, V) bool) {
	for i := range l.stripe {
		l.stripe[i].mu.Lock()
		l.stripe[i].generation++
		l.stripe[i].mu.Unlock()
	}
	for k, v := range l.cache.All() {
		if match(k, v) {
			l.Invalidate(k)
		}
	}
}

// Flush forgets everything.
func (l *Local[K, V]) Flush() {
	for i := range l.stripe {
		l.stripe[i].mu.Lock()
	}
	for i := range l.stripe {
		l.stripe[i].generation++
	}
	l.cache.InvalidateAll()
	for i := range l.stripe {
		l.stripe[i].mu.Unlock()
	}
}

// Len is about how many entries there are.
func (l *Local[K, V]) Len() int {
	l.cache.CleanUp()
	return l.cache.EstimatedSize()
}

// Close stops the cache's own goroutines.
func (l *Local[K, V]) Close() { l.cache.StopAllGoroutines() }

func (l *Local[K, V]) stripeOf(key K) *stripe[K, V] {
	return &l.stripe[maphash.Comparable(l.seed, key)%stripes]
}

// otterClock gives otter our time. Expired entries are never served; they are
// dropped as others are written, so no ticks are needed.
type otterClock struct{ clock clock.Clock }

func (c *otterClock) NowNano() int64                      { return c.clock.Now().UnixNano() }
func (c *otterClock) Tick(time.Duration) <-chan time.Time { return nil }
