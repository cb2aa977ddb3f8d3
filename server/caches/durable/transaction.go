package durable

import (
	"context"
	"errors"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// errUnmarked ends a transaction that was about to write a session without a
// mark: it begins again with one.
var errUnmarked = errors.New("cannot write a session that is not marked")

// marking is the most sessions that one transaction writes here; the next ones
// are written in doubt.
const marking = 16

// ChangeSessions implements storage.Store. Sessions that storage.Intend named
// are marked first.
func (s *Store) ChangeSessions(ctx context.Context, fn func(storage.Sessions) error) error {
	keys := storage.Intended(ctx)
	for {
		c, err := s.begin(ctx, keys...)
		if err != nil {
			return err
		}
		t := &transaction{change: c}
		err = s.Store.ChangeSessions(ctx, func(tx storage.Sessions) error {
			t.begin()
			tx.Users = marked{tx.Users, t}
			if err := fn(tx); err != nil {
				return err
			}
			if len(t.unmarked) > 0 {
				return errUnmarked
			}
			return nil
		})
		if len(t.unmarked) == 0 {
			c.finish(ctx, t.after, err)
			return err
		}
		c.finish(ctx, nil, errUnmarked)
		if keys = append(keys[:len(keys):len(keys)], t.unmarked...); len(keys) > marking {
			if err := s.trust.doubt(ctx); err != nil {
				return err
			}
			defer s.trust.leave()
		}
	}
}

// transaction is one try of a ChangeSessions.
type transaction struct {
	change   *change
	unmarked []storage.SessionKey
	after    map[storage.SessionKey]*model.UserSession
}

func (t *transaction) begin() {
	t.unmarked, t.after = nil, map[storage.SessionKey]*model.UserSession{}
}

// wrote notes what a session becomes, if it may be written.
func (t *transaction) wrote(key storage.SessionKey, session *model.UserSession) error {
	if t.change.doubt || t.change.marks[key] != nil || t.change.s.kind(key).Cache == nil {
		t.after[key] = session
		return nil
	}
	t.unmarked = append(t.unmarked, key)
	return errUnmarked
}

// marked is the storage.UserSessions of a transaction.
type marked struct {
	storage.UserSessions
	t *transaction
}

func (m marked) Create(ctx context.Context, session *model.UserSession) error {
	key := storage.SessionKey{Realm: session.RealmID, ID: session.ID, Offline: session.Offline}
	if err := m.t.wrote(key, session); err != nil {
		return err
	}
	return m.UserSessions.Create(ctx, session)
}

func (m marked) Change(ctx context.Context, key storage.SessionKey, fn func(*model.UserSession) error) error {
	return m.UserSessions.Change(ctx, key, func(session *model.UserSession) error {
		if err := m.t.wrote(key, session); err != nil {
			return err
		}
		return fn(session)
	})
}

func (m marked) Delete(ctx context.Context, key storage.SessionKey) (bool, error) {
	if err := m.t.wrote(key, nil); err != nil {
		return false, err
	}
	return m.UserSessions.Delete(ctx, key)
}

// Update implements storage.Store. Deleting a realm, a client or a user takes
// sessions with it that nobody names: then everybody doubts, before the commit.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if len(s.trust.caches()) == 0 {
		return s.Store.Update(ctx, fn)
	}
	in := false
	err := s.Store.Update(ctx, func(tx storage.Tx) error {
		d := &deletions{}
		tx.Realms, tx.Clients, tx.Users = deleting[*model.Realm]{tx.Realms, d}, deleting[*model.Client]{tx.Clients, d}, deletingUsers{tx.Users, d}
		if err := fn(tx); err != nil || !d.any || in {
			return err
		}
		if err := s.trust.doubt(ctx); err != nil {
			return err
		}
		in = true
		return nil
	})
	if in {
		s.trust.leave()
	}
	return err
}

// deletions notes whether an Update deletes what has sessions.
type deletions struct{ any bool }

type deleting[T model.Noun] struct {
	storage.Documents[T]
	d *deletions
}

func (w deleting[T]) Delete(ctx context.Context, realm, id string) error {
	w.d.any = true
	return w.Documents.Delete(ctx, realm, id)
}

type deletingUsers struct {
	storage.Users
	d *deletions
}

func (w deletingUsers) Delete(ctx context.Context, realm, id string) error {
	w.d.any = true
	return w.Users.Delete(ctx, realm, id)
}
