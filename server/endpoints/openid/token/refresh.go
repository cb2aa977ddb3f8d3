package token

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// refreshGrant exchanges a refresh token (RFC 6749, section 6), with rotation
// where the realm asks for it.
type refreshGrant struct{ Config }

func (g refreshGrant) Decide(ctx context.Context, r *Request) (d Decision, err error) {
	d.Event = events.Refresh
	if r.Form.Get("refresh_token") == "" {
		return d, oauth.Refuse(oauth.InvalidRequest, "No refresh token")
	}
	token, err := g.Issuer.Verify(ctx, r.Site, r.Realm, r.Form.Get("refresh_token"), tokens.TypeRefresh, tokens.TypeOffline)
	if problem.Is(err, problem.Unauthorized) {
		return d, oauth.Refuse(oauth.InvalidGrant, "Invalid refresh token").Because(err)
	}
	if err != nil {
		return d, err
	}
	if token.Party != r.Client.ClientID {
		return d, oauth.Refuse(oauth.InvalidGrant, "Invalid refresh token. Token client and authorized client don't match")
	}
	if token.Issued < r.Client.NotBefore {
		return d, oauth.Refuse(oauth.InvalidGrant, "Stale token")
	}
	scope, err := narrowed(token.Scope, r.Form.Get("scope"))
	if err != nil {
		return d, err
	}
	use := sessions.Refresh{Session: token.Session, Offline: token.Type == tokens.TypeOffline, Chain: token.Chain, Token: token.ID, Next: uuid.NewString(), Issued: token.Issued}
	if use.Chain == "" && r.Realm.RevokeRefreshToken { // issued before the realm began to rotate
		use.Chain = token.ID
	}
	online, client, err := g.Sessions.Refresh(ctx, r.Realm, r.Client, use)
	switch {
	case problem.Is(err, problem.NotFound) && use.Offline:
		return d, oauth.Refuse(oauth.InvalidGrant, "Offline user session not found").Because(err)
	case problem.Is(err, problem.NotFound):
		return d, oauth.Refuse(oauth.InvalidGrant, "Session not active").Because(err)
	case problem.Is(err, problem.Conflict):
		return d, oauth.Refuse(oauth.InvalidGrant, "Maximum allowed refresh token reuse exceeded").Because(err)
	case err != nil:
		return d, err
	}
	if d.Subject, err = subject(ctx, g.Front, r, online, client, scope, token.Nonce); err != nil {
		return d, err
	}
	d.Subject.Settled = true
	d.Options = tokens.Options{Refresh: usesRefreshTokens(r.Client), Offline: use.Offline, Chain: use.Chain, RefreshID: use.Next, RefreshScope: token.Scope}
	return d, nil
}

// narrowed is the scope of a refresh request: what the token has, or the part
// of it that is asked for (RFC 6749, section 6: never more).
func narrowed(granted, asked string) (string, error) {
	if asked == "" {
		return granted, nil
	}
	have := strings.Fields(granted)
	for name := range strings.FieldsSeq(asked) {
		if !slices.Contains(have, name) {
			return "", oauth.Refuse(oauth.InvalidScope, "Invalid scopes: "+asked)
		}
	}
	return asked, nil
}
