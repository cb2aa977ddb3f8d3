package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// authentications is the storage.AuthenticationSessions of a connection.
type authentications struct{ c conn }

func (a authentications) Get(ctx context.Context, realm, id string) (*model.AuthenticationSession, error) {
	return a.read(ctx, realm, id, "")
}

func (a authentications) read(ctx context.Context, realm, id, lock string) (*model.AuthenticationSession, error) {
	missing := problem.NotFound.Errorf("cannot find authentication session %q", id)
	if unspeakable(id) {
		return nil, missing
	}
	var doc []byte
	err := a.c.row(ctx, "SELECT doc FROM authentication_session WHERE realm = ? AND id = ?"+lock, []any{realm, id}, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	s := &model.AuthenticationSession{}
	if err := json.Unmarshal(doc, s); err != nil {
		return nil, err
	}
	if !a.c.live(s.Expires) {
		return nil, missing
	}
	if s.Tabs == nil {
		s.Tabs = map[string]*model.AuthenticationTab{}
	}
	return s, nil
}

func (a authentications) Create(ctx context.Context, s *model.AuthenticationSession) error {
	if err := speakable("session id", s.ID); err != nil {
		return err
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	n, err := a.c.exec(ctx, "INSERT INTO authentication_session (realm, id, expires, doc) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", s.RealmID, s.ID, s.Expires, string(doc))
	if err == nil && n == 0 {
		err = problem.Conflict.Errorf("cannot create authentication session %q: the id is taken", s.ID)
	}
	return err
}

func (a authentications) Change(ctx context.Context, realm, id string, fn func(*model.AuthenticationSession) error) error {
	s, err := a.read(ctx, realm, id, a.c.s.cfg.Dialect.ForUpdate)
	if err != nil {
		return err
	}
	if err := fn(s); err != nil {
		return err
	}
	s.ID, s.RealmID = id, realm
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	_, err = a.c.exec(ctx, "UPDATE authentication_session SET expires = ?, doc = ? WHERE realm = ? AND id = ?", s.Expires, string(doc), realm, id)
	return err
}

func (a authentications) Delete(ctx context.Context, realm, id string) (bool, error) {
	if unspeakable(id) {
		return false, nil
	}
	n, err := a.c.exec(ctx, "DELETE FROM authentication_session WHERE realm = ? AND id = ?", realm, id)
	return n > 0, err
}

// singleUse is the storage.SingleUse of a connection. The database decides who
// is first.
type singleUse struct{ c conn }

func (u singleUse) Put(ctx context.Context, realm, key string, value []byte, expires int64) error {
	if err := speakable("single-use object", key); err != nil {
		return err
	}
	if value == nil {
		value = []byte{}
	}
	n, err := u.c.exec(ctx, "INSERT INTO single_use (realm, name, expires, value) VALUES (?, ?, ?, ?) "+
		"ON CONFLICT (realm, name) DO UPDATE SET expires = excluded.expires, value = excluded.value WHERE single_use.expires <= ?",
		realm, key, expires, value, u.c.now())
	if err == nil && n == 0 {
		err = problem.Conflict.Errorf("cannot put single-use object %q: it is there", key)
	}
	return err
}

func (u singleUse) Take(ctx context.Context, realm, key string) ([]byte, error) {
	return u.value(ctx, "DELETE FROM single_use WHERE realm = ? AND name = ? AND expires > ? RETURNING value", realm, key)
}

func (u singleUse) Peek(ctx context.Context, realm, key string) ([]byte, error) {
	return u.value(ctx, "SELECT value FROM single_use WHERE realm = ? AND name = ? AND expires > ?", realm, key)
}

func (u singleUse) value(ctx context.Context, query, realm, key string) (value []byte, err error) {
	err = sql.ErrNoRows
	if !unspeakable(key) {
		err = u.c.row(ctx, query, []any{realm, key, u.c.now()}, &value)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, problem.NotFound.Errorf("cannot find single-use object: it was used, has expired or never was")
	}
	return value, err
}

// loginFailures is the storage.LoginFailures of a connection.
type loginFailures struct{ c conn }

func (l loginFailures) Get(ctx context.Context, realm, user string) (*model.LoginFailure, error) {
	f, err := l.read(ctx, realm, user, "")
	if err == nil && f == nil {
		err = problem.NotFound.Errorf("cannot find login failures of user %q", user)
	}
	return f, err
}

// read gives nil if there is no count.
func (l loginFailures) read(ctx context.Context, realm, user, lock string) (*model.LoginFailure, error) {
	if unspeakable(user) {
		return nil, nil
	}
	var doc []byte
	err := l.c.row(ctx, "SELECT doc FROM login_failure WHERE realm = ? AND user_id = ?"+lock, []any{realm, user}, &doc)
	if errors.Is(err, sql.ErrNoRows) || err == nil && len(doc) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &model.LoginFailure{}
	if err := json.Unmarshal(doc, f); err != nil {
		return nil, err
	}
	if !l.c.live(f.Expires) {
		return nil, nil
	}
	return f, nil
}

func (l loginFailures) Change(ctx context.Context, realm, user string, fn func(*model.LoginFailure) error) error {
	if err := speakable("user id", user); err != nil {
		return err
	}
	// A row to lock, even for the first failure: two servers must not both be first.
	if _, err := l.c.exec(ctx, "INSERT INTO login_failure (realm, user_id, expires, doc) VALUES (?, ?, 0, '') ON CONFLICT DO NOTHING", realm, user); err != nil {
		return err
	}
	f, err := l.read(ctx, realm, user, l.c.s.cfg.Dialect.ForUpdate)
	if err != nil {
		return err
	}
	if f == nil {
		f = &model.LoginFailure{}
	}
	f.UserID = user
	if err := fn(f); err != nil {
		return err
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = l.c.exec(ctx, "UPDATE login_failure SET expires = ?, doc = ? WHERE realm = ? AND user_id = ?", f.Expires, string(doc), realm, user)
	return err
}

func (l loginFailures) Delete(ctx context.Context, realm, user string) error {
	query, args := "DELETE FROM login_failure WHERE realm = ?", []any{realm}
	if user != "" {
		query, args = query+" AND user_id = ?", append(args, user)
	}
	if unspeakable(user) {
		return nil
	}
	_, err := l.c.exec(ctx, query, args...)
	return err
}
