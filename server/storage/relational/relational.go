// Package relational is the query layer that the SQL drivers share: the
// schema, the queries, and the group commit of sessions. A driver gives it open
// connections, its dialect and its lock. It must not know which database it
// talks to, nor anything above storage.
package relational

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Dialect is what differs between databases.
type Dialect struct {
	Name      string
	Blob      string                 // column type of bytes
	Greatest  string                 // function: the greater of two numbers
	ForUpdate string                 // suffix of a SELECT that locks its rows; "" where writers are alone anyway
	Plans     bool                   // reads of sessions are prepared once: the driver does not do it by itself
	Number    func(i int) string     // the i-th placeholder, from 1; nil: all are "?"
	Taken     func(error) bool       // a unique constraint was violated
	Retry     func(error) bool       // the transaction may succeed if run again
	Lost      func(error) bool       // the database could not be reached
	Refused   func(err error) string // why the database refuses such data; "" if it does not
}

// Locker takes locks that hold across all servers of a database.
type Locker interface {
	Lock(ctx context.Context, name string, wait time.Duration) (storage.Unlock, error)
}

// Config is what a driver gives.
type Config struct {
	Read    *sql.DB // for reading outside transactions
	Write   *sql.DB // for Update
	Session *sql.DB // for the group commit; may be Write
	Dialect Dialect
	Locker  Locker
	Options storage.Options
}

var _ storage.Store = (*Store)(nil)

// Store is the storage.Store over a Config.
type Store struct {
	cfg       Config
	plans     *plans // of cfg.Read; nil where the driver keeps them
	reads     *gate  // before cfg.Read
	writes    *gate  // before cfg.Write
	log       commitLog
	touches   touches
	stop      context.CancelFunc
	done      sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// Open brings the schema up to date and starts the group commit and the sweep.
// It owns cfg's connections from then on, closing them when it fails.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg}
	s.cfg.Options = cfg.Options.WithDefaults()
	if s.cfg.Options.Clock == nil {
		return nil, errors.Join(problem.Internal.Errorf("cannot open the database: no clock given"), s.closeConns())
	}
	s.reads, s.writes = newGate(cfg.Read, s.cfg.Options), newGate(cfg.Write, s.cfg.Options)
	steps, err := readSteps(schemaFiles)
	if err == nil {
		err = s.migrate(ctx, steps)
	}
	if err != nil {
		return nil, errors.Join(err, s.closeConns())
	}
	if err := s.warm(ctx, max(s.cfg.Options.InitialConns, s.cfg.Options.MinConns)); err != nil {
		return nil, errors.Join(err, s.closeConns())
	}
	if cfg.Dialect.Plans {
		s.plans = newPlans(cfg.Read)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.log.init(s)
	s.touches.init()
	s.done.Go(func() { s.log.run(running) })
	s.done.Go(func() { s.sweepLoop(running) })
	ticker := s.cfg.Options.Clock.NewTicker(s.cfg.Options.TouchEvery) // from now, not from when the loop gets to run
	s.done.Go(func() { s.touchLoop(running, ticker) })
	if s.cfg.Options.MinConns > 0 {
		s.done.Go(func() { s.keepLoop(running) })
	}
	return s, nil
}

// View implements storage.Store.
func (s *Store) View(ctx context.Context, fn func(storage.Tx) error) error {
	return fn(s.tx(s.cfg.Read))
}

// Update implements storage.Store.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.transact(ctx, s.cfg.Write, func(tx *sql.Tx) error { return fn(s.tx(tx)) })
}

// attempts is how often a transaction is tried that the database asks to retry.
const attempts = 5

func (s *Store) transact(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	for try := 1; ; try++ {
		err := s.once(ctx, db, fn)
		if err == nil || try == attempts || ctx.Err() != nil || !s.cfg.Dialect.Retry(err) {
			return s.explain(err)
		}
		if err := clockSleep(ctx, s.cfg.Options.Clock, time.Duration(try)*5*time.Millisecond); err != nil {
			return err
		}
	}
}

func (s *Store) once(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) (err error) {
	if db == s.cfg.Write {
		if err := s.writes.enter(ctx); err != nil {
			return err
		}
		defer s.writes.leave()
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if tx != nil {
			_ = tx.Rollback() // fn failed or panicked; the failure is what counts
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	err = tx.Commit()
	tx = nil
	return err
}

// Lock implements storage.Store.
func (s *Store) Lock(ctx context.Context, name string, wait time.Duration) (storage.Unlock, error) {
	return s.cfg.Locker.Lock(ctx, name, wait)
}

// Status implements storage.Store.
func (s *Store) Status(ctx context.Context) (storage.Status, error) {
	version, err := s.schemaVersion(ctx)
	if err != nil {
		return storage.Status{}, s.explain(err)
	}
	return storage.Status{
		Driver: s.cfg.Dialect.Name, Schema: version,
		Commits: s.log.commits.Load(), Writes: s.log.writes.Load(),
	}, nil
}

// Close implements storage.Store: it writes what was touched, finishes the
// writes that wait, and closes the connections.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.flushTouches(context.Background())
		s.log.close()
		s.stop()
		s.done.Wait()
		s.closeErr = s.closeConns()
	})
	return s.closeErr
}

func (s *Store) closeConns() error {
	var errs []error
	if s.plans != nil {
		errs = append(errs, s.plans.close())
	}
	closed := map[*sql.DB]bool{}
	for _, db := range []*sql.DB{s.cfg.Session, s.cfg.Write, s.cfg.Read} {
		if db != nil && !closed[db] {
			closed[db] = true
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
