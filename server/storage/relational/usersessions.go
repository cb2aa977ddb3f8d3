package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// userSessions is the storage.UserSessions of a connection.
type userSessions struct{ c conn }

const sessionColumns = "u.id, u.last_access, u.expires, u.doc"

func scanSession(scan func(...any) error) (*model.UserSession, error) {
	var (
		id            string
		last, expires int64
		doc           []byte
	)
	if err := scan(&id, &last, &expires, &doc); err != nil {
		return nil, err
	}
	s := &model.UserSession{}
	if err := json.Unmarshal(doc, s); err != nil {
		return nil, err
	}
	s.ID, s.LastAccess, s.Expires = id, last, expires
	s.Clients = map[string]*model.ClientSession{}
	return s, nil
}

func (u userSessions) Get(ctx context.Context, key storage.SessionKey) (*model.UserSession, error) {
	return u.read(ctx, key, "")
}

func (u userSessions) read(ctx context.Context, key storage.SessionKey, lock string) (*model.UserSession, error) {
	missing := problem.NotFound.Errorf("cannot find user session %q", key.ID)
	if unspeakable(key.ID) {
		return nil, missing
	}
	row := u.c.QueryRowContext(ctx, u.c.s.cfg.Dialect.bind("SELECT "+sessionColumns+" FROM user_session u WHERE u.realm = ? AND u.offline = ? AND u.id = ?"+lock),
		key.Realm, flag(key.Offline), key.ID)
	s, err := scanSession(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, missing
	}
	if err != nil {
		return nil, u.c.s.explain(err)
	}
	if err := u.readClients(ctx, key.Realm, key.Offline, s); err != nil {
		return nil, err
	}
	u.c.s.touches.apply(key, s)
	if !u.c.live(s.Expires) {
		return nil, missing
	}
	return s, nil
}

