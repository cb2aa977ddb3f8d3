// Package userinfo owns the UserInfo endpoint (OpenID Connect Core, section
// 5.3): the claims of the user whose access token asks.
package userinfo

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/bearer"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Endpoint is the UserInfo endpoint of all realms.
type Endpoint struct {
	Front  oauth.Front
	Bearer bearer.Checker
	Issuer *tokens.Issuer
	Events Events
	Log    zerolog.Logger
}

var cors = httpio.CORS{Methods: "GET, HEAD, POST", Expose: []string{"WWW-Authenticate"}}

// ServeHTTP answers a GET or a POST.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cors.Preflight(w, r) {
		return
	}
	httpio.Security(w.Header())
	httpio.NoStore(w.Header())
	v, err := e.Front.Open(r)
	if err != nil {
		cors.AllowAny(w, r)
		oauth.Write(w, err)
		return
	}
	access, err := e.access(r, v)
	if err != nil {
		cors.AllowAny(w, r)
		e.publish(r.Context(), v, access, err)
		oauth.WriteBearer(w, v.Realm.Name, err)
		return
	}
	cors.Allow(w, r, v.Origins(access.Client))
	kind, body, err := e.answer(r.Context(), v, access)
	e.publish(r.Context(), v, access, err)
	if err != nil {
		oauth.Write(w, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body) // a client that is gone cannot be told
}

// access is what the request's token stands for; it must be for OpenID Connect.
func (e *Endpoint) access(r *http.Request, v oauth.Visit) (*bearer.Access, error) {
	var form url.Values
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		var err error
		if form, err = httpio.Form(r); err != nil {
			return nil, err
		}
	}
	token, err := bearer.FromRequest(r, form)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, oauth.Deny("", "") // RFC 6750, section 3.1: no code without credentials
	}
	access, err := e.Bearer.Check(r.Context(), v, token)
	if problem.Is(err, problem.Unauthorized) {
		return nil, oauth.Deny(oauth.InvalidToken, "Token verification failed").Because(err)
	}
	if err == nil && !slices.Contains(strings.Fields(access.Token.Scope), tokens.OpenID) {
		return nil, oauth.Forbid(oauth.InsufficientScope, "Missing openid scope")
	}
	return access, err
}

// answer is the claims as JSON, or signed when the client's settings say so.
func (e *Endpoint) answer(ctx context.Context, v oauth.Visit, a *bearer.Access) (kind string, body []byte, err error) {
	claims, _, err := e.Issuer.Claims(ctx, a.Subject(v), tokens.UserInfo)
	if err != nil {
		return "", nil, err
	}
	algorithm := a.Client.Attribute("user.info.response.signature.alg")
	if algorithm == "" || algorithm == "none" || algorithm == "unsigned" {
		body, err = claims.MarshalJSON()
		return "application/json", body, err
	}
	signed, err := e.Issuer.SignUserInfo(ctx, v.Site, v.Realm, a.Client, algorithm, claims)
	return "application/jwt", []byte(signed), err
}

func (e *Endpoint) publish(ctx context.Context, v oauth.Visit, a *bearer.Access, err error) {
	event := events.Event{Type: events.UserInfo, Realm: v.Realm.Name, Remote: v.Site.Remote}
	if a != nil {
		event.Client, event.User, event.Session = a.Client.ClientID, a.User.ID, a.Token.Session
	}
	if err != nil {
		refusal := oauth.From(err)
		event.Error, event.Reason = refusal.Code, refusal.Description
		if event.Error == "" {
			event.Error = oauth.InvalidToken
		}
		if refusal.Status >= http.StatusInternalServerError {
			e.Log.Error().Err(err).Str("realm", v.Realm.Name).Msg("cannot answer a UserInfo request")
		}
	}
	e.Events.Publish(ctx, event)
}
