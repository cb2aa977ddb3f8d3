package sessions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// maxTabs bounds what one browser can make us store (Keycloak's
// authSessionsLimit): the oldest tab goes when one more is opened.
const maxTabs = 300

// Begin opens a new tab; see Logins.
func (s *Service) Begin(ctx context.Context, w http.ResponseWriter, r *http.Request, site addresses.Site, realm *model.Realm, client *model.Client, fill func(*model.AuthenticationTab)) (*Login, error) {
	id, err := s.rootID(ctx, r, realm)
	if err != nil {
		return nil, err
	}
	tab := &model.AuthenticationTab{ID: tabID(), ClientID: client.ID, Protocol: client.Protocol, Started: s.clock.Now().Unix(),
		ClientNotes: map[string]string{}, AuthNotes: map[string]string{}, UserSessionNotes: map[string]string{}, ExecutionStatus: map[string]string{}}
	if tab.Protocol == "" {
		tab.Protocol = "openid-connect"
	}
	if fill != nil {
		fill(tab)
	}
	root, err := s.openTab(ctx, realm, id, tab)
	if err != nil {
		return nil, err
	}
	l := &Login{Site: site, Realm: realm, Client: client, Root: root, Tab: tab}
	setCookie(w, site, realm.Name, AuthSessionCookie, sticky(id, s.node), cookieRule{})
	return l, s.setRestart(ctx, w, l)
}

// openTab puts a tab into the authentication session, made if it is not there.
func (s *Service) openTab(ctx context.Context, realm *model.Realm, id string, tab *model.AuthenticationTab) (*model.AuthenticationSession, error) {
	expires := s.clock.Now().Add(loginLifespan(realm)).Unix()
	var result *model.AuthenticationSession
	err := s.store.ChangeSessions(ctx, func(tx storage.Sessions) error {
		err := tx.Authentications.Change(ctx, realm.ID, id, func(root *model.AuthenticationSession) error {
			if root.Tabs == nil {
				root.Tabs = map[string]*model.AuthenticationTab{}
			}
			if len(root.Tabs) >= maxTabs {
				delete(root.Tabs, oldest(root.Tabs))
			}
			root.Tabs[tab.ID], root.Expires = tab, expires
			result = root
			return nil
		})
		if !problem.Is(err, problem.NotFound) {
			return err
		}
		result = &model.AuthenticationSession{ID: id, RealmID: realm.ID, Started: tab.Started, Expires: expires,
			Tabs: map[string]*model.AuthenticationTab{tab.ID: tab}}
		return tx.Authentications.Create(ctx, result)
	})
	return result, err
}

// Find is the tab of a request; see Logins.
func (s *Service) Find(ctx context.Context, r *http.Request, site addresses.Site, realm *model.Realm, clientID, tab string) (*Login, error) {
	id := unstick(cookie(r, AuthSessionCookie))
	if id == "" {
		return nil, problem.NotFound.Errorf("cannot find the login: the request has no %s cookie", AuthSessionCookie)
	}
	root, err := s.store.Sessions().Authentications.Get(ctx, realm.ID, id)
	if err != nil {
		return nil, err
	}
	t := root.Tabs[tab]
	if t == nil || root.Expires <= s.clock.Now().Unix() {
		return nil, problem.NotFound.Errorf("cannot find the login: tab %q is gone", tab)
	}
	client, err := s.client(ctx, realm, t.ClientID)
	if err != nil {
		return nil, err
	}
	if client.ClientID != clientID || !client.IsEnabled() {
		return nil, problem.NotFound.Errorf("cannot find the login: tab %q is not of client %q", tab, clientID)
	}
	return &Login{Site: site, Realm: realm, Client: client, Root: root, Tab: t}, nil
}

// Save stores the tab; see Logins.
func (s *Service) Save(ctx context.Context, l *Login) error {
	return s.store.Sessions().Authentications.Change(ctx, l.Realm.ID, l.Root.ID, func(root *model.AuthenticationSession) error {
		if root.Tabs[l.Tab.ID] == nil {
			return gone(l)
		}
		root.Tabs[l.Tab.ID] = l.Tab
		root.Expires = s.clock.Now().Add(loginLifespan(l.Realm)).Unix()
		l.Root = root
		return nil
	})
}

// Forget removes the tab; see Logins.
func (s *Service) Forget(ctx context.Context, l *Login) error {
	err := s.store.ChangeSessions(ctx, func(tx storage.Sessions) error { return takeTab(ctx, tx, l) })
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// takeTab removes the tab and fails when somebody else did.
func takeTab(ctx context.Context, tx storage.Sessions, l *Login) error {
	last := false
	err := tx.Authentications.Change(ctx, l.Realm.ID, l.Root.ID, func(root *model.AuthenticationSession) error {
		if root.Tabs[l.Tab.ID] == nil {
			return gone(l)
		}
		delete(root.Tabs, l.Tab.ID)
		last = len(root.Tabs) == 0
		return nil
	})
	if err == nil && last {
		_, err = tx.Authentications.Delete(ctx, l.Realm.ID, l.Root.ID)
	}
	return err
}

// rootID is the id of the browser's authentication session: what its cookie
// says while that names something of ours, a new one otherwise. An id that we
// did not make is never taken over: nobody plants a session in a browser.
func (s *Service) rootID(ctx context.Context, r *http.Request, realm *model.Realm) (string, error) {
	if id := unstick(cookie(r, AuthSessionCookie)); id != "" {
		_, err := s.store.Sessions().Authentications.Get(ctx, realm.ID, id)
		if err == nil {
			return id, nil
		}
		if !problem.Is(err, problem.NotFound) {
			return "", err
		}
		if _, err = s.store.Sessions().Users.Get(ctx, storage.SessionKey{Realm: realm.ID, ID: id}); err == nil {
			return id, nil
		}
		if !problem.Is(err, problem.NotFound) {
			return "", err
		}
	}
	return uuid.NewString(), nil
}

// loginLifespan is how long a login page may stay open: the longest of what the
// realm allows for a login, an action and a code.
func loginLifespan(realm *model.Realm) time.Duration {
	l := realm.Lifespans()
	return max(l.Login, l.UserAction, l.Code)
}

func gone(l *Login) error {
	return problem.NotFound.Errorf("cannot go on with the login: tab %q of session %s has ended", l.Tab.ID, l.Root.ID)
}

func tabID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func oldest(tabs map[string]*model.AuthenticationTab) string {
	var id string
	for i, t := range tabs {
		if id == "" || t.Started < tabs[id].Started || t.Started == tabs[id].Started && i < id {
			id = i
		}
	}
	return id
}
