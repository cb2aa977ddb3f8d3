// Package sessions owns logins and what they become: authentication sessions
// with their tabs, user and client sessions, the cookies that carry them, how
// long they live, codes that are used once, refresh tokens that rotate, and
// logout. It knows no protocol's requests and no claims; what a step of a login
// asks of the user is not its business either.
//
// A login keeps one id for life: the root authentication session, the user
// session and the AUTH_SESSION_ID cookie all carry it, so a load balancer that
// sticks to the cookie's node keeps a user where the session is warm.
package sessions

import (
	"context"
	"net/http"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Keys is what sessions need of a realm's keys: to sign and verify cookies.
type Keys interface {
	Of(ctx context.Context, realm keys.Realm) (*keys.Set, error)
	Signer(ctx context.Context, realm keys.Realm, algorithm string) (*keys.Key, error)
}

// Service is the sessions of one server. It is safe for concurrent use; all
// state is in the store.
type Service struct {
	store storage.Store
	keys  Keys
	clock clock.Clock
	node  string
}

// New makes a Service. node is this server's name in AUTH_SESSION_ID; "" leaves
// it out.
func New(store storage.Store, keys Keys, c clock.Clock, node string) *Service {
	return &Service{store: store, keys: keys, clock: c, node: node}
}

// Login is one browser tab on its way through a login. The tab may be changed
// and saved; realm and client are shared and must not be.
type Login struct {
	Site   addresses.Site
	Realm  *model.Realm
	Client *model.Client
	Root   *model.AuthenticationSession
	Tab    *model.AuthenticationTab
}

// Outcome is a login that succeeded: the user's session and the session of the
// client that asked, both stored.
type Outcome struct {
	User   *model.User
	Online *model.UserSession
	Client *model.ClientSession
}

// Notes of tabs and sessions that several rooms read, with Keycloak's names.
const (
	// RememberMeNote of a tab's AuthNotes is "true" when the user ticked it.
	RememberMeNote = "remember_me"
	// AuthTimeNote of a user session's Notes is when credentials were last
	// checked, in seconds since 1970.
	AuthTimeNote = "AUTH_TIME"
	// SSONote of a tab's AuthNotes is "true" when no credential was asked for:
	// the login then keeps the session's time of authentication.
	SSONote = "SSO_AUTH"
	// AuthMethodNote of a tab's AuthNotes says how; the default is
	// "openid-connect".
	AuthMethodNote = "auth_type"
	// UsernameNote of a tab's AuthNotes is the name the user typed.
	UsernameNote = "ATTEMPTED_USERNAME"
)

// Logins is the part of Service that drives login pages: what package
// authentication and its endpoints use.
type Logins interface {
	// Begin opens a new tab in the browser's authentication session, making that
	// and its cookies where needed. fill sets up the tab before it is stored.
	Begin(ctx context.Context, w http.ResponseWriter, r *http.Request, site addresses.Site, realm *model.Realm, client *model.Client, fill func(*model.AuthenticationTab)) (*Login, error)
	// Find is the tab that a request of a login page belongs to: by the
	// browser's cookie, the tab's id and the client's clientId. problem.NotFound
	// when cookie, session or tab is gone or belongs to another client.
	Find(ctx context.Context, r *http.Request, site addresses.Site, realm *model.Realm, clientID, tab string) (*Login, error)
	// Save stores the login's tab. problem.NotFound when the login ended
	// meanwhile, in another tab or on another server.
	Save(ctx context.Context, l *Login) error
	// Forget removes the login's tab, and the whole authentication session with
	// its last tab.
	Forget(ctx context.Context, l *Login) error
	// Restart begins an expired login again in a new tab, as KC_RESTART recorded
	// it. problem.NotFound when there is no such record.
	Restart(ctx context.Context, w http.ResponseWriter, r *http.Request, site addresses.Site, realm *model.Realm) (*Login, error)
	// Attach turns a login whose user is known into a user session and a client
	// session, sets the cookies of single sign-on and forgets the tab. Of two
	// that attach the same tab one gets problem.NotFound. problem.Conflict when
	// another user is logged in in this browser.
	Attach(ctx context.Context, w http.ResponseWriter, l *Login, user *model.User) (*Outcome, error)
	// Identify is the live session and user of the browser's identity cookie.
	// problem.NotFound when there is none.
	Identify(ctx context.Context, r *http.Request, site addresses.Site, realm *model.Realm) (*model.UserSession, *model.User, error)
}

var _ Logins = (*Service)(nil)
