// Package token owns the token endpoint (RFC 6749, section 3.2): the phases
// that every grant goes through, and the grants. What is in a token and how long
// a session lives are decided below it.
package token

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// PasswordVerifier checks the credentials of the password grant: the realm's
// direct grant flow, with its counting of wrong guesses.
type PasswordVerifier interface {
	// VerifyPassword gives the user whose credentials are in the form (username,
	// password, totp). Errors: problem.Unauthorized for wrong credentials or a
	// locked account, problem.Forbidden for a disabled account,
	// problem.Precondition when the user has something left to do first.
	VerifyPassword(ctx context.Context, realm *model.Realm, client *model.Client, form url.Values, remote string) (*model.User, error)
}

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Config is everything the endpoint needs.
type Config struct {
	Front     oauth.Front
	Clients   *clientauth.Authenticator
	Sessions  *sessions.Service
	Issuer    *tokens.Issuer
	Passwords PasswordVerifier
	Events    Events
	Log       zerolog.Logger
}

// Grant is one way to get tokens. The endpoint has found the realm, read the
// form and authenticated the client; it issues what the grant decides.
type Grant interface {
	// Decide says for whom tokens are issued, and which. Errors are *oauth.Error
	// for what the client did wrong.
	Decide(ctx context.Context, r *Request) (Decision, error)
}

// Request is a token request, parsed once.
type Request struct {
	oauth.Visit
	Client *model.Client
	Form   url.Values
}

// Decision is what a grant decided.
type Decision struct {
	Subject tokens.Subject
	Options tokens.Options
	Event   events.Type
}

// Endpoint is the token endpoint of all realms.
type Endpoint struct {
	Config
	grants map[string]Grant
}

var cors = httpio.CORS{Methods: "POST"}

// New makes the endpoint. Each grant_type that it knows is one line here.
func New(c Config) *Endpoint {
	return &Endpoint{c, map[string]Grant{
		"authorization_code": codeGrant{c},
		"refresh_token":      refreshGrant{c},
		"password":           passwordGrant{c},
		"client_credentials": clientGrant{c},
	}}
}

// ServeHTTP answers one token request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cors.Preflight(w, r) {
		return
	}
	httpio.Security(w.Header())
	httpio.NoStore(w.Header())
	req := &Request{}
	response, decision, err := e.serve(w, r, req)
	e.publish(r.Context(), req, decision, err)
	if req.Client != nil {
		cors.Allow(w, r, req.Origins(req.Client))
	} else {
		cors.AllowAny(w, r) // nothing but an error, which a page may read
	}
	if err != nil {
		oauth.Write(w, err)
		return
	}
	httpio.JSON(w, http.StatusOK, response)
}

// serve walks the phases; req is filled in as far as they get.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, req *Request) (*tokens.Response, Decision, error) {
	var none Decision
	var err error
	if req.Visit, err = e.Front.Open(r); err != nil {
		return nil, none, err
	}
	if err := oauth.OnlyPost(w, r); err != nil {
		return nil, none, err
	}
	if req.Form, err = httpio.Form(r); err != nil {
		return nil, none, err
	}
	if name := httpio.Repeated(req.Form, "audience", "resource"); name != "" {
		return nil, none, oauth.Refuse(oauth.InvalidRequest, "duplicated parameter")
	}
	name := req.Form.Get("grant_type")
	if name == "" {
		return nil, none, oauth.Refuse(oauth.InvalidRequest, "Missing form parameter: grant_type")
	}
	grant := e.grants[name]
	if grant == nil {
		return nil, none, oauth.Refuse(oauth.UnsupportedGrantType, "Unsupported grant_type")
	}
	if req.Client, err = e.Clients.Client(r, req.Visit, req.Form); err != nil {
		return nil, none, err
	}
	if req.Client.BearerOnly {
		return nil, none, oauth.Refuse(oauth.InvalidClient, "Bearer-only not allowed")
	}
	d, err := grant.Decide(r.Context(), req)
	if err != nil {
		return nil, d, err
	}
	s := &d.Subject
	s.Site, s.Realm, s.Client, s.Origins = req.Site, req.Realm, req.Client, req.Origins(req.Client)
	response, err := e.Issuer.Issue(r.Context(), d.Subject, d.Options)
	if unknown, ok := errors.AsType[tokens.UnknownScope](err); ok {
		err = oauth.Refuse(oauth.InvalidScope, "Invalid scopes: "+unknown.Name)
	}
	return response, d, err
}

func (e *Endpoint) publish(ctx context.Context, req *Request, d Decision, err error) {
	if req.Realm == nil {
		return
	}
	event := events.Event{Type: d.Event, Realm: req.Realm.Name, Remote: req.Site.Remote,
		Details: map[string]string{"grant_type": req.Form.Get("grant_type")}}
	if event.Type == "" {
		event.Type = events.CodeToToken
	}
	if req.Client != nil {
		event.Client = req.Client.ClientID
	}
	if d.Subject.User != nil {
		event.User = d.Subject.User.ID
	}
	if d.Subject.Session != nil {
		event.Session = d.Subject.Session.ID
	}
	if err != nil {
		refusal := oauth.From(err)
		event.Error, event.Reason = refusal.Code, refusal.Description
		if refusal.Cause != nil {
			event.Reason = refusal.Cause.Error()
		}
		if refusal.Status >= http.StatusInternalServerError {
			e.Log.Error().Err(err).Str("realm", req.Realm.Name).Msg("cannot answer a token request")
		}
	}
	e.Events.Publish(ctx, event)
}

// active refuses tokens for a user who may not have any.
func active(user *model.User) error {
	if !user.Enabled {
		return oauth.Refuse(oauth.InvalidGrant, "User disabled")
	}
	return nil
}

// wantsOffline reports whether a granted scope asks for an offline session.
func wantsOffline(scope string) bool { return hasScope(scope, tokens.OfflineAccess) }
