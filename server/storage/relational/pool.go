package relational

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// gate lets as many in as a pool has connections, so that waiting for one has
// an end: database/sql waits as long as the request does. nil lets all in.
type gate struct {
	places  chan struct{}
	options storage.Options
}

// newGate stands before a pool.
func newGate(db *sql.DB, o storage.Options) *gate {
	most := db.Stats().MaxOpenConnections
	if most <= 0 {
		return nil
	}
	return &gate{make(chan struct{}, most), o}
}

// enter waits for a place, Options.ConnWait at most. leave gives it back.
func (g *gate) enter(ctx context.Context) error {
	if g == nil {
		return nil
	}
	select {
	case g.places <- struct{}{}:
		return nil
	default:
	}
	limit := g.options.Clock.NewTimer(g.options.ConnWait)
	defer limit.Stop()
	select {
	case g.places <- struct{}{}:
		return nil
	case <-limit.C:
		return problem.WithHint(problem.Unavailable.Errorf("cannot get a connection of data-source %s: all %d were in use for %s", g.options.Source, cap(g.places), g.options.ConnWait),
			"raise max-pool-size of the data-source, or find what keeps the database busy")
	case <-ctx.Done():
		return problem.Timeout.Errorf("cannot get a connection of data-source %s: %w", g.options.Source, ctx.Err())
	}
}

func (g *gate) leave() {
	if g != nil {
		<-g.places
	}
}

// gate is the one before a query outside transactions.
func (c conn) gate() *gate {
	switch c.runner.(type) {
	case *sql.DB, *plans:
		return c.s.reads
	}
	return nil
}

// warm opens connections for reading until n are open, or are in use; those
// that are open have been used then.
func (s *Store) warm(ctx context.Context, n int) (err error) {
	conns := make([]*sql.Conn, 0, max(0, n-s.cfg.Read.Stats().InUse))
	for range cap(conns) {
		c, failed := s.cfg.Read.Conn(ctx)
		if failed != nil {
			err = s.explain(failed)
			break
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		err = errors.Join(err, c.Close()) // back to the pool
	}
	return err
}

// keepEvery is how often connections are counted where none is ever idle for
// too long; keepLimit how long opening what is missing may take.
const (
	keepEvery = time.Minute
	keepLimit = 5 * time.Second
)

// keepLoop keeps Options.MinConns connections open: it uses them before they
// have been idle for too long, and replaces those that were lost.
func (s *Store) keepLoop(ctx context.Context) {
	o := s.cfg.Options
	every := keepEvery
	if o.MaxConnIdle > 0 {
		every = min(every, o.MaxConnIdle/2)
	}
	for clock.Sleep(ctx, o.Clock, every) == nil {
		limited, cancel := context.WithTimeout(ctx, keepLimit)
		if err := s.warm(limited, o.MinConns); err != nil && ctx.Err() == nil {
			o.Log.Debug().Err(err).Int("connections", o.MinConns).Msg("cannot keep so many connections open; trying again")
		}
		cancel()
	}
}
