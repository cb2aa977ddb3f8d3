// Package authorize owns the authorization endpoint (OpenID Connect Core,
// section 3.1.2): it reads the request of an application, refuses what it may
// not have, begins a login, and at its end sends the browser back with a code.
// How a person proves who they are is the processor's business.
package authorize

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/themes"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Pages shows pages; themes.Set does.
type Pages interface {
	Render(w http.ResponseWriter, r *http.Request, p themes.Page)
}

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Config is everything the endpoint needs.
type Config struct {
	Front    oauth.Front
	Sessions *sessions.Service
	Issuer   *tokens.Issuer
	Login    authentication.Starter
	Pages    Pages
	Events   Events
	Clock    clock.Clock
	Log      zerolog.Logger
}

// Endpoint is the authorization endpoint of all realms, and what takes over at
// the end of a login of OpenID Connect.
type Endpoint struct{ Config }

var _ authentication.Protocol = (*Endpoint)(nil)

// New makes the endpoint.
func New(c Config) *Endpoint { return &Endpoint{c} }

// ServeHTTP answers one authorization request, by GET or by a form post.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	httpio.NoStore(w.Header())
	v, err := e.Front.Open(r)
	if err != nil {
		e.page(w, r, v, err)
		return
	}
	q, err := read(r)
	if err != nil {
		e.page(w, r, v, err)
		return
	}
	client, err := e.client(r.Context(), v, q)
	if err != nil {
		e.page(w, r, v, err)
		return
	}
	if err := e.validate(r.Context(), v, client, q); err != nil {
		e.refuse(w, r, v, client, q, oauth.From(err))
		return
	}
	e.begin(w, r, v, client, q)
}

// client finds the client and makes sure of the redirect URI: what is wrong
// here never redirects (RFC 6749, section 4.1.2.1).
func (e *Endpoint) client(ctx context.Context, v oauth.Visit, q *request) (*model.Client, error) {
	if q.clientID == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "Missing parameters: client_id")
	}
	client, err := e.Front.Client(ctx, v.Realm, q.clientID)
	switch {
	case problem.Is(err, problem.NotFound):
		return nil, oauth.Refuse(oauth.InvalidClient, "Client not found.")
	case err != nil:
		return nil, err
	case !client.IsEnabled():
		return nil, oauth.Refuse(oauth.InvalidClient, "Client disabled.")
	case !client.IsOpenIDConnect():
		return nil, oauth.Refuse(oauth.InvalidClient, "Wrong client protocol.")
	case client.BearerOnly:
		return nil, oauth.Forbid(oauth.InvalidClient, "Bearer-only applications are not allowed to initiate browser login.")
	case q.repeated == "redirect_uri" || q.repeated == "client_id":
		return nil, oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: "+q.repeated)
	}
	if q.redirectURI == "" && !q.openID() {
		q.target = only(client.ValidRedirects(v.Base())) // RFC 6749, section 3.1.2.3
	} else if client.AllowsRedirect(q.redirectURI, v.Base()) {
		q.target = q.redirectURI
	}
	if q.target == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: redirect_uri")
	}
	return client, nil
}

// begin opens a tab for the login and runs it.
func (e *Endpoint) begin(w http.ResponseWriter, r *http.Request, v oauth.Visit, client *model.Client, q *request) {
	passive := q.has("none")
	if passive && !e.hinted(r, v, q) {
		e.refuse(w, r, v, client, q, oauth.Refuse(oauth.LoginRequired, ""))
		return
	}
	login, err := e.Sessions.Begin(r.Context(), w, r, v.Site, v.Realm, client, func(t *model.AuthenticationTab) {
		t.RedirectURI, t.Action, t.ClientNotes = q.target, "AUTHENTICATE", q.notes()
	})
	if err != nil {
		e.Log.Error().Err(err).Str("realm", v.Realm.Name).Msg("cannot begin a login")
		e.refuse(w, r, v, client, q, oauth.From(err))
		return
	}
	e.Login.Run(w, r, login, authentication.Options{Passive: passive})
}

