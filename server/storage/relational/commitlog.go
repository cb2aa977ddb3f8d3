package relational

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const (
	// batchMax bounds how many writes share a commit, so that none waits for the
	// work of thousands.
	batchMax = 512
	// commitTimeout bounds one group commit: longer than any database that still
	// works takes, shorter than a browser waits.
	commitTimeout = 20 * time.Second
)

// commitLog commits the session writes of concurrent requests together. An idle
// log commits at once; a busy one commits CommitRate times a second and each
// commit carries what has queued up. Every caller returns after its own write
// is durable.
type commitLog struct {
	s       *Store
	mu      sync.Mutex
	queue   []*write
	closed  bool
	wake    chan struct{} // holds a token while the queue may not be empty
	closing chan struct{} // closed by close: no more pacing
	ended   chan struct{}
	commits atomic.Uint64
	writes  atomic.Uint64
}

// write is one caller's change.
type write struct {
	key string // writes of a batch run in the order of their keys, so that servers lock rows in one order
	// single: fn is one statement, or fails before its first, so it needs no
	// savepoint to be undone.
	single  bool
	fn      func(context.Context, conn) error
	started atomic.Bool // by the log, or by a caller that gave up
	done    chan error
}

func (l *commitLog) init(s *Store) {
	l.s, l.wake, l.closing, l.ended = s, make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
}

// do has fn committed and returns when it is.
func (l *commitLog) do(ctx context.Context, key string, single bool, fn func(context.Context, conn) error) error {
	w := &write{key: key, single: single, fn: fn, done: make(chan error, 1)}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return problem.Unavailable.Errorf("cannot write: the store is closed")
	}
	l.queue = append(l.queue, w)
	l.mu.Unlock()
	l.signal()
	select {
	case err := <-w.done:
		return l.s.explain(err)
	case <-ctx.Done():
		if w.started.CompareAndSwap(false, true) {
			return problem.Timeout.Errorf("cannot write: %w", context.Cause(ctx))
		}
		return l.s.explain(<-w.done) // it is being written: say how that ended
	}
}

func (l *commitLog) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// close refuses new writes and returns when the queued ones are done.
func (l *commitLog) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.closing)
	l.signal()
	<-l.ended
}

// run commits until close; ctx ends only after that.
func (l *commitLog) run(ctx context.Context) {
	defer close(l.ended)
	pace := newPace(l.s.cfg.Options.Clock, l.s.cfg.Options.CommitRate, l.s.cfg.Options.CommitBurst)
	for {
		<-l.wake
		for l.waiting() {
			pace.wait(l.wake, l.closing)
			l.commit(ctx, l.take())
		}
		if l.ending() && !l.waiting() {
			return
		}
	}
}

func (l *commitLog) waiting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

func (l *commitLog) ending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// take removes the next batch from the queue, leaving out those whose callers
// gave up.
func (l *commitLog) take() []*write {
	l.mu.Lock()
	n := min(len(l.queue), batchMax)
	batch := slices.Clone(l.queue[:n])
	l.queue = slices.Delete(l.queue, 0, n)
	l.mu.Unlock()
	batch = slices.DeleteFunc(batch, func(w *write) bool { return !w.started.CompareAndSwap(false, true) })
	slices.SortStableFunc(batch, func(a, b *write) int { return strings.Compare(a.key, b.key) })
	return batch
}

func (l *commitLog) commit(ctx context.Context, batch []*write) {
	if len(batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	l.writes.Add(uint64(len(batch)))
	if len(batch) > 1 {
		results, err := l.together(ctx, batch)
		if err == nil {
			l.commits.Add(1)
			for i, w := range batch {
				w.done <- results[i]
			}
			return
		}
		if undone := l.s.cfg.Dialect.Retry(err) || results == nil; !undone {
			for _, w := range batch { // the commit itself failed: nobody can know
				w.done <- err
			}
			return
		}
	}
	for _, w := range batch { // alone, or something in the batch spoilt it for all
		err := l.s.transact(ctx, l.s.cfg.Session, func(tx *sql.Tx) error { return w.run(ctx, conn{tx, l.s}) })
		if err == nil {
			l.commits.Add(1)
		}
		w.done <- err
	}
}

// together runs a batch in one transaction. A write that fails is undone alone.
// When the transaction fails before its commit, results is nil.
func (l *commitLog) together(ctx context.Context, batch []*write) (results []error, err error) {
	tx, err := l.s.cfg.Session.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	results = make([]error, len(batch))
	for i, w := range batch {
		if results[i], err = w.runAmongOthers(ctx, conn{tx, l.s}); err != nil {
			_ = tx.Rollback() // err is what counts
			return nil, err
		}
	}
	return results, tx.Commit()
}

// runAmongOthers gives the write's own failure as result, and as spoilt what
// leaves the transaction unusable for the others.
func (w *write) runAmongOthers(ctx context.Context, c conn) (result, spoilt error) {
	if w.single {
		err := w.run(ctx, c)
		if err == nil || problem.Is(err, problem.NotFound) || problem.Is(err, problem.Conflict) {
			return err, nil
		}
		return nil, err
	}
	if _, err := c.ExecContext(ctx, "SAVEPOINT one"); err != nil {
		return nil, err
	}
	result = w.run(ctx, c)
	if result != nil {
		if _, err := c.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
			return nil, err
		}
		if c.s.cfg.Dialect.Retry(result) {
			return nil, result
		}
	}
	_, err := c.ExecContext(ctx, "RELEASE SAVEPOINT one")
	return result, err
}

// steady runs every query under the commit's context: a caller that goes away
// in the middle of its function must not break the connection for the others.
type steady struct {
	runner
	ctx context.Context
}

func (r steady) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	return r.runner.ExecContext(r.ctx, query, args...)
}

func (r steady) QueryContext(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.runner.QueryContext(r.ctx, query, args...)
}

func (r steady) QueryRowContext(_ context.Context, query string, args ...any) *sql.Row {
	return r.runner.QueryRowContext(r.ctx, query, args...)
}

// run calls fn; a caller's panic must not end the log that all callers share.
func (w *write) run(ctx context.Context, c conn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = problem.Internal.Errorf("cannot write %s: %v", w.key, fmt.Sprint(p))
		}
	}()
	return w.fn(ctx, conn{steady{c.runner, ctx}, c.s})
}

// pace lets rate events through a second, and burst at once after idling.
type pace struct {
	clock  clock.Clock
	rate   float64 // below 0: no bound
	burst  float64
	tokens float64
	last   time.Time
}

func newPace(c clock.Clock, rate float64, burst int) *pace {
	return &pace{clock: c, rate: rate, burst: float64(burst), tokens: float64(burst), last: c.Now()}
}

// wait returns when the next event may happen; wake is drained meanwhile, as
// what it announces is in the queue. closing ends the waiting.
func (p *pace) wait(wake, closing <-chan struct{}) {
	if p.rate < 0 {
		return
	}
	now := p.clock.Now()
	p.tokens = min(p.burst, p.tokens+now.Sub(p.last).Seconds()*p.rate)
	p.last = now
	p.tokens--
	if p.tokens >= 0 {
		return
	}
	timer := p.clock.NewTimer(time.Duration(-p.tokens / p.rate * float64(time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return
		case <-closing:
			return
		case <-wake:
		}
	}
}
