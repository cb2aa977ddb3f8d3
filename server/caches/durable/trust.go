package durable

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
)

const (
	// doubtLimit bounds what it takes to make everybody doubt: a lease of Work
	// (2 s, 4 s in a large site) where somebody does not answer, and some more.
	doubtLimit = 5 * time.Second
	// raiseLimit is how long one try to raise the floors may take.
	raiseLimit = 5 * time.Second
	// lookEvery is how often it is looked whether doubts can end.
	lookEvery = 250 * time.Millisecond
	// raiseAgain is how long a doubt goes on after a member did not answer: half
	// of what the cluster takes to notice a lost one.
	raiseAgain = time.Second
	// sureLimit is how long the others are told that a doubt has ended: their
	// next lease tells them too, and a write in doubt may be waiting.
	sureLimit = 100 * time.Millisecond
)

// trust knows whether what is in the caches may be served. Writes that could
// not be marked are made in doubt: every server reads from the database until
// the floors are above all that was in the caches then.
type trust struct {
	cfg Config

	mu       sync.Mutex
	stale    int       // times that this server may have missed changes; 0: what is there is fresh
	inDoubt  bool      // this server makes everybody doubt
	told     bool      // everybody knows that
	admits   bool      // writes may join the doubt
	writing  int       // writes in doubt under way
	again    time.Time // until then the doubt goes on
	suspects map[string]bool
	fenced   map[Cache]fenced

	telling chan struct{} // capacity 1: one beginning or end of a doubt at a time
	wake    chan struct{}
}

// fenced is up to which epoch all holders of leases were seen to be.
type fenced struct{ epoch, changes uint64 }

func newTrust(cfg Config) *trust {
	t := &trust{cfg: cfg, suspects: map[string]bool{}, fenced: map[Cache]fenced{}, telling: make(chan struct{}, 1), wake: make(chan struct{}, 1)}
	cfg.Work.OnMissed(func(node string) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.suspects[node] = true
		t.stale++
	})
	cfg.Work.OnGone(func(node string, doubted bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if doubted || t.suspects[node] {
			t.stale++
		}
		delete(t.suspects, node)
	})
	return t
}

// sure reports whether nobody doubts.
func (t *trust) sure() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stale == 0 && !t.inDoubt && !t.cfg.Work.Doubted()
}

// reach returns when no member that may serve from the cache acts in an epoch
// before the given one: from then on a mark of that epoch is seen by all.
func (t *trust) reach(ctx context.Context, cache Cache, epoch uint64) error {
	holders, changes := t.cfg.Work.Holders()
	t.mu.Lock()
	seen := t.fenced[cache]
	t.mu.Unlock()
	if seen.epoch >= epoch && seen.changes == changes {
		return nil
	}
	if err := cache.Fence(ctx, epoch, holders); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fenced[cache] = fenced{epoch, changes}
	return nil
}

// join makes a write part of a doubt that everybody knows of, if there is one;
// leave ends it. Otherwise patience is how long to wait for marks: less while
// the doubt is only being ended, as it goes on at once where a mark fails.
func (t *trust) join() (in bool, patience time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.inDoubt && t.told && t.admits:
		t.writing++
		return true, 0
	case t.inDoubt && t.told:
		return false, peekLimit
	}
	return false, markLimit
}

// reopen joins a doubt that everybody knows of, even one that is being ended.
func (t *trust) reopen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.inDoubt || !t.told {
		return false
	}
	t.admits = true
	t.writing++
	return true
}

// doubt returns when everybody doubts, for one write; leave ends it. It takes
// as long as a lease of Work where a member does not answer, but only for the
// first write: the doubt goes on until the members are well again.
func (t *trust) doubt(ctx context.Context) error {
	if t.reopen() {
		return nil
	}
	select {
	case t.telling <- struct{}{}:
	case <-ctx.Done():
		return problem.Timeout.Errorf("cannot change sessions: the other servers do not yet know of it: %w", ctx.Err())
	}
	defer func() { <-t.telling }()
	if t.reopen() {
		return nil
	}
	t.mu.Lock()
	t.inDoubt = true
	t.writing++ // before it is told: the end waits for it
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doubtLimit)
	defer cancel()
	if err := t.cfg.Work.Doubt(ctx); err != nil {
		t.leave()
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told, t.admits = true, true
	return nil
}

// prolong lets a doubt go on for a while: somebody does not answer.
func (t *trust) prolong() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again = t.cfg.Clock.Now().Add(raiseAgain)
	t.admits = t.inDoubt && t.told
}

func (t *trust) leave() {
	t.mu.Lock()
	t.writing--
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run ends doubts when it can.
func (t *trust) run(ctx context.Context) {
	tick := t.cfg.Clock.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-t.wake:
		}
		t.settle(ctx)
	}
}

// settle raises the floors when somebody has to, and then is sure again.
func (t *trust) settle(ctx context.Context) {
	t.mu.Lock()
	idle := t.stale == 0 && !t.inDoubt
	t.mu.Unlock()
	if idle || !t.healthy() {
		return
	}
	t.mu.Lock()
	stale, mine := t.stale, t.inDoubt
	if mine && t.cfg.Clock.Now().Before(t.again) {
		t.mu.Unlock()
		return
	}
	if mine {
		t.admits = false
	}
	writing := t.writing
	t.mu.Unlock()
	if stale == 0 && !mine || mine && writing > 0 {
		return
	}
	limited, cancel := context.WithTimeout(ctx, raiseLimit)
	defer cancel()
	if err := t.raise(limited); err != nil {
		t.cfg.Log.Debug().Err(err).Msg("cannot raise the floors of the caches; sessions come from the database")
		t.prolong()
		return
	}
	t.mu.Lock()
	t.stale -= stale
	t.mu.Unlock()
	if mine {
		t.end(ctx)
	}
}

// healthy reports whether all caches have what it takes to raise their floors.
func (t *trust) healthy() bool {
	for _, c := range t.caches() {
		if !c.Covers() {
			return false
		}
	}
	return true
}

func (t *trust) caches() (list []Cache) {
	for _, k := range []Kind{t.cfg.Online, t.cfg.Offline} {
		if k.Cache != nil {
			list = append(list, k.Cache)
		}
	}
	return list
}

func (t *trust) raise(ctx context.Context) error {
	var wg sync.WaitGroup
	list := t.caches()
	errs := make([]error, len(list))
	for i, c := range list {
		wg.Go(func() { errs[i] = c.Raise(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// end tells everybody that this server is sure, unless a write has come since.
func (t *trust) end(ctx context.Context) {
	t.telling <- struct{}{}
	defer func() { <-t.telling }()
	t.mu.Lock()
	if t.admits || t.writing > 0 {
		t.mu.Unlock()
		return
	}
	t.inDoubt, t.told = false, false
	t.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, sureLimit)
	defer cancel()
	if err := t.cfg.Work.Sure(limited); err != nil {
		t.cfg.Log.Debug().Err(err).Msg("not every server knows that sessions can be served from the caches again; their leases will tell them")
	}
}

var _ Cache = (*caches.Distributed)(nil)
var _ Work = (*caches.Work)(nil)
