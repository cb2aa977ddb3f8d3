package relational

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// runner is a *sql.DB or a *sql.Tx.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// conn runs queries written with "?" in the database's dialect.
type conn struct {
	runner
	s *Store
}

func (c conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := c.ExecContext(ctx, c.s.cfg.Dialect.bind(query), args...)
	if err != nil {
		return 0, c.s.explain(err)
	}
	return r.RowsAffected()
}

func (c conn) row(ctx context.Context, query string, args []any, into ...any) error {
	g := c.gate()
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	err := c.QueryRowContext(ctx, c.s.cfg.Dialect.bind(query), args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return c.s.explain(err)
}

// rows calls each for every row; each scans it.
func (c conn) rows(ctx context.Context, query string, args []any, each func(*sql.Rows) error) error {
	g := c.gate()
	if err := g.enter(ctx); err != nil {
		return err
	}
	defer g.leave()
	rows, err := c.QueryContext(ctx, c.s.cfg.Dialect.bind(query), args...)
	if err != nil {
		return c.s.explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return c.s.explain(rows.Err())
}

// bind numbers the placeholders of query where the dialect wants that.
func (d Dialect) bind(query string) string {
	if d.Number == nil {
		return query
	}
	var b strings.Builder
	b.Grow(len(query) + 16)
	n := 0
	for {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		n++
		b.WriteString(d.Number(n))
		query = after
	}
}

// explain gives a database's error its kind; other errors stay as they are.
func (s *Store) explain(err error) error {
	var known *problem.Error
	switch d := s.cfg.Dialect; {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return problem.Timeout.Errorf("cannot finish the database query: %w", err)
	case d.Taken(err):
		return problem.Conflict.Errorf("cannot write: the id or name is taken: %w", err)
	case d.Refused(err) != "":
		return problem.Invalid.Errorf("cannot write: %s: %w", d.Refused(err), err)
	case d.Retry(err) || d.Lost(err) || errors.Is(err, sql.ErrConnDone):
		return problem.Unavailable.Errorf("cannot use the database: %w", err)
	}
	return err
}

func clockSleep(ctx context.Context, c clock.Clock, d time.Duration) error {
	return clock.Sleep(ctx, c, d)
}

// limit is the SQL of a page.
func limit(first, most int) (string, []any) {
	switch {
	case most > 0:
		return " LIMIT ? OFFSET ?", []any{most, max(first, 0)}
	case first > 0:
		return " LIMIT ? OFFSET ?", []any{1 << 40, first}
	}
	return "", nil
}

// contains is the LIKE pattern of text anywhere; texts are lower-case.
func contains(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func newID() (string, error) {
	id, err := uuid.NewRandom()
	return id.String(), err
}

// speakable refuses texts that no database keeps in a lookup column.
func speakable(what, text string) error {
	if unspeakable(text) {
		return problem.Invalid.Errorf("cannot keep %s %q: it contains a zero byte or is not UTF-8", what, text)
	}
	if len(text) > 2000 {
		return problem.Invalid.Errorf("cannot keep %s %q…: it is longer than 2000 bytes", what, text[:40])
	}
	return nil
}

// unspeakable reports whether one of texts can be in no lookup column, so that
// looking for it finds nothing.
func unspeakable(texts ...any) bool {
	for _, t := range texts {
		if s, ok := t.(string); ok && (strings.ContainsRune(s, 0) || !utf8.ValidString(s)) {
			return true
		}
	}
	return false
}
