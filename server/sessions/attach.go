package sessions

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// LoggedIn is the state of a user session in use.
const LoggedIn = "LOGGED_IN"

// Attach turns a login into a session; see Logins.
func (s *Service) Attach(ctx context.Context, w http.ResponseWriter, l *Login, user *model.User) (*Outcome, error) {
	out := &Outcome{User: user}
	err := s.store.ChangeSessions(storage.Intend(ctx, storage.SessionKey{Realm: l.Realm.ID, ID: l.Root.ID}), func(tx storage.Sessions) error {
		if err := takeTab(ctx, tx, l); err != nil {
			return err
		}
		session, err := s.attach(ctx, tx, l, user)
		if err != nil {
			return err
		}
		out.Online, out.Client = session, session.Clients[l.Client.ID]
		return nil
	})
	if err != nil {
		return nil, err
	}
	if l.Tab.AuthNotes[RememberMeNote] == "true" && l.Realm.RememberMe {
		name := user.Username
		setCookie(w, l.Site, l.Realm.Name, RememberMeCookie, "username:"+base64URL([]byte(name)), cookieRule{internal: true, life: 365 * 24 * time.Hour})
	} else if l.Tab.AuthNotes[SSONote] != "true" {
		dropCookie(w, l.Site, l.Realm.Name, RememberMeCookie)
	}
	dropCookie(w, l.Site, l.Realm.Name, RestartCookie)
	return out, s.setIdentity(ctx, w, l.Site, l.Realm, out.Online)
}

// attach stores the user session of the login's id with the client's part.
func (s *Service) attach(ctx context.Context, tx storage.Sessions, l *Login, user *model.User) (*model.UserSession, error) {
	key := storage.SessionKey{Realm: l.Realm.ID, ID: l.Root.ID}
	var result *model.UserSession
	err := tx.Users.Change(ctx, key, func(u *model.UserSession) error {
		ended := !s.Live(l.Realm, u)
		if u.UserID != user.ID && !ended {
			return problem.Conflict.Errorf("cannot log in as %q: another user is logged in in this browser", user.Username)
		}
		if ended {
			*u = *s.newSession(l, user)
		}
		s.enter(u, l)
		result = u
		return nil
	})
	if !problem.Is(err, problem.NotFound) {
		return result, err
	}
	result = s.newSession(l, user)
	s.enter(result, l)
	return result, tx.Users.Create(ctx, result)
}

func (s *Service) newSession(l *Login, user *model.User) *model.UserSession {
	now := s.clock.Now().Unix()
	u := &model.UserSession{
		ID: l.Root.ID, RealmID: l.Realm.ID, UserID: user.ID, State: LoggedIn, IPAddress: l.Site.Remote,
		LoginUsername: user.Username, AuthMethod: "openid-connect",
		RememberMe: l.Realm.RememberMe && l.Tab.AuthNotes[RememberMeNote] == "true",
		Started:    now, LastAccess: now, Notes: map[string]string{}, Clients: map[string]*model.ClientSession{},
	}
	if name := l.Tab.AuthNotes[UsernameNote]; name != "" {
		u.LoginUsername = name
	}
	if method := l.Tab.AuthNotes[AuthMethodNote]; method != "" {
		u.AuthMethod = method
	}
	return u
}

// enter notes in a session that the login's client uses it from now on.
func (s *Service) enter(u *model.UserSession, l *Login) {
	now := s.clock.Now()
	if u.Notes == nil {
		u.Notes = map[string]string{}
	}
	if u.Clients == nil {
		u.Clients = map[string]*model.ClientSession{}
	}
	maps.Copy(u.Notes, l.Tab.UserSessionNotes)
	if u.Notes[AuthTimeNote] == "" || l.Tab.AuthNotes[SSONote] != "true" {
		u.Notes[AuthTimeNote] = strconv.FormatInt(now.Unix(), 10)
	}
	c := u.Clients[l.Client.ID]
	if c == nil || !s.clientLive(l.Realm, l.Client, u, c) {
		c = &model.ClientSession{ClientID: l.Client.ID, Started: now.Unix()}
		u.Clients[l.Client.ID] = c
	}
	c.Protocol, c.RedirectURI, c.Action = l.Tab.Protocol, l.Tab.RedirectURI, l.Tab.Action
	c.Notes = notes(c.Notes, l.Tab.ClientNotes)
	if l.Tab.AuthNotes[SSONote] == "true" {
		c.Notes[SSONote] = "true"
	}
	u.LastAccess, c.LastAccess = now.Unix(), now.Unix()
	u.Expires = LifetimesOf(l.Realm, nil, u.Offline, u.RememberMe).UserSessionEnd(u).Unix()
}

// notes are a client session's notes after another login: those of the login,
// and the rotation of refresh tokens that earlier logins gave.
func notes(before, login map[string]string) map[string]string {
	after := maps.Clone(login)
	if after == nil {
		after = map[string]string{}
	}
	for name, value := range before {
		if strings.HasPrefix(name, rotationNote) || name == forgottenNote {
			after[name] = value
		}
	}
	return after
}

// Live reports whether a user session is in use and not ended by idleness, age
// or a realm's "not before".
func (s *Service) Live(realm *model.Realm, u *model.UserSession) bool {
	return u != nil && (u.State == LoggedIn || u.State == "") && u.Started >= realm.NotBefore &&
		s.clock.Now().Before(LifetimesOf(realm, nil, u.Offline, u.RememberMe).UserSessionEnd(u))
}

func (s *Service) clientLive(realm *model.Realm, client *model.Client, u *model.UserSession, c *model.ClientSession) bool {
	return s.clock.Now().Before(LifetimesOf(realm, client, u.Offline, u.RememberMe).ClientSessionEnd(c))
}
