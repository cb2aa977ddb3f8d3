// Package bearer owns what an access token that comes with a request is worth
// at this moment: its signature, its age, and whether the session, the client
// and the user behind it still stand. It does not know what the token is used
// for.
package bearer

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// Checker checks the tokens of all realms.
type Checker struct {
	Front    oauth.Front
	Sessions *sessions.Service
	Issuer   *tokens.Issuer
}

// Access is what a good token stands for.
type Access struct {
	Token         *tokens.Token
	Client        *model.Client // that it was issued to
	User          *model.User
	Session       *model.UserSession   // nil of a token without a session
	ClientSession *model.ClientSession // nil of a token without a session
}

// Subject is whom the token is about, for asking the Issuer for more claims.
func (a *Access) Subject(v oauth.Visit) tokens.Subject {
	return tokens.Subject{
		Site: v.Site, Realm: v.Realm, Client: a.Client, User: a.User, Scope: a.Token.Scope, Nonce: a.Token.Nonce, Settled: true,
		Session: a.Session, ClientSession: a.ClientSession, Transient: a.Session == nil, Origins: v.Origins(a.Client),
	}
}

// Check verifies an access token and what it stands for. Errors are
// problem.Unauthorized for a token that is worth nothing.
func (c Checker) Check(ctx context.Context, v oauth.Visit, compact string) (*Access, error) {
	t, err := c.Issuer.Verify(ctx, v.Site, v.Realm, compact, tokens.TypeBearer)
	if err != nil {
		return nil, err
	}
	revoked, err := c.Sessions.Revoked(ctx, v.Realm, t.ID)
	if err != nil {
		return nil, err
	}
	if revoked {
		return nil, problem.Unauthorized.Errorf("cannot use the token: it was revoked")
	}
	return c.Standing(ctx, v, t)
}

// Standing is what a verified token of any type stands for.
func (c Checker) Standing(ctx context.Context, v oauth.Visit, t *tokens.Token) (*Access, error) {
	a, err := c.standing(ctx, v, t)
	if problem.Is(err, problem.NotFound) {
		return nil, problem.Unauthorized.Errorf("cannot use the token: %w", err)
	}
	return a, err
}

func (c Checker) standing(ctx context.Context, v oauth.Visit, t *tokens.Token) (*Access, error) {
	a := &Access{Token: t}
	var err error
	if a.Client, err = c.Front.Client(ctx, v.Realm, t.Party); err != nil {
		return nil, err
	}
	if !a.Client.IsEnabled() || t.Issued < a.Client.NotBefore {
		return nil, problem.Unauthorized.Errorf("cannot use the token: client %q is disabled or has revoked it", t.Party)
	}
	user := t.Subject
	if t.Session != "" {
		if err := c.session(ctx, v, a); err != nil {
			return nil, err
		}
		user = a.Session.UserID
	}
	if a.User, err = c.Front.User(ctx, v.Realm, user); err != nil {
		return nil, err
	}
	switch {
	case !a.User.Enabled || t.Issued < a.User.NotBefore:
		return nil, problem.Unauthorized.Errorf("cannot use the token: user %s is disabled or was logged out", user)
	case t.Session == "" && a.User.ServiceAccountClientID != a.Client.ClientID:
		return nil, problem.Unauthorized.Errorf("cannot use the token: it has no session and is not of a service account")
	}
	return a, nil
}

// session finds the sessions of a token: online, or offline for what an offline
// session gave.
func (c Checker) session(ctx context.Context, v oauth.Visit, a *Access) error {
	var err error
	for _, offline := range []bool{a.Token.Type == tokens.TypeOffline, true} {
		a.Session, a.ClientSession, err = c.Sessions.Both(ctx, v.Realm, a.Client, a.Token.Session, offline)
		if err == nil && a.Token.Issued < a.ClientSession.Started {
			err = problem.NotFound.Errorf("session %s of the client is newer than the token", a.Token.Session)
		}
		if err == nil || !problem.Is(err, problem.NotFound) || offline {
			return err
		}
	}
	return err
}

// FromRequest is the access token of a request: in the Authorization header, or
// in the form of a POST (RFC 6750, section 2), never in the address. "" is none;
// two tokens are an error.
func FromRequest(r *http.Request, form url.Values) (string, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		token = ""
	}
	inForm := form.Get("access_token")
	if token != "" && inForm != "" {
		return "", oauth.Refuse(oauth.InvalidRequest, "More than one access token")
	}
	if token == "" {
		token = inForm
	}
	return strings.TrimSpace(token), nil
}
