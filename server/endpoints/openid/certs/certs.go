// Package certs owns the endpoint that publishes a realm's public keys (RFC
// 7517, section 5).
package certs

import (
	"context"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Keys gives the keys of realms.
type Keys interface {
	Of(ctx context.Context, realm keys.Realm) (*keys.Set, error)
}

// Endpoint publishes the keys of all realms.
type Endpoint struct {
	Front oauth.Front
	Keys  Keys
	Log   zerolog.Logger
}

var cors = httpio.CORS{Methods: "GET, HEAD"}

// ServeHTTP answers with the JSON Web Key Set. It is not cached: after a
// rotation the next token may be signed by a key that no copy has.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if cors.Preflight(w, r) {
		return
	}
	cors.AllowAny(w, r)
	httpio.Security(w.Header())
	v, err := e.Front.Open(r)
	if err != nil {
		oauth.Write(w, err)
		return
	}
	set, err := e.Keys.Of(r.Context(), sessions.KeysOf(v.Realm))
	if err != nil {
		e.Log.Error().Err(err).Str("realm", v.Realm.Name).Msg("cannot publish the keys")
		oauth.Write(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	httpio.JSONBytes(w, http.StatusOK, set.JWKS())
}
