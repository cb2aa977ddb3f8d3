package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// clearMost bounds what one write removes, so that logins do not wait for it.
const clearMost = 500

// pointer is *T, an event.
type pointer[T any] interface {
	*T
	model.Happening
}

// eventLog is the storage.EventLog of a connection.
type eventLog[T any, E pointer[T]] struct {
	c     conn
	admin bool
}

type (
	userEvents  = eventLog[model.Event, *model.Event]
	adminEvents = eventLog[model.AdminEvent, *model.AdminEvent]
)

func (l eventLog[T, E]) Add(ctx context.Context, event E) error {
	if event.Facts().ID == "" {
		id, err := newID()
		if err != nil {
			return err
		}
		event.SetID(id)
	}
	doc, err := json.Marshal(event)
	if err != nil {
		return err
	}
	f := event.Facts()
	column := func(text string) string { // of what a caller chose, the start is enough to find it
		return strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), 1000)], "\x00", ""), "")
	}
	_, err = l.c.exec(ctx, "INSERT INTO event (realm, admin, id, happened, type, client, user_id, remote, resource, path, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		f.RealmID, flag(l.admin), f.ID, f.Time, column(f.Type), column(f.ClientID), column(f.UserID), column(f.Remote), column(f.Resource), column(f.Path),
		string(doc))
	return err
}

func (l eventLog[T, E]) List(ctx context.Context, q storage.EventQuery) (found []E, err error) {
	where, args := l.where(q)
	page, more := limit(q.First, q.Max)
	err = l.c.rows(ctx, "SELECT doc FROM event"+where+" ORDER BY happened DESC, id"+page, append(args, more...), func(rows *sql.Rows) error {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return err
		}
		event := E(new(T))
		if err := json.Unmarshal(doc, event); err != nil {
			return err
		}
		found = append(found, event)
		return nil
	})
	return found, err
}

func (l eventLog[T, E]) Count(ctx context.Context, q storage.EventQuery) (n int, err error) {
	where, args := l.where(q)
	return n, l.c.row(ctx, "SELECT COUNT(*) FROM event"+where, args, &n)
}

func (l eventLog[T, E]) Clear(ctx context.Context, realm string, before int64) error {
	for {
		if n, err := l.clear(ctx, realm, before); err != nil || n < clearMost {
			return err
		}
	}
}

// clear removes clearMost events at most and tells how many.
func (l eventLog[T, E]) clear(ctx context.Context, realm string, before int64) (int64, error) {
	where, args := l.where(storage.EventQuery{Realm: realm})
	if before > 0 {
		where, args = where+" AND happened < ?", append(args, before)
	}
	return l.c.exec(ctx, "DELETE FROM event WHERE realm = ? AND admin = ? AND id IN (SELECT id FROM event"+where+" LIMIT ?)",
		append(append([]any{realm, flag(l.admin)}, args...), clearMost)...)
}

func (l eventLog[T, E]) where(q storage.EventQuery) (string, []any) {
	conditions, args := []string{"realm = ?", "admin = ?"}, []any{q.Realm, flag(l.admin)}
	add := func(condition string, values ...any) {
		conditions, args = append(conditions, condition), append(args, values...)
	}
	among := func(column string, values ...string) {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(values) == 0 {
			return
		}
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = v
		}
		add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ")+")", list...)
	}
	among("client", q.Client)
	among("user_id", q.User)
	among("remote", q.Remote)
	among("type", slices.Clone(q.Types)...)
	among("resource", slices.Clone(q.Resources)...)
	if q.Path != "" {
		add(`LOWER(path) LIKE ? ESCAPE '\'`, contains(q.Path))
	}
	if q.From > 0 {
		add("happened >= ?", q.From)
	}
	if q.To > 0 {
		add("happened <= ?", q.To)
	}
	return " WHERE " + strings.Join(conditions, " AND "), args
}

// groupedEvents reads as eventLog does and writes through the log.
type groupedEvents[T any, E pointer[T]] struct{ eventLog[T, E] }

func (g groupedEvents[T, E]) Add(ctx context.Context, event E) error {
	return g.c.s.log.do(ctx, "", true, func(ctx context.Context, c conn) error {
		return eventLog[T, E]{c, g.admin}.Add(ctx, event)
	})
}

func (g groupedEvents[T, E]) Clear(ctx context.Context, realm string, before int64) error {
	for {
		var n int64
		err := g.c.s.log.do(ctx, "", true, func(ctx context.Context, c conn) (err error) {
			n, err = eventLog[T, E]{c, g.admin}.clear(ctx, realm, before)
			return err
		})
		if err != nil || n < clearMost {
			return err
		}
	}
}
