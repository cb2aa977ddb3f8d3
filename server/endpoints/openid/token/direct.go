package token

import (
	"context"
	"errors"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// passwordGrant is the resource owner password credentials grant (RFC 6749,
// section 4.3), for clients that have "direct access grants" on.
type passwordGrant struct{ Config }

func (g passwordGrant) Decide(ctx context.Context, r *Request) (d Decision, err error) {
	d.Event = events.Login
	if !r.Client.DirectAccessGrantsEnabled {
		return d, oauth.Refuse(oauth.UnauthorizedClient, "Client not allowed for direct access grants")
	}
	if r.Client.ConsentRequired {
		return d, oauth.Refuse(oauth.InvalidClient, "Client requires user consent")
	}
	if r.Form.Get("username") == "" {
		return d, oauth.Refuse(oauth.InvalidRequest, "Missing parameter: username")
	}
	scope := r.Form.Get("scope")
	if err := checkScope(ctx, g.Issuer, r, scope); err != nil {
		return d, err
	}
	user, err := g.Passwords.VerifyPassword(ctx, r.Realm, r.Client, r.Form, r.Site.Remote)
	switch problem.KindOf(err) {
	case problem.Unauthorized:
		return d, oauth.Deny(oauth.InvalidGrant, "Invalid user credentials").Because(err)
	case problem.Forbidden:
		return d, oauth.Refuse(oauth.InvalidGrant, "Account disabled").Because(err)
	case problem.Precondition:
		return d, oauth.Refuse(oauth.InvalidGrant, "Account is not fully set up").Because(err)
	}
	if err != nil {
		return d, err
	}
	how := sessions.Start{Username: r.Form.Get("username"), Remote: r.Site.Remote, Client: map[string]string{"scope": scope}}
	return g.start(ctx, r, d, user, how)
}

// start begins a session that the decision's tokens are for.
func (c Config) start(ctx context.Context, r *Request, d Decision, user *model.User, how sessions.Start) (Decision, error) {
	online, client, err := c.Sessions.Start(ctx, r.Realm, r.Client, user, how)
	if err != nil {
		return d, err
	}
	d.Subject = tokens.Subject{User: user, Session: online, ClientSession: client, Scope: r.Form.Get("scope")}
	d.Options = tokens.Options{Refresh: usesRefreshTokens(r.Client)}
	return d, c.goOffline(ctx, r, &d)
}

// clientGrant is the client credentials grant (RFC 6749, section 4.4): tokens
// for the client's service account. They come without a session and without a
// refresh token, unless the client is set to use them.
type clientGrant struct{ Config }

func (g clientGrant) Decide(ctx context.Context, r *Request) (d Decision, err error) {
	d.Event = events.ClientLogin
	switch {
	case r.Client.PublicClient:
		return d, oauth.Deny(oauth.UnauthorizedClient, "Public client not allowed to retrieve service account")
	case !r.Client.ServiceAccountsEnabled:
		return d, oauth.Deny(oauth.UnauthorizedClient, "Client not enabled to retrieve service account")
	}
	scope := r.Form.Get("scope")
	if err := checkScope(ctx, g.Issuer, r, scope); err != nil {
		return d, err
	}
	user, err := g.account(ctx, r)
	if err != nil {
		return d, err
	}
	if !user.Enabled {
		return d, oauth.Deny(oauth.InvalidRequest, "User '"+user.Username+"' disabled")
	}
	how := sessions.Start{Username: user.Username, Remote: r.Site.Remote, AuthMethod: "client_auth", Client: map[string]string{"scope": scope},
		Notes: map[string]string{"client_id": r.Client.ClientID, "clientHost": r.Site.Remote, "clientAddress": r.Site.Remote}}
	if r.Client.Attribute("client_credentials.use_refresh_token") == "true" {
		return g.start(ctx, r, d, user, how)
	}
	online, client := g.Sessions.Transient(r.Realm, r.Client, user, how)
	d.Subject = tokens.Subject{User: user, Session: online, ClientSession: client, Scope: scope, Transient: true}
	return d, nil
}

// account is the client's service account user.
func (g clientGrant) account(ctx context.Context, r *Request) (*model.User, error) {
	var user *model.User
	err := g.Front.Store.View(ctx, func(tx storage.Tx) error {
		u, err := tx.Users.ByUsername(ctx, r.Realm.ID, "service-account-"+r.Client.ClientID)
		if err == nil && u.ServiceAccountClientID == r.Client.ClientID {
			user = u
			return nil
		}
		if err != nil && !problem.Is(err, problem.NotFound) {
			return err
		}
		found, err := tx.UserSearch.Search(ctx, r.Realm.ID, storage.UserQuery{ServiceAccountOf: r.Client.ClientID, Max: 1})
		if len(found) == 1 {
			user = found[0]
		}
		return err
	})
	if err == nil && user == nil {
		err = oauth.Deny(oauth.InvalidRequest, "Client has no service account")
	}
	return user, err
}

// checkScope refuses a scope that the client does not have, before anything is
// done for it.
func checkScope(ctx context.Context, issuer *tokens.Issuer, r *Request, scope string) error {
	err := issuer.Scope(ctx, r.Realm, r.Client, scope)
	if _, ok := errors.AsType[tokens.UnknownScope](err); ok {
		return oauth.Refuse(oauth.InvalidScope, "Invalid scopes: "+scope)
	}
	return err
}
