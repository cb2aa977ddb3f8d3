package tokens

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// OpenID is the scope that makes an OAuth request one of OpenID Connect.
const OpenID = "openid"

// OfflineAccess is the scope that asks for an offline session.
const OfflineAccess = "offline_access"

// plan is all that a client gets by one "scope" parameter, whoever the user
// is: compiled once and good while the nouns that it was made from are the
// stored ones.
type plan struct {
	realm   *model.Realm
	client  *model.Client
	scopes  []planned
	mappers []mapper // of the client itself
	allowed roleSet  // roles that tokens may carry; nil: all of the user's
	openID  bool
	extra   string // "openid" or "", which is no client scope in most realms
}

// planned is a client scope in a plan.
type planned struct {
	scope   *model.ClientScope
	mappers []mapper
	needs   roleSet // the user must have one of them; nil: everybody may
	listed  bool    // its name is in the "scope" of tokens
}

// UnknownScope is the error of a scope that the client does not have.
type UnknownScope struct{ Name string }

func (e UnknownScope) Error() string {
	return "cannot grant scope " + e.Name + ": the client has no such scope"
}

// planKey names a plan: what a request asks for.
type planKey struct{ realm, client, scope string }

// maxPlans bounds the cache; a scope is text of the request, so it must not
// grow with whatever clients invent.
const maxPlans = 10000

// plan gives the compiled plan for a request, from the cache while the nouns
// behind it have not changed.
func (i *Issuer) plan(ctx context.Context, tx storage.Tx, realm *model.Realm, client *model.Client, scope string, settled bool) (*plan, error) {
	scopes, err := scopesFor(ctx, tx, realm, client, scope, settled)
	if err != nil {
		return nil, err
	}
	key := planKey{realm.ID, client.ID, scope}
	i.mu.RLock()
	p := i.plans[key]
	i.mu.RUnlock()
	if p != nil && p.madeFrom(realm, client, scopes) {
		return p, nil
	}
	if p, err = i.compile(ctx, tx, realm, client, scopes); err != nil {
		return nil, err
	}
	if p.openID = slices.Contains(strings.Fields(scope), OpenID); p.openID {
		p.extra = OpenID
	}
	i.mu.Lock()
	if len(i.plans) >= maxPlans {
		clear(i.plans)
	}
	i.plans[key] = p
	i.mu.Unlock()
	return p, nil
}

func (p *plan) madeFrom(realm *model.Realm, client *model.Client, scopes []*model.ClientScope) bool {
	if !same(p.realm, realm) || !same(p.client, client) || len(p.scopes) != len(scopes) {
		return false
	}
	for i, s := range scopes {
		if !same(p.scopes[i].scope, s) {
			return false
		}
	}
	return true
}

// same reports whether two readings of a noun are of the same version. Storage
// shares what it caches, so pointers mostly answer.
func same[T any, N interface {
	*T
	model.Noun
}](a, b N) bool {
	if a == b {
		return true
	}
	aID, _ := a.Ident()
	bID, _ := b.Ident()
	return aID == bID && a.Stored().Version == b.Stored().Version
}

// scopesFor are the client's default scopes and those optional ones that are
// asked for. A scope that the client does not have is UnknownScope, unless it is
// settled.
func scopesFor(ctx context.Context, tx storage.Tx, realm *model.Realm, client *model.Client, scope string, settled bool) ([]*model.ClientScope, error) {
	var scopes []*model.ClientScope
	add := func(name string) error {
		s, err := tx.ClientScopes.ByName(ctx, realm.ID, "", name)
		if err != nil {
			return ignoreMissing(err)
		}
		if s.Protocol == "" || s.Protocol == "openid-connect" {
			scopes = append(scopes, s)
		}
		return nil
	}
	for _, name := range client.DefaultClientScopes {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	for name := range strings.FieldsSeq(scope) {
		switch {
		case slices.Contains(client.DefaultClientScopes, name) || slices.ContainsFunc(scopes, func(s *model.ClientScope) bool { return s.Name == name }):
		case slices.Contains(client.OptionalClientScopes, name):
			if err := add(name); err != nil {
				return nil, err
			}
		case name == OpenID || settled:
		case name == OfflineAccess && client.OptionalClientScopes == nil: // realms from before client scopes
		default:
			return nil, UnknownScope{name}
		}
	}
	return scopes, nil
}

func (i *Issuer) compile(ctx context.Context, tx storage.Tx, realm *model.Realm, client *model.Client, scopes []*model.ClientScope) (*plan, error) {
	p := &plan{realm: realm, client: client, mappers: i.compileMappers(realm, client.ProtocolMappers)}
	for _, s := range scopes {
		needs, err := mapped(ctx, tx, realm, func(m model.ScopeMapping) bool { return m.ClientScope == s.Name || m.ClientTemplate == s.Name })
		if err != nil {
			return nil, err
		}
		if len(needs) == 0 {
			needs = nil
		}
		p.scopes = append(p.scopes, planned{s, i.compileMappers(realm, s.ProtocolMappers), needs, s.Attributes["include.in.token.scope"] != "false"})
	}
	if client.FullScope() {
		return p, nil
	}
	var err error
	if p.allowed, err = mapped(ctx, tx, realm, func(m model.ScopeMapping) bool { return m.Client == client.ClientID }); err != nil {
		return nil, err
	}
	own, err := tx.Roles.List(ctx, realm.ID, storage.Of(client.ID))
	if err != nil {
		return nil, err
	}
	e := &expander{ctx, tx, realm.ID, p.allowed}
	for _, r := range own {
		if err := e.add(model.RoleName{Client: client.ClientID, Name: r.Name}); err != nil {
			return nil, err
		}
	}
	for _, s := range p.scopes {
		for r := range s.needs {
			p.allowed[r] = true
		}
	}
	return p, nil
}

// granted is a plan for one user: the scopes they may have, the roles that
// tokens carry.
type granted struct {
	plan   *plan
	scopes []planned
	roles  roleSet // within the client's scope
	scope  string  // as tokens say it
}

func (p *plan) grant(roles roleSet) *granted {
	g := &granted{plan: p, roles: roles}
	names := strings.Fields(p.extra)
	for _, s := range p.scopes {
		if s.needs != nil && !s.needs.meets(roles) {
			continue
		}
		g.scopes = append(g.scopes, s)
		if s.listed && !slices.Contains(names, s.scope.Name) {
			names = append(names, s.scope.Name)
		}
	}
	if p.allowed != nil {
		g.roles = roles.within(p.allowed)
	}
	g.scope = strings.Join(names, " ")
	return g
}

// eachMapper calls f with every mapper of the plan, those that make roles
// first, those that read what others made last.
func (g *granted) eachMapper(f func(mapper)) {
	for _, when := range []phase{before, during, after} {
		for _, s := range g.scopes {
			for _, m := range s.mappers {
				if m.when == when {
					f(m)
				}
			}
		}
		for _, m := range g.plan.mappers {
			if m.when == when {
				f(m)
			}
		}
	}
}
