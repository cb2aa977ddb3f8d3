// Package account serves {realm}/account: a page on which users see who they
// are and where they are logged in, change their password and log out. It knows
// no protocol's tokens.
//
// The page trusts the realm's identity cookie and nothing else. It is of the
// same origin as the login, so an authorization code would only carry the same
// fact through the address bar and leave a second session to be kept, stolen and
// ended. Who is not logged in begins a login in the name of the realm's account
// client, as any application's users do. Forms carry a token made from the
// identity cookie, which no other site and no client ever sees.
package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// BodyLimit is the most bytes of a form of this page.
const BodyLimit = 64 << 10

// Protocol is the name under which the Processor must know this endpoint.
const Protocol = "account"

// Sessions is what the page does with sessions.
type Sessions interface {
	sessions.Logins
	OfUser(ctx context.Context, realm *model.Realm, user string, offline bool) ([]*model.UserSession, error)
	End(ctx context.Context, realm *model.Realm, id string, offline bool) (*model.UserSession, error)
	DropIdentity(w http.ResponseWriter, site addresses.Site, realm *model.Realm)
}

// Config is what the endpoint needs.
type Config struct {
	Store    storage.Store
	Book     func() addresses.Book
	Sessions Sessions
	Starter  authentication.Starter
	Accounts *authentication.Accounts
	Themes   *themes.Set
	// Ended tells the clients of a session that it ended; nil tells nobody.
	Ended func(ctx context.Context, site addresses.Site, realm *model.Realm, ended *model.UserSession)
	Log   zerolog.Logger
}

// Endpoint is the account page, and the protocol of the logins it begins.
type Endpoint struct{ Config }

var _ authentication.Protocol = (*Endpoint)(nil)

// New makes the endpoint. Mount Handler, and give the Endpoint to the Processor
// as Protocol.
func New(c Config) *Endpoint { return &Endpoint{c} }

// Handler serves /realms/{realm}/account and /realms/{realm}/account/{action},
// with these path values.
func (e *Endpoint) Handler() http.Handler {
	return httpio.LimitBody(BodyLimit, http.HandlerFunc(e.serve))
}

// visit is one request of a user that is logged in.
type visit struct {
	site    addresses.Site
	realm   *model.Realm
	session *model.UserSession
	user    *model.User
	token   string
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	v := &visit{site: e.Book().Of(r)}
	if err := e.find(r, v); err != nil {
		e.refuse(w, r, v, err)
		return
	}
	if why := v.closed(); why != "" {
		e.say(w, r, v, http.StatusForbidden, why)
		return
	}
	action := r.PathValue("action")
	var err error
	v.session, v.user, err = e.Sessions.Identify(r.Context(), r, v.site, v.realm)
	switch {
	case problem.Is(err, problem.NotFound) && r.Method == http.MethodGet && action == "":
		e.login(w, r, v)
		return
	case problem.Is(err, problem.NotFound):
		http.Redirect(w, r, v.address(""), http.StatusSeeOther)
		return
	case err != nil:
		e.refuse(w, r, v, err)
		return
	}
	v.token = token(r)
	switch {
	case r.Method == http.MethodPost:
		e.submit(w, r, v, action)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && action == "":
		e.show(w, r, v, http.StatusOK, said(r))
	default:
		http.Redirect(w, r, v.address(""), http.StatusSeeOther)
	}
}

func (e *Endpoint) find(r *http.Request, v *visit) error {
	err := e.Store.View(r.Context(), func(tx storage.Tx) (err error) {
		v.realm, err = tx.Realms.ByName(r.Context(), "", "", r.PathValue("realm"))
		return err
	})
	if err != nil {
		return err
	}
	v.site = v.site.WithFrontend(v.realm.Attribute("frontendUrl"))
	return nil
}

// closed is the message why nobody has an account page here, "" if somebody may.
func (v *visit) closed() string {
	switch {
	case !v.realm.Enabled:
		return "realmDisabled"
	case v.site.Secure, v.realm.SSLRequired == "none", v.realm.SSLRequired != "all" && v.site.Private():
		return ""
	}
	return "httpsRequired"
}

func (v *visit) address(action string) string {
	if action != "" {
		action = "/" + action
	}
	return v.site.Realm(v.realm.Name) + "/account" + action
}

// login begins a login in the name of the realm's account client.
func (e *Endpoint) login(w http.ResponseWriter, r *http.Request, v *visit) {
	client, err := e.client(r.Context(), v.realm)
	if problem.Is(err, problem.NotFound) {
		e.say(w, r, v, http.StatusForbidden, "accountDisabled")
		return
	}
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	l, err := e.Sessions.Begin(r.Context(), w, r, v.site, v.realm, client, func(t *model.AuthenticationTab) {
		t.Protocol, t.RedirectURI = Protocol, v.address("")
	})
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	e.Starter.Run(w, r, l, authentication.Options{})
}

func (e *Endpoint) client(ctx context.Context, realm *model.Realm) (client *model.Client, err error) {
	err = e.Store.View(ctx, func(tx storage.Tx) error {
		for _, name := range []string{"account-console", "account"} {
			if client, err = tx.Clients.ByName(ctx, realm.ID, "", name); err == nil && client.IsEnabled() {
				return nil
			}
		}
		return problem.NotFound.Errorf("cannot open the account page: realm %q has no client account-console or account that is enabled", realm.Name)
	})
	return client, err
}

// Authenticated shows the page to who has just logged in.
func (e *Endpoint) Authenticated(w http.ResponseWriter, r *http.Request, l *sessions.Login, _ *sessions.Outcome) {
	http.Redirect(w, r, l.Site.Realm(l.Realm.Name)+"/account", http.StatusSeeOther)
}

// Failed tells a user who refused a step that there is nothing to see.
func (e *Endpoint) Failed(w http.ResponseWriter, r *http.Request, l *sessions.Login, _ authentication.Reason) {
	e.Themes.Render(w, r, themes.Page{Name: "error", Status: http.StatusForbidden, Realm: l.Realm, Root: l.Site.Path(),
		Notice: &themes.Notice{Kind: themes.Error, Key: "invalidRequestMessage"}})
}

// Reauthenticate is never needed: passwords are asked for where they change.
func (e *Endpoint) Reauthenticate(*sessions.Login, *model.UserSession) bool { return false }

// token is what this page's forms carry: a hash of the identity cookie.
func token(r *http.Request) string {
	c, err := r.Cookie(sessions.IdentityCookie)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256([]byte("account page\x00" + c.Value))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (v *visit) trusts(form url.Values) bool {
	return v.token != "" && subtle.ConstantTimeCompare([]byte(form.Get("stateChecker")), []byte(v.token)) == 1
}

func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	kind, key := problem.KindOf(err), "internalError"
	switch kind {
	case problem.NotFound:
		key = "realmNotFound"
	case problem.Invalid, problem.TooLarge:
		key = "invalidRequestMessage"
	default:
		e.Log.Error().Err(err).Msg("cannot serve the account page")
	}
	e.say(w, r, v, kind.HTTP(), key)
}

// say shows nothing but a message.
func (e *Endpoint) say(w http.ResponseWriter, r *http.Request, v *visit, status int, key string) {
	e.Themes.Render(w, r, themes.Page{Name: "error", Status: status, Realm: v.realm, Root: v.site.Path(), Notice: &themes.Notice{Kind: themes.Error, Key: key}})
}
