package clientauth

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Limits of assertions: longer ones would have to be remembered too long.
const (
	maxAssertionAge = 5 * time.Minute
	clockSkew       = 15 * time.Second
)

var (
	asymmetric = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
	symmetric  = []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
)

// unverifiedSubject is whom an assertion claims to be from: only for finding
// the client whose keys then decide.
func unverifiedSubject(assertion string) (string, error) {
	parsed, err := jwt.ParseSigned(assertion, append(asymmetric, symmetric...))
	if err != nil {
		return "", problem.Unauthorized.Errorf("the assertion is not a signed JWT")
	}
	var c jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil || c.Subject == "" {
		return "", problem.Unauthorized.Errorf("the assertion has no subject")
	}
	return c.Subject, nil
}

// checkAssertion holds an assertion against RFC 7523, section 3. What is wrong
// with it is problem.Unauthorized.
func (a *Authenticator) checkAssertion(ctx context.Context, v oauth.Visit, client *model.Client, kind, assertion string) error {
	allowed := asymmetric
	if kind == bySecretJWT {
		allowed = symmetric
	}
	if only := client.Attribute("token.endpoint.auth.signing.alg"); only != "" {
		allowed = []jose.SignatureAlgorithm{jose.SignatureAlgorithm(only)}
	}
	parsed, err := jwt.ParseSigned(assertion, allowed)
	if err != nil || len(parsed.Headers) != 1 {
		return problem.Unauthorized.Errorf("the assertion is not a JWT signed by one of %v", allowed)
	}
	claims, err := a.verified(ctx, client, kind, parsed)
	if err != nil {
		return err
	}
	now := a.clock.Now()
	switch {
	case claims.Issuer != client.ClientID || claims.Subject != client.ClientID:
		return problem.Unauthorized.Errorf("the assertion's issuer and subject are not client %q", client.ClientID)
	case !forUs(v, claims.Audience):
		return problem.Unauthorized.Errorf("the assertion's audience is not this realm")
	case claims.Expiry == nil || !claims.Expiry.Time().After(now.Add(-clockSkew)):
		return problem.Unauthorized.Errorf("the assertion has expired or never does")
	case claims.IssuedAt != nil && claims.IssuedAt.Time().After(now.Add(clockSkew)), claims.NotBefore != nil && claims.NotBefore.Time().After(now.Add(clockSkew)):
		return problem.Unauthorized.Errorf("the assertion is from the future")
	case claims.IssuedAt == nil && claims.Expiry.Time().After(now.Add(maxAssertionAge+clockSkew)):
		return problem.Unauthorized.Errorf("the assertion lives longer than %v", maxAssertionAge)
	case claims.IssuedAt != nil && claims.IssuedAt.Time().Before(now.Add(-maxAssertionAge-clockSkew)):
		return problem.Unauthorized.Errorf("the assertion is older than %v", maxAssertionAge)
	case claims.ID == "":
		return problem.Unauthorized.Errorf("the assertion has no jti")
	}
	err = a.once.Once(ctx, v.Realm, "assertion."+client.ID, claims.ID, claims.Expiry.Time().Add(clockSkew))
	if problem.Is(err, problem.Conflict) {
		return problem.Unauthorized.Errorf("the assertion was used before")
	}
	return err
}

// forUs reports whether an assertion is meant for this realm: by its issuer,
// as RFC 7523 bis asks for, or by an endpoint, as clients do.
func forUs(v oauth.Visit, audience jwt.Audience) bool {
	realm := v.Realm.Name
	for _, a := range []string{v.Site.Realm(realm), v.Site.OpenID(realm, "token"), v.Site.OpenID(realm, "token/introspect"), v.Site.OpenID(realm, "revoke")} {
		if audience.Contains(a) {
			return true
		}
	}
	return false
}

// verified are the assertion's claims once a key of the client has verified it.
func (a *Authenticator) verified(ctx context.Context, client *model.Client, kind string, parsed *jwt.JSONWebToken) (jwt.Claims, error) {
	var claims jwt.Claims
	keys, err := a.keysOf(ctx, client, kind, parsed.Headers[0].KeyID)
	if err != nil {
		return claims, err
	}
	for _, key := range keys {
		if parsed.Claims(key, &claims) == nil {
			return claims, nil
		}
	}
	return claims, problem.Unauthorized.Errorf("the assertion is not signed by a key of client %q", client.ClientID)
}

func (a *Authenticator) keysOf(ctx context.Context, client *model.Client, kind, kid string) ([]any, error) {
	switch {
	case kind == bySecretJWT:
		if client.Secret == "" {
			return nil, problem.Unauthorized.Errorf("client %q has no secret", client.ClientID)
		}
		return []any{[]byte(client.Secret)}, nil
	case client.Attribute("use.jwks.url") == "true" && client.Attribute("jwks.url") != "":
		return a.keys.find(ctx, client.Attribute("jwks.url"), kid)
	case client.Attribute("use.jwks.string") == "true":
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(client.Attribute("jwks.string")), &set); err != nil {
			return nil, problem.Unauthorized.Errorf("the key set of client %q is not JSON: %w", client.ClientID, err)
		}
		return pick(set, kid), nil
	}
	return certified(client)
}

// certified is the key of the certificate or public key that an administrator
// uploaded.
func certified(client *model.Client) ([]any, error) {
	for name, parse := range map[string]func([]byte) (crypto.PublicKey, error){
		"jwt.credential.certificate": func(der []byte) (crypto.PublicKey, error) {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			return cert.PublicKey, nil
		},
		"jwt.credential.public.key": func(der []byte) (crypto.PublicKey, error) { return x509.ParsePKIXPublicKey(der) },
	} {
		if text := client.Attribute(name); text != "" {
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			if err != nil {
				return nil, problem.Unauthorized.Errorf("attribute %q of client %q is not base64", name, client.ClientID)
			}
			key, err := parse(der)
			if err != nil {
				return nil, problem.Unauthorized.Errorf("attribute %q of client %q is not a key: %w", name, client.ClientID, err)
			}
			return []any{key}, nil
		}
	}
	return nil, problem.Unauthorized.Errorf("client %q has no key", client.ClientID)
}

// pick are the public signing keys of a set with this kid, or all without one.
func pick(set jose.JSONWebKeySet, kid string) []any {
	var keys []any
	for _, k := range set.Keys {
		if k.IsPublic() && k.Use != "enc" && (kid == "" || k.KeyID == "" || k.KeyID == kid) {
			keys = append(keys, k.Key)
		}
	}
	return keys
}
