package token

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// codeGrant is the authorization code grant (RFC 6749, section 4.1.3) with PKCE
// (RFC 7636).
type codeGrant struct{ Config }

func (g codeGrant) Decide(ctx context.Context, r *Request) (d Decision, err error) {
	d.Event = events.CodeToToken
	if !r.Client.StandardFlow() {
		return d, oauth.Refuse(oauth.UnauthorizedClient, "Client not allowed to exchange code")
	}
	if r.Form.Get("code") == "" {
		return d, oauth.Refuse(oauth.InvalidRequest, "Missing parameter: code")
	}
	code, err := g.Sessions.RedeemCode(ctx, r.Realm, r.Client.ID, r.Form.Get("code"))
	if problem.Is(err, problem.NotFound) || problem.Is(err, problem.Conflict) {
		return d, oauth.Refuse(oauth.InvalidGrant, "Code not valid").Because(err)
	}
	if err != nil {
		return d, err
	}
	// RFC 6749, section 4.1.3: identical to the request's, and required if that had one.
	if r.Form.Get("redirect_uri") != code.RedirectURI {
		return d, oauth.Refuse(oauth.InvalidGrant, "Incorrect redirect_uri")
	}
	if err := checkVerifier(code, r.Form.Get("code_verifier")); err != nil {
		return d, err
	}
	online, client, err := g.Sessions.Both(ctx, r.Realm, r.Client, code.Session, false)
	if problem.Is(err, problem.NotFound) {
		return d, oauth.Refuse(oauth.InvalidGrant, "Session not active").Because(err)
	}
	if err != nil {
		return d, err
	}
	if d.Subject, err = subject(ctx, g.Front, r, online, client, code.Scope, code.Nonce); err != nil {
		return d, err
	}
	d.Options = tokens.Options{Refresh: usesRefreshTokens(r.Client)}
	return d, g.goOffline(ctx, r, &d)
}

// goOffline makes the session of a decision an offline one when its scope asks
// for that and the user may have it.
func (c Config) goOffline(ctx context.Context, r *Request, d *Decision) error {
	s := &d.Subject
	if !wantsOffline(s.Scope) || !d.Options.Refresh {
		return nil
	}
	s.Site, s.Realm, s.Client = r.Site, r.Realm, r.Client
	granted, err := c.Issuer.Granted(ctx, *s)
	if unknown, ok := errors.AsType[tokens.UnknownScope](err); ok {
		return oauth.Refuse(oauth.InvalidScope, "Invalid scopes: "+unknown.Name)
	}
	if err != nil {
		return err
	}
	if !slices.Contains(granted, tokens.OfflineAccess) {
		return oauth.Refuse("not_allowed", "Offline tokens not allowed for the user or client")
	}
	s.Session, s.ClientSession, err = c.Sessions.GoOffline(ctx, r.Realm, r.Client, s.Session)
	d.Options.Offline = true
	return err
}

// subject is a session as whom tokens are about, if its user may still have
// any.
func subject(ctx context.Context, front oauth.Front, r *Request, online *model.UserSession, client *model.ClientSession, scope, nonce string) (tokens.Subject, error) {
	s := tokens.Subject{Session: online, ClientSession: client, Scope: scope, Nonce: nonce}
	user, err := front.User(ctx, r.Realm, online.UserID)
	if problem.Is(err, problem.NotFound) {
		return s, oauth.Refuse(oauth.InvalidGrant, "User not found").Because(err)
	}
	if err != nil {
		return s, err
	}
	s.User = user
	if online.Started < user.NotBefore {
		return s, oauth.Refuse(oauth.InvalidGrant, "Session not active")
	}
	return s, active(user)
}

// usesRefreshTokens is the client's setting; the default is that it does.
func usesRefreshTokens(client *model.Client) bool {
	return client.Attribute("use.refresh.tokens") != "false"
}

// verifierForm is RFC 7636, section 4.1: 43 to 128 unreserved characters.
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// checkVerifier holds a code verifier against the challenge of the
// authorization request. A verifier without a challenge is refused too: that is
// how a downgraded request shows (RFC 9700, section 2.1.1).
func checkVerifier(code *sessions.Code, verifier string) error {
	switch {
	case code.Challenge == "" && verifier == "":
		return nil
	case code.Challenge == "":
		return oauth.Refuse(oauth.InvalidGrant, "PKCE code verifier specified but challenge not present in authorization")
	case verifier == "":
		return oauth.Refuse(oauth.InvalidGrant, "PKCE code verifier not specified")
	case !verifierForm.MatchString(verifier):
		return oauth.Refuse(oauth.InvalidGrant, "PKCE verification failed: Invalid code verifier")
	}
	if code.Method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if subtle.ConstantTimeCompare([]byte(verifier), []byte(code.Challenge)) != 1 {
		return oauth.Refuse(oauth.InvalidGrant, "PKCE verification failed: Code mismatch")
	}
	return nil
}

func hasScope(scope, name string) bool { return slices.Contains(strings.Fields(scope), name) }
