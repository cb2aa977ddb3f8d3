// Package clientauth owns who the client of a request is: by secret in the
// header or the form, by signed assertion, or by name alone when the client is
// public (RFC 6749, section 2.3; RFC 7523; OpenID Connect Core, section 9). It
// does not know what the client wants.
package clientauth

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// AssertionType is the only client_assertion_type there is (RFC 7523, section
// 2.2).
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// The clientAuthenticatorTypes that clients may have here.
const (
	bySecret     = "client-secret"
	bySecretJWT  = "client-secret-jwt"
	byPrivateKey = "client-jwt"
)

// Once remembers ids that may be used once; sessions.Service is one.
type Once interface {
	Once(ctx context.Context, realm *model.Realm, kind, id string, until time.Time) error
}

// Authenticator tells who the client is. It is safe for concurrent use.
type Authenticator struct {
	front oauth.Front
	once  Once
	clock clock.Clock
	keys  *remoteKeys
}

// New makes an Authenticator. fetch is used for the key sets of clients that
// publish theirs.
func New(front oauth.Front, once Once, c clock.Clock, fetch *http.Client) *Authenticator {
	return &Authenticator{front: front, once: once, clock: c, keys: newRemoteKeys(fetch, c)}
}

// Invalid is the error of whoever is not a client or cannot prove it. It never
// tells which.
func invalid(code string, cause error) *oauth.Error {
	return oauth.Deny(code, "Invalid client or Invalid client credentials").Because(cause)
}

// Client is the client that made a request with this form. Errors are
// *oauth.Error of status 401, or what storage reports.
func (a *Authenticator) Client(r *http.Request, v oauth.Visit, form url.Values) (*model.Client, error) {
	claimed, err := readClaim(r, form)
	if err != nil {
		return nil, err
	}
	if claimed.id == "" {
		return nil, invalid(oauth.InvalidClient, problem.Unauthorized.Errorf("the request names no client"))
	}
	client, err := a.front.Client(r.Context(), v.Realm, claimed.id)
	if problem.Is(err, problem.NotFound) {
		return nil, invalid(oauth.InvalidClient, err)
	}
	if err != nil {
		return nil, err
	}
	if !client.IsEnabled() || !client.IsOpenIDConnect() {
		return nil, invalid(oauth.InvalidClient, problem.Unauthorized.Errorf("client %q is disabled or speaks another protocol", claimed.id))
	}
	if client.PublicClient {
		return client, nil
	}
	return client, a.prove(r.Context(), v, client, claimed)
}

func (a *Authenticator) prove(ctx context.Context, v oauth.Visit, client *model.Client, c claim) error {
	kind := client.ClientAuthenticatorType
	if kind == "" {
		kind = bySecret
	}
	switch {
	case kind == bySecret && c.assertion == "":
		if c.secret == "" || client.Secret == "" || subtle.ConstantTimeCompare([]byte(c.secret), []byte(client.Secret)) != 1 {
			return invalid(oauth.UnauthorizedClient, problem.Unauthorized.Errorf("the secret of client %q is wrong or missing", client.ClientID))
		}
		return nil
	case (kind == byPrivateKey || kind == bySecretJWT) && c.assertion != "":
		if err := a.checkAssertion(ctx, v, client, kind, c.assertion); err != nil {
			if problem.KindOf(err) != problem.Unauthorized {
				return err
			}
			return invalid(oauth.InvalidClient, err)
		}
		return nil
	}
	return invalid(oauth.UnauthorizedClient, problem.Unauthorized.Errorf("client %q has to authenticate by %q and did not", client.ClientID, kind))
}

// claim is who a request says it is from, and by which proof.
type claim struct{ id, secret, assertion string }

func readClaim(r *http.Request, form url.Values) (claim, error) {
	c := claim{id: form.Get("client_id"), secret: form.Get("client_secret")}
	if id, secret, ok := r.BasicAuth(); ok {
		id, secret = unescape(id), unescape(secret)
		if c.id != "" && c.id != id {
			return c, invalid(oauth.InvalidClient, problem.Unauthorized.Errorf("header and form name different clients"))
		}
		c.id, c.secret = id, secret
	}
	assertion := form.Get("client_assertion")
	if assertion == "" && form.Get("client_assertion_type") == "" {
		return c, nil
	}
	if form.Get("client_assertion_type") != AssertionType || assertion == "" {
		return c, oauth.Refuse(oauth.InvalidClient, "Parameter client_assertion_type is missing or has an unsupported value")
	}
	if c.secret != "" {
		return c, oauth.Refuse(oauth.InvalidRequest, "More than one way of client authentication") // RFC 6749, section 2.3
	}
	c.assertion = assertion
	issuer, err := unverifiedSubject(assertion)
	if err != nil {
		return c, invalid(oauth.InvalidClient, err)
	}
	if c.id != "" && c.id != issuer {
		return c, invalid(oauth.InvalidClient, problem.Unauthorized.Errorf("form and assertion name different clients"))
	}
	c.id = issuer
	return c, nil
}

// unescape undoes the form encoding that RFC 6749, section 2.3.1 asks for in
// the Basic header; a value that many clients send without it stays as it is.
func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
