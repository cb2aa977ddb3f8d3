package relational

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// plans reads through statements that stay prepared: reading a session is a
// part of every refresh, and SQLite spends more on the text of the query than
// on the row. It is a runner outside transactions.
//
// Only short queries are kept: those with lists of values come in as many
// texts as the lists have lengths.
type plans struct {
	*sql.DB
	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

const (
	plansMax  = 64 // of each connection; the session reads are a dozen texts
	planArgs  = 6  // a query with more values is not kept
	planBytes = 1 << 10
)

func newPlans(db *sql.DB) *plans { return &plans{DB: db, kept: map[string]*sql.Stmt{}} }

// QueryContext implements runner.
func (p *plans) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := p.of(ctx, query, len(args)); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return p.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext implements runner.
func (p *plans) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := p.of(ctx, query, len(args)); stmt != nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return p.DB.QueryRowContext(ctx, query, args...)
}

// of is the statement of a query; nil where none is kept. A query that cannot
// be prepared is left to fail where it is run.
func (p *plans) of(ctx context.Context, query string, args int) *sql.Stmt {
	if args > planArgs || len(query) > planBytes {
		return nil
	}
	p.mu.RLock()
	stmt, full := p.kept[query], len(p.kept) >= plansMax
	p.mu.RUnlock()
	if stmt != nil || full {
		return stmt
	}
	fresh, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stmt := p.kept[query]; stmt != nil { // another was quicker
		_ = fresh.Close() // it was never used
		return stmt
	}
	p.kept[query] = fresh
	return fresh
}

// close ends the statements, before their connections.
func (p *plans) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, stmt := range p.kept {
		errs = append(errs, stmt.Close())
	}
	clear(p.kept)
	return errors.Join(errs...)
}