// hinted reports whether the browser's user is the one of id_token_hint; true
// without a hint. An expired ID token still hints (OpenID Connect Core, section
// 3.1.2.1).
func (e *Endpoint) hinted(r *http.Request, v oauth.Visit, q *request) bool {
	if q.idTokenHint == "" {
		return true
	}
	hint, err := e.Issuer.Parse(r.Context(), v.Site, v.Realm, q.idTokenHint)
	if err != nil || hint.Type != tokens.TypeID {
		return false
	}
	session, _, err := e.Sessions.Identify(r.Context(), r, v.Site, v.Realm)
	return err == nil && (hint.Subject == session.UserID || hint.Session == session.ID)
}

// Authenticated sends the browser back with a code.
func (e *Endpoint) Authenticated(w http.ResponseWriter, r *http.Request, l *sessions.Login, o *sessions.Outcome) {
	n := l.Tab.ClientNotes
	code, err := e.Sessions.IssueCode(r.Context(), l.Realm, sessions.Code{
		Session: o.Online.ID, Client: l.Client.ID, RedirectURI: n["redirect_uri"], Scope: n["scope"], Nonce: n["nonce"],
		Challenge: n["code_challenge"], Method: n["code_challenge_method"],
	})
	event := events.Event{Type: events.Login, Realm: l.Realm.Name, Client: l.Client.ClientID, User: o.User.ID, Session: o.Online.ID, Remote: l.Site.Remote}
	a := answerOf(l)
	if err != nil {
		e.Log.Error().Err(err).Str("realm", l.Realm.Name).Msg("cannot issue a code")
		event.Error = oauth.ServerError
		e.Events.Publish(r.Context(), event)
		a.fail(oauth.From(err)).send(w, r)
		return
	}
	e.Events.Publish(r.Context(), event)
	a.set("code", code)
	if l.Client.Attribute("exclude.session.state.from.auth.response") != "true" {
		a.set("session_state", o.Online.ID)
	}
	a.send(w, r)
}

// Failed sends the browser back with the reason.
func (e *Endpoint) Failed(w http.ResponseWriter, r *http.Request, l *sessions.Login, why authentication.Reason) {
	e.Events.Publish(r.Context(), events.Event{Type: events.Login, Realm: l.Realm.Name, Client: l.Client.ClientID, User: l.Tab.UserID, Remote: l.Site.Remote, Error: string(why)})
	answerOf(l).fail(oauth.Refuse(string(why), "")).send(w, r)
}

// Reauthenticate reports whether credentials are asked for although there is a
// session.
func (e *Endpoint) Reauthenticate(l *sessions.Login, session *model.UserSession) bool {
	q := requestOf(l.Tab)
	if q.has("login") {
		return true
	}
	age := q.maxAge
	if age == "" {
		age = l.Client.Attribute("default.max.age")
	}
	limit, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return false
	}
	at, err := strconv.ParseInt(session.Notes[sessions.AuthTimeNote], 10, 64)
	return err != nil || at+limit <= e.Clock.Now().Unix()
}

// refuse sends the browser back with an error of the request.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, v oauth.Visit, client *model.Client, q *request, err *oauth.Error) {
	e.Events.Publish(r.Context(), events.Event{Type: events.Login, Realm: v.Realm.Name, Client: client.ClientID, Remote: v.Site.Remote, Error: err.Code, Reason: err.Description})
	newAnswer(v, client, q).fail(err).send(w, r)
}

// page shows an error to the person, as nobody else can be told.
func (e *Endpoint) page(w http.ResponseWriter, r *http.Request, v oauth.Visit, err error) {
	refusal := oauth.From(err)
	key := refusal.Description
	switch {
	case refusal.Status >= http.StatusInternalServerError:
		e.Log.Error().Err(err).Msg("cannot answer an authorization request")
		key = "internalError"
	case refusal.Status == http.StatusNotFound:
		key = "realmNotFound"
	}
	e.Pages.Render(w, r, themes.Page{Name: "error", Status: refusal.Status, Realm: v.Realm, Root: e.Front.Book().Path(),
		Notice: &themes.Notice{Kind: themes.Error, Key: key}})
}

// only is the one redirect URI of a client, if it has one without a wildcard.
func only(uris []string) string {
	if len(uris) == 1 && !slices.Contains([]byte(uris[0]), '*') {
		return uris[0]
	}
	return ""
}
