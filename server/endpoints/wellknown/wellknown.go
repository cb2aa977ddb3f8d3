// Package wellknown owns what a realm says about itself to anybody: the
// discovery document (OpenID Connect Discovery; RFC 8414) and the realm's
// public information. It names the endpoints and does not know them.
package wellknown

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Keys gives the keys of realms.
type Keys interface {
	Of(ctx context.Context, realm keys.Realm) (*keys.Set, error)
}

// Endpoint answers for all realms.
type Endpoint struct {
	Front oauth.Front
	Keys  Keys
	Log   zerolog.Logger
}

var cors = httpio.CORS{Methods: "GET, HEAD"}

// Discovery answers with the discovery document.
func (e *Endpoint) Discovery(w http.ResponseWriter, r *http.Request) {
	e.answer(w, r, func(v oauth.Visit) (any, error) {
		scopes, err := e.scopes(r.Context(), v.Realm)
		return describe(v, scopes), err
	})
}

// Realm answers with the realm's public information, as adapters read it.
func (e *Endpoint) Realm(w http.ResponseWriter, r *http.Request) {
	e.answer(w, r, func(v oauth.Visit) (any, error) {
		key, err := e.publicKey(r.Context(), v.Realm)
		name := v.Realm.Name
		return struct {
			Realm     string `json:"realm"`
			PublicKey string `json:"public_key,omitempty"` // base64 of the SubjectPublicKeyInfo
			Tokens    string `json:"token-service"`
			Account   string `json:"account-service"`
			NotBefore int64  `json:"tokens-not-before"`
		}{name, key, v.Site.Realm(name) + "/protocol/openid-connect", v.Site.Realm(name) + "/account", v.Realm.NotBefore}, err
	})
}

func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, build func(oauth.Visit) (any, error)) {
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
	doc, err := build(v)
	if err != nil {
		e.Log.Error().Err(err).Str("realm", v.Realm.Name).Msg("cannot describe the realm")
		oauth.Write(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-cache, must-revalidate, no-transform, no-store")
	httpio.JSON(w, http.StatusOK, doc)
}

// scopes are the client scopes of the realm, "openid" first.
func (e *Endpoint) scopes(ctx context.Context, realm *model.Realm) ([]string, error) {
	names := []string{"openid"}
	err := e.Front.Store.View(ctx, func(tx storage.Tx) error {
		list, err := tx.ClientScopes.List(ctx, realm.ID, storage.Query{})
		for _, s := range list {
			if (s.Protocol == "" || s.Protocol == "openid-connect") && !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
		return err
	})
	return names, err
}

// publicKey is the key of the realm's default algorithm.
func (e *Endpoint) publicKey(ctx context.Context, realm *model.Realm) (string, error) {
	set, err := e.Keys.Of(ctx, sessions.KeysOf(realm))
	if err != nil {
		return "", err
	}
	algorithm := realm.DefaultSignatureAlgorithm
	if algorithm == "" {
		algorithm = keys.DefaultAlgorithm
	}
	key := set.Active(algorithm)
	if key == nil || key.Symmetric() {
		return "", nil
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public)
	return base64.StdEncoding.EncodeToString(der), err
}
