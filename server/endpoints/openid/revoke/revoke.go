// Package revoke owns the revocation endpoint (RFC 7009): a client gives back a
// token that it does not need any more.
package revoke

import (
	"context"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Endpoint is the revocation endpoint of all realms.
type Endpoint struct {
	Front    oauth.Front
	Clients  *clientauth.Authenticator
	Sessions *sessions.Service
	Issuer   *tokens.Issuer
	Events   Events
	Log      zerolog.Logger
}

var cors = httpio.CORS{Methods: "POST"}

// ServeHTTP answers one revocation request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cors.Preflight(w, r) {
		return
	}
	httpio.Security(w.Header())
	httpio.NoStore(w.Header())
	v, err := e.Front.Open(r)
	if err == nil {
		err = oauth.OnlyPost(w, r)
	}
	if err != nil {
		oauth.Write(w, err)
		return
	}
	event := events.Event{Type: events.RevokeGrant, Realm: v.Realm.Name, Remote: v.Site.Remote}
	client, err := e.serve(r, v, &event)
	if client != nil {
		event.Client = client.ClientID
		cors.Allow(w, r, v.Origins(client))
	} else {
		cors.AllowAny(w, r)
	}
	if err != nil {
		refusal := oauth.From(err)
		event.Error, event.Reason = refusal.Code, refusal.Description
		if refusal.Status >= http.StatusInternalServerError {
			e.Log.Error().Err(err).Str("realm", v.Realm.Name).Msg("cannot revoke a token")
		}
		oauth.Write(w, err)
	} else {
		w.WriteHeader(http.StatusOK)
	}
	e.Events.Publish(r.Context(), event)
}

func (e *Endpoint) serve(r *http.Request, v oauth.Visit, event *events.Event) (*model.Client, error) {
	form, err := httpio.Form(r)
	if err != nil {
		return nil, err
	}
	if httpio.Repeated(form) != "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "duplicated parameter")
	}
	client, err := e.Clients.Client(r, v, form)
	if err != nil {
		return nil, err
	}
	if form.Get("token") == "" {
		return client, oauth.Refuse(oauth.InvalidRequest, "Token not provided")
	}
	t, err := e.Issuer.Parse(r.Context(), v.Site, v.Realm, form.Get("token"))
	if problem.Is(err, problem.Unauthorized) {
		return client, nil // RFC 7009, section 2.2: an invalid token is as good as revoked
	}
	if err != nil {
		return client, err
	}
	if t.Party != client.ClientID {
		return client, oauth.Refuse(oauth.InvalidToken, "Unmatching clients")
	}
	event.User, event.Session = t.Subject, t.Session
	return client, e.revoke(r.Context(), v.Realm, client, t)
}

// revoke ends what the token stands for: an access token by itself, a refresh
// token with the client's session and so with every token of it (RFC 7009,
// section 2.1).
func (e *Endpoint) revoke(ctx context.Context, realm *model.Realm, client *model.Client, t *tokens.Token) error {
	switch t.Type {
	case tokens.TypeBearer:
		return e.Sessions.RevokeToken(ctx, realm, t.ID, time.Unix(t.Expires, 0))
	case tokens.TypeRefresh:
		return e.Sessions.Detach(ctx, realm, t.Session, client.ID, false)
	case tokens.TypeOffline:
		return e.Sessions.Detach(ctx, realm, t.Session, client.ID, true)
	}
	return oauth.Refuse(oauth.UnsupportedTokenType, "Unsupported token type")
}
