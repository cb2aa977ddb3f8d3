// Package logout owns the end-session endpoint (OpenID Connect RP-Initiated
// Logout): an application sends its user here to log out, or calls with a
// refresh token. Without proof that the application means this user the person
// is asked first.
package logout

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/themes"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/endsession"
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

// Endpoint is the end-session endpoint of all realms.
type Endpoint struct {
	Front    oauth.Front
	Clients  *clientauth.Authenticator
	Sessions *sessions.Service
	Issuer   *tokens.Issuer
	Ender    *endsession.Ender
	Pages    Pages
	Events   Events
	Log      zerolog.Logger
}

// request is a logout request, parsed once and checked.
type request struct {
	oauth.Visit
	client  *model.Client // nil when the request names none
	hint    *tokens.Token // nil without id_token_hint
	target  string        // where to send the browser; "" is a page of ours
	state   string
	code    string // of our own question's form
	confirm bool
}

var cors = httpio.CORS{Methods: "POST"}

// ServeHTTP answers the browser, by GET or POST, or an application that posts a
// refresh token.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cors.Preflight(w, r) {
		return
	}
	httpio.NoStore(w.Header())
	v, err := e.Front.Open(r)
	if err != nil {
		e.page(w, r, v, err)
		return
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		if form, err = httpio.Form(r); err != nil {
			e.page(w, r, v, err)
			return
		}
		if form.Has("refresh_token") {
			e.byRefreshToken(w, r, v, form)
			return
		}
	}
	q, err := e.read(r.Context(), v, form)
	if err != nil {
		e.page(w, r, v, err)
		return
	}
	e.logout(w, r, q)
}

// read checks all of a request before anything ends.
func (e *Endpoint) read(ctx context.Context, v oauth.Visit, form url.Values) (*request, error) {
	q := &request{Visit: v, state: form.Get("state"), code: form.Get("session_code"), confirm: form.Has("confirmLogout")}
	clientID, redirect := form.Get("client_id"), form.Get("post_logout_redirect_uri")
	if hint := form.Get("id_token_hint"); hint != "" {
		t, err := e.Issuer.Parse(ctx, v.Site, v.Realm, hint) // an expired one still hints
		if err != nil || t.Type != tokens.TypeID {
			return nil, oauth.Refuse(oauth.InvalidRequest, "Invalid parameter: id_token_hint").Because(err)
		}
		if clientID != "" && clientID != t.Party {
			return nil, oauth.Refuse(oauth.InvalidRequest, "Parameter client_id is different from the client of the ID token")
		}
		q.hint, clientID = t, t.Party
	}
	if clientID != "" {
		client, err := e.Front.Client(ctx, v.Realm, clientID)
		if problem.Is(err, problem.NotFound) {
			return nil, oauth.Refuse(oauth.InvalidClient, "Client not found.")
		}
		if err != nil {
			return nil, err
		}
		q.client = client
	}
	if redirect == "" {
		return q, nil
	}
	if q.client == nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "Missing parameters: id_token_hint")
	}
	if !q.client.AllowsPostLogoutRedirect(redirect, v.Base()) {
		return nil, oauth.Refuse(oauth.InvalidRequest, "Invalid redirect uri")
	}
	q.target = redirect
	return q, nil
}

// logout ends the browser's session, or asks first when nothing proves that it
// is the application's user who wants that: neither the ID token of this very
// session nor an answer to our question.
func (e *Endpoint) logout(w http.ResponseWriter, r *http.Request, q *request) {
	session, _, err := e.Sessions.Identify(r.Context(), r, q.Site, q.Realm)
	if err != nil && !problem.Is(err, problem.NotFound) {
		e.page(w, r, q.Visit, err)
		return
	}
	id := ""
	switch {
	case session == nil && q.hint != nil:
		id = q.hint.Session // another browser's, or one whose cookie is gone
	case session == nil:
	case q.hint != nil && q.hint.Session == session.ID,
		q.confirm && e.Sessions.ConfirmsLogout(r.Context(), q.Realm, session.ID, q.code):
		id = session.ID
	default:
		e.ask(w, r, q, session.ID)
		return
	}
	e.end(w, r, q, id)
}

