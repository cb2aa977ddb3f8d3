package durable

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// users is the storage.UserSessions of a Store: Get from the caches, writes to
// the database with marks around them, lists from the database.
type users struct {
	storage.UserSessions
	s *Store
}

func (u users) Get(ctx context.Context, key storage.SessionKey) (*model.UserSession, error) {
	kind := u.s.kind(key)
	if !u.s.trusted(kind) {
		return u.UserSessions.Get(ctx, key)
	}
	limited, cancel := context.WithTimeout(ctx, peekLimit)
	defer cancel()
	item, ok, err := kind.Cache.Peek(limited, name(key))
	if err != nil {
		return u.UserSessions.Get(ctx, key)
	}
	if ok {
		session, _, fresh := decode(key, item.Value, kind.Cache.Floor())
		if fresh && (session.Expires == 0 || session.Expires > u.s.cfg.Clock.Now().Unix()) {
			return session, nil
		}
	}
	session, err := u.UserSessions.Get(ctx, key)
	if err != nil { // strangers ask for what is not there: it takes no room
		return nil, err
	}
	if len(item.Value) > 0 && (item.Value[0] == isMark || item.Value[0] == isReserve) {
		return session, nil
	}
	return u.fetch(ctx, kind, key, item)
}

// fetch reads a session from the database and keeps it for all, unless its
// entry changes meanwhile.
func (u users) fetch(ctx context.Context, kind Kind, key storage.SessionKey, item caches.Item) (*model.UserSession, error) {
	version, reserved := u.reserve(ctx, kind, key, item)
	session, err := u.UserSessions.Get(ctx, key)
	if !reserved || err != nil && !problem.Is(err, problem.NotFound) {
		return session, err
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), peekLimit)
	defer cancel()
	p := placed{kind: kind, version: version}
	p.leave(limited, u.s, key, session)
	return session, err
}

// reserve makes this server the one that fetches the session.
func (u users) reserve(ctx context.Context, kind Kind, key storage.SessionKey, item caches.Item) (version caches.Version, ok bool) {
	if kind.full() {
		return version, false
	}
	limited, cancel := context.WithTimeout(ctx, peekLimit)
	defer cancel()
	var err error
	if len(item.Value) == 0 {
		item, ok, err = kind.Cache.PutIfAbsent(limited, name(key), []byte{isReserve}, reserveLife)
	} else {
		item, ok, err = kind.Cache.Replace(limited, name(key), []byte{isReserve}, reserveLife, item.Version)
	}
	return item.Version, ok && err == nil
}

func (u users) Create(ctx context.Context, session *model.UserSession) error {
	key := storage.SessionKey{Realm: session.RealmID, ID: session.ID, Offline: session.Offline}
	return u.s.write(ctx, key, func() (*model.UserSession, error) {
		return session, u.UserSessions.Create(ctx, session)
	})
}

func (u users) Change(ctx context.Context, key storage.SessionKey, fn func(*model.UserSession) error) error {
	return u.s.write(ctx, key, func() (after *model.UserSession, err error) {
		err = u.UserSessions.Change(ctx, key, func(session *model.UserSession) error {
			after = session
			return fn(session)
		})
		return after, err
	})
}

func (u users) Delete(ctx context.Context, key storage.SessionKey) (found bool, err error) {
	err = u.s.write(ctx, key, func() (*model.UserSession, error) {
		found, err = u.UserSessions.Delete(ctx, key)
		return nil, err
	})
	return found && err == nil, err
}

// write makes one change of one session.
func (s *Store) write(ctx context.Context, key storage.SessionKey, do func() (*model.UserSession, error)) error {
	c, err := s.begin(ctx, key)
	if err != nil {
		return err
	}
	after, err := do()
	c.finish(ctx, map[storage.SessionKey]*model.UserSession{key: after}, err)
	return err
}

// touchTries is how often a touch tries to reach an entry that others change.
const touchTries = 3

// Touch notes the use in the database, a few seconds later, and in the cache.
func (u users) Touch(ctx context.Context, key storage.SessionKey, client string, at, expires int64) error {
	if err := u.UserSessions.Touch(ctx, key, client, at, expires); err != nil {
		return err
	}
	kind := u.s.kind(key)
	if !u.s.trusted(kind) {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, peekLimit)
	defer cancel()
	for range touchTries {
		item, ok, err := kind.Cache.Peek(limited, name(key))
		if err != nil || ok && item.Value[0] == isMark {
			return nil
		}
		session, epoch, fresh := decode(key, item.Value, kind.Cache.Floor())
		if !fresh { // this server's database has the touch already
			_, _ = u.fetch(ctx, kind, key, item) // whether the cache gets it is not the caller's matter
			return nil
		}
		touch(session, client, at, expires)
		value, err := encode(epoch, session)
		if err != nil {
			return nil
		}
		if _, done, err := kind.Cache.Replace(limited, name(key), value, kind.life(session, u.s.cfg.Clock.Now()), item.Version); done || err != nil {
			return nil
		}
	}
	return nil
}

func touch(s *model.UserSession, client string, at, expires int64) {
	s.LastAccess = max(s.LastAccess, at)
	if s.Expires != 0 {
		s.Expires = max(s.Expires, expires)
	}
	if c := s.Clients[client]; c != nil {
		c.LastAccess = max(c.LastAccess, at)
	}
}
