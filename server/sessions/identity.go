package sessions

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// cookieAlgorithm signs cookies: only this realm's servers read them.
const cookieAlgorithm = "HS512"

// The "typ" claims that keep one kind of cookie from passing as another.
const (
	identityType = "Serialized-ID"
	restartType  = "KC_RESTART"
	confirmType  = "LOGOUT_CONFIRM"
)

// identity is the content of KEYCLOAK_IDENTITY.
type identity struct {
	Expires int64  `json:"exp"`
	Issued  int64  `json:"iat"`
	ID      string `json:"jti"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Type    string `json:"typ"`
	Session string `json:"sid"`
}

// restart is the content of KC_RESTART.
type restart struct {
	Expires     int64             `json:"exp"`
	Type        string            `json:"typ"`
	ClientID    string            `json:"cid"` // the client's id
	Protocol    string            `json:"pty"`
	RedirectURI string            `json:"ruri"`
	Action      string            `json:"act"`
	Notes       map[string]string `json:"notes"`
}

// KeysOf names a realm to the key ring.
func KeysOf(realm *model.Realm) keys.Realm { return keys.Realm{ID: realm.ID, Name: realm.Name} }

// setIdentity sets the cookies of single sign-on. With "remember me" they last
// as long as the session may, otherwise until the browser closes.
func (s *Service) setIdentity(ctx context.Context, w http.ResponseWriter, site addresses.Site, realm *model.Realm, u *model.UserSession) error {
	now, life := s.clock.Now(), LifetimesOf(realm, nil, false, u.RememberMe)
	value, err := s.sign(ctx, realm, identity{
		Expires: now.Add(life.Max).Unix(), Issued: now.Unix(), ID: uuid.NewString(),
		Issuer: site.Realm(realm.Name), Subject: u.UserID, Type: identityType, Session: u.ID,
	})
	if err != nil {
		return err
	}
	rule := cookieRule{}
	if u.RememberMe {
		rule.life = life.Max
	}
	setCookie(w, site, realm.Name, IdentityCookie, value, rule)
	setCookie(w, site, realm.Name, SessionCookie, SessionHash(u.ID), cookieRule{script: true, life: life.Max})
	setCookie(w, site, realm.Name, AuthSessionCookie, sticky(u.ID, s.node), cookieRule{})
	return nil
}

// SessionHash is what KEYCLOAK_SESSION says of a session: enough for a page to
// see that it changed, nothing to use.
func SessionHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64URL(sum[:])
}

// DropIdentity makes the browser forget who is logged in.
func (s *Service) DropIdentity(w http.ResponseWriter, site addresses.Site, realm *model.Realm) {
	for _, name := range []string{IdentityCookie, SessionCookie, AuthSessionCookie, RestartCookie} {
		dropCookie(w, site, realm.Name, name)
	}
}

// Identify is the session of the identity cookie; see Logins.
func (s *Service) Identify(ctx context.Context, r *http.Request, site addresses.Site, realm *model.Realm) (*model.UserSession, *model.User, error) {
	var id identity
	if err := s.open(ctx, realm, cookie(r, IdentityCookie), &id); err != nil {
		return nil, nil, err
	}
	if id.Type != identityType || id.Issuer != site.Realm(realm.Name) || id.Expires <= s.clock.Now().Unix() {
		return nil, nil, problem.NotFound.Errorf("cannot tell who is logged in: the identity cookie is not valid")
	}
	u, err := s.store.Sessions().Users.Get(ctx, storage.SessionKey{Realm: realm.ID, ID: id.Session})
	if err != nil {
		return nil, nil, err
	}
	if u.UserID != id.Subject || !s.Live(realm, u) {
		return nil, nil, problem.NotFound.Errorf("cannot tell who is logged in: session %s has ended", id.Session)
	}
	user, err := s.user(ctx, realm, u.UserID)
	if err != nil {
		return nil, nil, err
	}
	if !user.Enabled || u.Started < user.NotBefore {
		return nil, nil, problem.NotFound.Errorf("cannot tell who is logged in: the account is disabled or was logged out")
	}
	return u, user, nil
}

// setRestart records how the login began, so that it can begin again after its
// session expired.
func (s *Service) setRestart(ctx context.Context, w http.ResponseWriter, l *Login) error {
	value, err := s.sign(ctx, l.Realm, restart{
		Expires: s.clock.Now().Add(LifetimesOf(l.Realm, nil, false, false).Max).Unix(), Type: restartType,
		ClientID: l.Client.ID, Protocol: l.Tab.Protocol, RedirectURI: l.Tab.RedirectURI, Action: l.Tab.Action, Notes: l.Tab.ClientNotes,
	})
	if err != nil {
		return err
	}
	if len(value) > 3800 { // browsers drop cookies over 4096 bytes: better none than half a record
		dropCookie(w, l.Site, l.Realm.Name, RestartCookie)
		return nil
	}
	setCookie(w, l.Site, l.Realm.Name, RestartCookie, value, cookieRule{internal: true})
	return nil
}

// Restart begins an expired login again; see Logins.
func (s *Service) Restart(ctx context.Context, w http.ResponseWriter, r *http.Request, site addresses.Site, realm *model.Realm) (*Login, error) {
	var rec restart
	if err := s.open(ctx, realm, cookie(r, RestartCookie), &rec); err != nil {
		return nil, err
	}
	if rec.Type != restartType || rec.Expires <= s.clock.Now().Unix() {
		return nil, problem.NotFound.Errorf("cannot restart the login: its record is not valid any more")
	}
	client, err := s.client(ctx, realm, rec.ClientID)
	if err != nil {
		return nil, err
	}
	if !client.IsEnabled() {
		return nil, problem.NotFound.Errorf("cannot restart the login: client %q is disabled", client.ClientID)
	}
	return s.Begin(ctx, w, r, site, realm, client, func(t *model.AuthenticationTab) {
		t.Protocol, t.RedirectURI, t.Action = rec.Protocol, rec.RedirectURI, rec.Action
		maps.Copy(t.ClientNotes, rec.Notes)
	})
}

// confirmation is the content of a logout page's session code.
type confirmation struct {
	Expires int64  `json:"exp"`
	Type    string `json:"typ"`
	Session string `json:"sid"`
}

// confirmLife is how long a person may look at the question whether to log out.
const confirmLife = 5 * time.Minute

// LogoutCode is what the form of a logout page carries so that no other site
// can send it.
func (s *Service) LogoutCode(ctx context.Context, realm *model.Realm, session string) (string, error) {
	return s.sign(ctx, realm, confirmation{s.clock.Now().Add(confirmLife).Unix(), confirmType, session})
}

// ConfirmsLogout reports whether a form of the logout page of this session
// brought the code.
func (s *Service) ConfirmsLogout(ctx context.Context, realm *model.Realm, session, code string) bool {
	var c confirmation
	return s.open(ctx, realm, code, &c) == nil && c.Type == confirmType && c.Session == session && c.Expires > s.clock.Now().Unix()
}

func (s *Service) sign(ctx context.Context, realm *model.Realm, content any) (string, error) {
	key, err := s.keys.Signer(ctx, KeysOf(realm), cookieAlgorithm)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	return key.Sign("JWT", payload)
}

// open reads a signed cookie; problem.NotFound when it is missing or not ours.
func (s *Service) open(ctx context.Context, realm *model.Realm, value string, into any) error {
	if value == "" {
		return problem.NotFound.Errorf("cannot read the cookie: the request has none")
	}
	set, err := s.keys.Of(ctx, KeysOf(realm))
	if err != nil {
		return err
	}
	payload, key, err := set.Verify(value)
	if err != nil || !key.Symmetric() {
		return problem.NotFound.Errorf("cannot read the cookie: it is not of this realm")
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return problem.NotFound.Errorf("cannot read the cookie: %w", err)
	}
	return nil
}

func (s *Service) client(ctx context.Context, realm *model.Realm, id string) (c *model.Client, err error) {
	err = s.store.View(ctx, func(tx storage.Tx) error {
		c, err = tx.Clients.Get(ctx, realm.ID, id)
		return err
	})
	return c, err
}

func (s *Service) user(ctx context.Context, realm *model.Realm, id string) (u *model.User, err error) {
	err = s.store.View(ctx, func(tx storage.Tx) error {
		u, err = tx.Users.Get(ctx, realm.ID, id)
		return err
	})
	return u, err
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