// ask shows the question whether to log out.
func (e *Endpoint) ask(w http.ResponseWriter, r *http.Request, q *request, session string) {
	code, err := e.Sessions.LogoutCode(r.Context(), q.Realm, session)
	if err != nil {
		e.page(w, r, q.Visit, err)
		return
	}
	fields := map[string]string{"session_code": code}
	if q.client != nil {
		fields["client_id"] = q.client.ClientID
	}
	if q.target != "" {
		fields["post_logout_redirect_uri"], fields["state"] = q.target, q.state
	}
	e.Pages.Render(w, r, themes.Page{Name: "logout-confirm", Realm: q.Realm, Root: e.Front.Book().Path(), Data: struct {
		Action string
		Fields map[string]string
		Back   string
	}{q.Site.OpenID(q.Realm.Name, "logout"), fields, ""}})
}

// end ends a session ("" is none) and sends the browser on.
func (e *Endpoint) end(w http.ResponseWriter, r *http.Request, q *request, session string) {
	var front []string
	if session != "" {
		var err error
		if front, err = e.Ender.End(r.Context(), q.Site, q.Realm, session); err != nil {
			e.page(w, r, q.Visit, err)
			return
		}
		e.publish(r.Context(), q.Visit, q.client, session, nil)
	}
	e.Sessions.DropIdentity(w, q.Site, q.Realm)
	target := q.target
	if target != "" && q.state != "" {
		target = withState(target, q.state)
	}
	switch {
	case len(front) > 0:
		frames(w, front, target, q.Site.Realm(q.Realm.Name)+"/protocol/openid-connect/logout")
	case target != "":
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusFound)
	default:
		back := ""
		if q.client != nil {
			back = q.client.BaseURL
		}
		e.Pages.Render(w, r, themes.Page{Name: "info", Realm: q.Realm, Root: e.Front.Book().Path(),
			Notice: &themes.Notice{Kind: themes.Info, Key: "successLogout"}, Data: struct{ Title, Back string }{"loggedOutTitle", back}})
	}
}

// byRefreshToken ends the session of an application's refresh token: 204, as
// Keycloak's adapters expect.
func (e *Endpoint) byRefreshToken(w http.ResponseWriter, r *http.Request, v oauth.Visit, form url.Values) {
	httpio.Security(w.Header())
	client, session, err := e.endToken(r, v, form)
	if client != nil {
		cors.Allow(w, r, v.Origins(client))
	}
	e.publish(r.Context(), v, client, session, err)
	if err != nil {
		oauth.Write(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (e *Endpoint) endToken(r *http.Request, v oauth.Visit, form url.Values) (*model.Client, string, error) {
	client, err := e.Clients.Client(r, v, form)
	if err != nil {
		return nil, "", err
	}
	t, err := e.Issuer.Verify(r.Context(), v.Site, v.Realm, form.Get("refresh_token"), tokens.TypeRefresh, tokens.TypeOffline)
	if problem.Is(err, problem.Unauthorized) {
		return client, "", oauth.Refuse(oauth.InvalidGrant, "Invalid refresh token").Because(err)
	}
	if err != nil {
		return client, "", err
	}
	if t.Party != client.ClientID {
		return client, "", oauth.Refuse(oauth.InvalidGrant, "Invalid refresh token. Token client and authorized client don't match")
	}
	if t.Type == tokens.TypeOffline {
		return client, t.Session, e.Sessions.Detach(r.Context(), v.Realm, t.Session, client.ID, true)
	}
	_, err = e.Ender.End(r.Context(), v.Site, v.Realm, t.Session)
	return client, t.Session, err
}

func (e *Endpoint) publish(ctx context.Context, v oauth.Visit, client *model.Client, session string, err error) {
	event := events.Event{Type: events.Logout, Realm: v.Realm.Name, Session: session, Remote: v.Site.Remote}
	if client != nil {
		event.Client = client.ClientID
	}
	if err != nil {
		refusal := oauth.From(err)
		event.Error, event.Reason = refusal.Code, refusal.Description
	}
	e.Events.Publish(ctx, event)
}

// page shows an error to the person.
func (e *Endpoint) page(w http.ResponseWriter, r *http.Request, v oauth.Visit, err error) {
	refusal := oauth.From(err)
	key := refusal.Description
	switch {
	case refusal.Status >= http.StatusInternalServerError:
		e.Log.Error().Err(err).Msg("cannot answer a logout request")
		key = "internalError"
	case refusal.Status == http.StatusNotFound:
		key = "realmNotFound"
	}
	if v.Realm != nil {
		e.publish(r.Context(), v, nil, "", err)
	}
	e.Pages.Render(w, r, themes.Page{Name: "error", Status: refusal.Status, Realm: v.Realm, Root: e.Front.Book().Path(),
		Notice: &themes.Notice{Kind: themes.Error, Key: key}})
}