// readClients fills in the client sessions of sessions of one realm.
func (u userSessions) readClients(ctx context.Context, realm string, offline bool, sessions ...*model.UserSession) error {
	for chunk := range slices.Chunk(sessions, 100) {
		byID := make(map[string]*model.UserSession, len(chunk))
		args := []any{realm, flag(offline)}
		for _, s := range chunk {
			byID[s.ID] = s
			args = append(args, s.ID)
		}
		err := u.c.rows(ctx, "SELECT session_id, client_id, last_access, doc FROM client_session WHERE realm = ? AND offline = ? AND session_id IN "+inList(len(chunk)), args,
			func(rows *sql.Rows) error {
				var (
					session, client string
					last            int64
					doc             []byte
				)
				if err := rows.Scan(&session, &client, &last, &doc); err != nil {
					return err
				}
				cs := &model.ClientSession{}
				if err := json.Unmarshal(doc, cs); err != nil {
					return err
				}
				cs.ClientID, cs.LastAccess = client, last
				byID[session].Clients[client] = cs
				return nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func (u userSessions) Create(ctx context.Context, s *model.UserSession) error {
	if err := errors.Join(speakable("session id", s.ID), speakable("user id", s.UserID)); err != nil {
		return err
	}
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	n, err := u.c.exec(ctx, "INSERT INTO user_session (realm, offline, id, user_id, started, last_access, expires, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		s.RealmID, flag(s.Offline), s.ID, s.UserID, s.Started, s.LastAccess, s.Expires, string(doc))
	if err != nil {
		return err
	}
	if n == 0 {
		return problem.Conflict.Errorf("cannot create user session %q: the id is taken", s.ID)
	}
	key := storage.SessionKey{Realm: s.RealmID, ID: s.ID, Offline: s.Offline}
	for client, cs := range s.Clients {
		text, err := clientDoc(client, cs)
		if err != nil {
			return err
		}
		if err := u.putClient(ctx, key, client, cs, text); err != nil {
			return err
		}
	}
	return nil
}

func clientDoc(client string, cs *model.ClientSession) (string, error) {
	cs.ClientID = client
	text, err := json.Marshal(cs)
	return string(text), err
}

func (u userSessions) putClient(ctx context.Context, key storage.SessionKey, client string, cs *model.ClientSession, text string) error {
	_, err := u.c.exec(ctx, "INSERT INTO client_session (realm, offline, session_id, client_id, started, last_access, doc) VALUES (?, ?, ?, ?, ?, ?, ?) "+
		"ON CONFLICT (realm, offline, session_id, client_id) DO UPDATE SET started = excluded.started, last_access = excluded.last_access, doc = excluded.doc",
		key.Realm, flag(key.Offline), key.ID, client, cs.Started, cs.LastAccess, text)
	return err
}

func (u userSessions) Change(ctx context.Context, key storage.SessionKey, fn func(*model.UserSession) error) error {
	s, err := u.read(ctx, key, u.c.s.cfg.Dialect.ForUpdate)
	if err != nil {
		return err
	}
	before, err := json.Marshal(s)
	if err != nil {
		return err
	}
	clientsBefore := map[string]string{}
	for client, cs := range s.Clients {
		if clientsBefore[client], err = clientDoc(client, cs); err != nil {
			return err
		}
	}
	if err := fn(s); err != nil {
		return err
	}
	s.ID, s.RealmID, s.Offline = key.ID, key.Realm, key.Offline
	after, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if string(after) != string(before) {
		if _, err := u.c.exec(ctx, "UPDATE user_session SET user_id = ?, started = ?, last_access = ?, expires = ?, doc = ? WHERE realm = ? AND offline = ? AND id = ?",
			s.UserID, s.Started, s.LastAccess, s.Expires, string(after), key.Realm, flag(key.Offline), key.ID); err != nil {
			return err
		}
	}
	return u.changeClients(ctx, key, s, clientsBefore)
}

func (u userSessions) changeClients(ctx context.Context, key storage.SessionKey, s *model.UserSession, before map[string]string) error {
	for client, cs := range s.Clients {
		text, err := clientDoc(client, cs)
		if err != nil {
			return err
		}
		if text == before[client] {
			continue
		}
		if err := u.putClient(ctx, key, client, cs, text); err != nil {
			return err
		}
	}
	for client := range before {
		if s.Clients[client] != nil {
			continue
		}
		if _, err := u.c.exec(ctx, "DELETE FROM client_session WHERE realm = ? AND offline = ? AND session_id = ? AND client_id = ?",
			key.Realm, flag(key.Offline), key.ID, client); err != nil {
			return err
		}
	}
	return nil
}

func (u userSessions) Touch(_ context.Context, key storage.SessionKey, client string, at, expires int64) error {
	u.c.s.touches.add(key, client, at, expires)
	return nil
}

func (u userSessions) Delete(ctx context.Context, key storage.SessionKey) (bool, error) {
	if unspeakable(key.ID) {
		return false, nil
	}
	n, err := u.c.exec(ctx, "DELETE FROM user_session WHERE realm = ? AND offline = ? AND id = ?", key.Realm, flag(key.Offline), key.ID)
	if err != nil {
		return false, err
	}
	_, err = u.c.exec(ctx, "DELETE FROM client_session WHERE realm = ? AND offline = ? AND session_id = ?", key.Realm, flag(key.Offline), key.ID)
	return n > 0, err
}

func (u userSessions) where(q storage.SessionQuery) (string, []any) {
	where := "u.realm = ? AND u.offline = ? AND (u.expires = 0 OR u.expires > ?)"
	args := []any{q.Realm, flag(q.Offline), u.c.now()}
	if q.User != "" {
		where, args = where+" AND u.user_id = ?", append(args, q.User)
	}
	if q.Client != "" {
		where += " AND u.id IN (SELECT session_id FROM client_session WHERE realm = ? AND offline = ? AND client_id = ?)"
		args = append(args, q.Realm, flag(q.Offline), q.Client)
	}
	return where, args
}

func (u userSessions) List(ctx context.Context, q storage.SessionQuery) ([]*model.UserSession, error) {
	where, args := u.where(q)
	page, pageArgs := limit(q.First, q.Max)
	found := []*model.UserSession{}
	err := u.c.rows(ctx, "SELECT "+sessionColumns+" FROM user_session u WHERE "+where+" ORDER BY u.started, u.id"+page, append(args, pageArgs...), func(rows *sql.Rows) error {
		s, err := scanSession(rows.Scan)
		found = append(found, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := u.readClients(ctx, q.Realm, q.Offline, found...); err != nil {
		return nil, err
	}
	for _, s := range found {
		u.c.s.touches.apply(storage.SessionKey{Realm: q.Realm, ID: s.ID, Offline: q.Offline}, s)
	}
	return found, nil
}

func (u userSessions) Count(ctx context.Context, q storage.SessionQuery) (n int, err error) {
	where, args := u.where(q)
	err = u.c.row(ctx, "SELECT COUNT(*) FROM user_session u WHERE "+where, args, &n)
	return n, err
}
