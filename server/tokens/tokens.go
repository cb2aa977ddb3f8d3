// Package tokens owns what is inside the tokens of OpenID Connect: which claims
// a client gets about a user, in which order, by which scopes and protocol
// mappers, signed by which key, and what a token that comes back is worth. It
// knows no request, no cookie and no grant.
//
// What depends on realm, client and scope only is compiled into a plan and kept;
// a token then costs its signature and little more.
package tokens

import (
	"context"
	"strconv"
	"sync"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Keys is what tokens need of a realm's keys.
type Keys interface {
	Of(ctx context.Context, realm keys.Realm) (*keys.Set, error)
	Signer(ctx context.Context, realm keys.Realm, algorithm string) (*keys.Key, error)
}

// Issuer issues and verifies the tokens of all realms. It is safe for
// concurrent use.
type Issuer struct {
	store storage.Store
	keys  Keys
	clock clock.Clock
	log   zerolog.Logger

	mu       sync.RWMutex
	plans    map[planKey]*plan
	reported map[string]bool // realm and kind of mapper
}

// NewIssuer makes an Issuer.
func NewIssuer(store storage.Store, keys Keys, c clock.Clock, log zerolog.Logger) *Issuer {
	return &Issuer{store: store, keys: keys, clock: c, log: log, plans: map[planKey]*plan{}, reported: map[string]bool{}}
}

// Subject is whom tokens are about and who gets them.
type Subject struct {
	Site   addresses.Site
	Realm  *model.Realm
	Client *model.Client
	User   *model.User
	Scope  string // the "scope" of the request; default scopes come by themselves
	Nonce  string // of the authorization request
	// Settled says that the scope was granted before, to a token that came back:
	// what the client has lost since is left out and is no error.
	Settled bool

	// Session and ClientSession are nil or not stored when Transient: tokens then
	// carry no "sid" and are good without a session.
	Session       *model.UserSession
	ClientSession *model.ClientSession
	Transient     bool

	Origins []string // web origins of the client, resolved
}

// subject is a Subject with what issuing finds out about it.
type subject struct {
	Subject
	roles  roleSet
	groups []*model.Group
	acr    string
}

func (s *subject) redirect() string {
	if s.ClientSession != nil && s.ClientSession.RedirectURI != "" {
		return s.ClientSession.RedirectURI
	}
	if len(s.Client.RedirectURIs) > 0 {
		return s.Client.RedirectURIs[0]
	}
	return s.Client.RootURL
}

// resolve finds the plan and what the user is granted by it.
func (i *Issuer) resolve(ctx context.Context, s Subject) (*subject, *granted, error) {
	sub := &subject{Subject: s, acr: "1"}
	if s.ClientSession != nil && s.ClientSession.Notes[sessions.SSONote] == "true" {
		sub.acr = "0" // no credential was asked for this time
	}
	var g *granted
	err := i.store.View(ctx, func(tx storage.Tx) error {
		p, err := i.plan(ctx, tx, s.Realm, s.Client, s.Scope, s.Settled)
		if err != nil {
			return err
		}
		roles, groups, err := rolesOf(ctx, tx, s.Realm.ID, s.User)
		if err != nil {
			return err
		}
		g = p.grant(roles)
		sub.roles, sub.groups = g.roles, groups
		return nil
	})
	return sub, g, err
}

// Scope checks the "scope" of a request before anybody logs in: UnknownScope
// names the first that the client does not have.
func (i *Issuer) Scope(ctx context.Context, realm *model.Realm, client *model.Client, scope string) error {
	return i.store.View(ctx, func(tx storage.Tx) error {
		_, err := scopesFor(ctx, tx, realm, client, scope, false)
		return err
	})
}

// Granted are the names of the client scopes that a subject is granted, those
// included that tokens do not list.
func (i *Issuer) Granted(ctx context.Context, s Subject) ([]string, error) {
	_, g, err := i.resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range g.scopes {
		names = append(names, p.scope.Name)
	}
	return names, nil
}

// authTime is when the session's user last proved who they are, in seconds
// since 1970; 0 if that is not known.
func authTime(s *model.UserSession) int64 {
	if s == nil {
		return 0
	}
	t, _ := strconv.ParseInt(s.Notes[sessions.AuthTimeNote], 10, 64)
	return t
}
