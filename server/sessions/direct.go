package sessions

import (
	"context"
	"maps"
	"strconv"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Start is a login without a browser: by the password grant, or as a service
// account.
type Start struct {
	Username   string            // as typed
	Remote     string            // address of the caller
	AuthMethod string            // how; "" is openid-connect
	Notes      map[string]string // of the user session
	Client     map[string]string // notes of the client session
}

// Transient makes sessions that are not stored: for tokens that stand for no
// login, such as those of client credentials.
func (s *Service) Transient(realm *model.Realm, client *model.Client, user *model.User, how Start) (*model.UserSession, *model.ClientSession) {
	now := s.clock.Now().Unix()
	c := &model.ClientSession{ClientID: client.ID, Protocol: "openid-connect", Started: now, LastAccess: now, Notes: how.Client}
	u := &model.UserSession{
		ID: uuid.NewString(), RealmID: realm.ID, UserID: user.ID, State: LoggedIn, IPAddress: how.Remote,
		LoginUsername: how.Username, AuthMethod: how.AuthMethod, Started: now, LastAccess: now,
		Notes: maps.Clone(how.Notes), Clients: map[string]*model.ClientSession{client.ID: c},
	}
	if u.AuthMethod == "" {
		u.AuthMethod = "openid-connect"
	}
	if u.Notes == nil {
		u.Notes = map[string]string{}
	}
	u.Notes[AuthTimeNote] = strconv.FormatInt(now, 10)
	return u, c
}

// Start stores the sessions of a login without a browser.
func (s *Service) Start(ctx context.Context, realm *model.Realm, client *model.Client, user *model.User, how Start) (*model.UserSession, *model.ClientSession, error) {
	u, c := s.Transient(realm, client, user, how)
	u.Expires = LifetimesOf(realm, nil, false, false).UserSessionEnd(u).Unix()
	return u, c, s.store.Sessions().Users.Create(ctx, u)
}

// GoOffline makes the offline twin of a session with a client, or renews it:
// the same id, stored until it is revoked or idle for as long as the realm
// allows.
func (s *Service) GoOffline(ctx context.Context, realm *model.Realm, client *model.Client, online *model.UserSession) (*model.UserSession, *model.ClientSession, error) {
	now := s.clock.Now().Unix()
	c := model.Clone(online.Clients[client.ID])
	c.Started, c.LastAccess = now, now
	offline := model.Clone(online)
	offline.Offline, offline.Started, offline.LastAccess = true, now, now
	offline.Clients = map[string]*model.ClientSession{client.ID: c}
	offline.Expires = LifetimesOf(realm, nil, true, false).UserSessionEnd(offline).Unix()
	result := offline
	key := storage.SessionKey{Realm: realm.ID, ID: online.ID, Offline: true}
	err := s.store.ChangeSessions(storage.Intend(ctx, key), func(tx storage.Sessions) error {
		err := tx.Users.Change(ctx, key, func(u *model.UserSession) error {
			if u.Clients == nil {
				u.Clients = map[string]*model.ClientSession{}
			}
			if before := u.Clients[client.ID]; before != nil {
				c.Notes, c.Started = notes(before.Notes, c.Notes), before.Started
			}
			u.Clients[client.ID] = c
			s.use(realm, u, c)
			result = u
			return nil
		})
		if problem.Is(err, problem.NotFound) {
			result = offline
			return tx.Users.Create(ctx, offline)
		}
		return err
	})
	return result, c, err
}

// End removes a user session and gives what it was, for telling its clients.
// problem.NotFound when it had ended before: of several callers one gets it.
func (s *Service) End(ctx context.Context, realm *model.Realm, id string, offline bool) (*model.UserSession, error) {
	key := storage.SessionKey{Realm: realm.ID, ID: id, Offline: offline}
	u, err := s.store.Sessions().Users.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	found, err := s.store.Sessions().Users.Delete(ctx, key)
	if err == nil && !found {
		err = ended(id)
	}
	return u, err
}

// Detach ends the session of one client, given by id. That it had ended before
// is no error. An offline session ends with its last client.
func (s *Service) Detach(ctx context.Context, realm *model.Realm, session, client string, offline bool) error {
	key := storage.SessionKey{Realm: realm.ID, ID: session, Offline: offline}
	err := s.store.ChangeSessions(storage.Intend(ctx, key), func(tx storage.Sessions) error {
		last := false
		err := tx.Users.Change(ctx, key, func(u *model.UserSession) error {
			delete(u.Clients, client)
			last = len(u.Clients) == 0
			return nil
		})
		if err == nil && last && offline {
			_, err = tx.Users.Delete(ctx, key)
		}
		return err
	})
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// OfUser are a user's live sessions, online or offline, the oldest first.
func (s *Service) OfUser(ctx context.Context, realm *model.Realm, user string, offline bool) ([]*model.UserSession, error) {
	all, err := s.store.Sessions().Users.List(ctx, storage.SessionQuery{Realm: realm.ID, User: user, Offline: offline})
	if err != nil {
		return nil, err
	}
	live := all[:0]
	for _, u := range all {
		if s.Live(realm, u) {
			live = append(live, u)
		}
	}
	return live, nil
}
