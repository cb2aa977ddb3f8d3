// Package introspect owns the introspection endpoint (RFC 7662): what a token
// is worth, told to a client that can prove who it is.
package introspect

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/bearer"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Endpoint is the introspection endpoint of all realms.
type Endpoint struct {
	Front   oauth.Front
	Clients *clientauth.Authenticator
	Bearer  bearer.Checker
	Issuer  *tokens.Issuer
	Events  Events
	Log     zerolog.Logger
}

// inactive is all that is said of a token that is worth nothing: not why (RFC
// 7662, section 2.2).
var inactive = []byte(`{"active":false}`)

// ServeHTTP answers one introspection request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	httpio.Security(w.Header())
	httpio.NoStore(w.Header())
	if err := oauth.OnlyPost(w, r); err != nil {
		oauth.Write(w, err)
		return
	}
	body, event, err := e.serve(r)
	if err != nil {
		refusal := oauth.From(err)
		event.Error, event.Reason = refusal.Code, refusal.Description
		if refusal.Status >= http.StatusInternalServerError {
			e.Log.Error().Err(err).Str("realm", event.Realm).Msg("cannot introspect a token")
		}
		e.Events.Publish(r.Context(), event)
		oauth.Write(w, err)
		return
	}
	e.Events.Publish(r.Context(), event)
	httpio.JSONBytes(w, http.StatusOK, body)
}

func (e *Endpoint) serve(r *http.Request) ([]byte, events.Event, error) {
	event := events.Event{Type: events.Introspect}
	v, err := e.Front.Open(r)
	if err != nil {
		return nil, event, err
	}
	event.Realm, event.Remote = v.Realm.Name, v.Site.Remote
	form, err := httpio.Form(r)
	if err != nil {
		return nil, event, err
	}
	client, err := e.Clients.Client(r, v, form)
	if err != nil {
		return nil, event, err
	}
	event.Client = client.ClientID
	if client.PublicClient {
		return nil, event, oauth.Forbid(oauth.InvalidRequest, "Client not allowed.")
	}
	if form.Get("token") == "" {
		return nil, event, oauth.Refuse(oauth.InvalidRequest, "Token not provided.")
	}
	access, err := e.check(r.Context(), v, form.Get("token"))
	if problem.Is(err, problem.Unauthorized) {
		event.Details = map[string]string{"inactive": err.Error()}
		return inactive, event, nil
	}
	if err != nil {
		return nil, event, err
	}
	event.User, event.Session = access.User.ID, access.Token.Session
	body, err := e.describe(r.Context(), v, access)
	return body, event, err
}

// check accepts access tokens and refresh tokens.
func (e *Endpoint) check(ctx context.Context, v oauth.Visit, compact string) (*bearer.Access, error) {
	access, err := e.Bearer.Check(ctx, v, compact)
	if !problem.Is(err, problem.Unauthorized) {
		return access, err
	}
	t, refreshErr := e.Issuer.Verify(ctx, v.Site, v.Realm, compact, tokens.TypeRefresh, tokens.TypeOffline)
	if refreshErr != nil {
		return nil, err
	}
	return e.Bearer.Standing(ctx, v, t)
}

// describe is the token's own claims, those that mappers add here only, and
// what RFC 7662, section 2.2 defines.
func (e *Endpoint) describe(ctx context.Context, v oauth.Visit, a *bearer.Access) ([]byte, error) {
	out := map[string]json.RawMessage{}
	if a.Token.Type == tokens.TypeBearer {
		mapped, _, err := e.Issuer.Claims(ctx, a.Subject(v), tokens.Introspection)
		if err != nil {
			return nil, err
		}
		body, err := mapped.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(body, &out); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(a.Token.Claims, &out); err != nil { // what was signed stands
		return nil, err
	}
	for name, value := range map[string]any{
		"active": true, "client_id": a.Client.ClientID, "username": a.User.Username, "token_type": a.Token.Type,
	} {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		out[name] = raw
	}
	return json.Marshal(out)
}
