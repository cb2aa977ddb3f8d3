package model

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// defaultsFile is what Keycloak 26 creates in a new realm, as a realm file with
// placeholders: the names and settings that clients and consoles rely on.
//
//go:embed defaults/realm.json
var defaultsFile []byte

// Generate makes what new nouns need; ids and secrets come from a secure random
// source.
type Generate struct {
	ID     func() string // a UUID
	Secret func() string // a client secret
	Master string        // the name of the realm that administers the others; "" is Master
}

// defaults is defaultsFile, read for one realm.
type defaults struct {
	Settings *Realm `json:"settings"`
	Roles    struct {
		Realm  []*Role            `json:"realm"`
		Client map[string][]*Role `json:"client"`
	} `json:"roles"`
	Clients             []*Client                 `json:"clients"`
	ClientScopes        []*ClientScope            `json:"clientScopes"`
	DefaultScopes       []string                  `json:"defaultDefaultClientScopes"`
	OptionalScopes      []string                  `json:"defaultOptionalClientScopes"`
	ScopeMappings       []ScopeMapping            `json:"scopeMappings"`
	ClientScopeMappings map[string][]ScopeMapping `json:"clientScopeMappings"`
	Flows               []*Flow                   `json:"authenticationFlows"`
	AuthenticatorConfig []AuthenticatorConfig     `json:"authenticatorConfig"`
	RequiredActions     []RequiredAction          `json:"requiredActions"`
	Components          map[string][]*Component   `json:"components"`
}

func readDefaults(realm string) (*defaults, error) {
	quoted := func(s string) string {
		b, _ := json.Marshal(s) // a string always has JSON
		return string(b[1 : len(b)-1])
	}
	text := strings.NewReplacer("@realm-lower@", quoted(strings.ToLower(realm)), "@realm-path@", quoted(url.PathEscape(realm))).Replace(string(defaultsFile))
	d := &defaults{}
	err := json.Unmarshal([]byte(text), d)
	return d, err
}

// filling adds to contents what is missing.
type filling struct {
	*Contents
	*defaults
	make       Generate
	generation int
	scopesToo  bool // the file says nothing of client scopes: it gets Keycloak's
}

// AddDefaults adds what Keycloak would add when it imports the realm: built-in
// clients, roles, client scopes, flows, required actions and key sources that
// the file does not have, and what later versions of Keycloak added to old
// realms (docs/decisions/0020-realm-files.md). Nothing that is there is changed,
// but lists and settings that were absent are set. What it adds is Added.
func (c *Contents) AddDefaults(generate Generate) error {
	d, err := readDefaults(c.Realm.Name)
	if err != nil {
		return err
	}
	if c.Realm.ID == "" {
		c.Realm.ID = generate.ID()
	}
	f := filling{Contents: c, defaults: d, make: generate, generation: c.Realm.Generation(), scopesToo: len(c.ClientScopes) == 0}
	if c.Realm.Name == cmp.Or(generate.Master, Master) {
		f.asMaster()
	}
	f.identify()
	f.addClients()
	f.addScopes()
	f.addRoles()
	f.addFlows()
	f.addComponents()
	f.addServiceAccounts()
	return nil
}

// asMaster turns the defaults into the master realm's: its own administration
// client has another name, and there are roles over all realms.
func (f *filling) asMaster() {
	client := f.Contents.Realm.Name + "-realm"
	roles := f.defaults.Roles.Client["realm-management"]
	delete(f.defaults.Roles.Client, "realm-management")
	var all []string
	kept := roles[:0]
	for _, role := range roles {
		if role.Name == "realm-admin" {
			continue
		}
		all = append(all, role.Name)
		if role.Composites != nil {
			role.Composites.Client = map[string][]string{client: role.Composites.Client["realm-management"]}
		}
		kept = append(kept, role)
	}
	f.defaults.Roles.Client[client] = kept
	for _, c := range f.defaults.Clients {
		if c.ClientID == "realm-management" {
			c.ClientID, c.Name = client, f.Contents.Realm.Name+" Realm"
		}
	}
	f.defaults.Roles.Realm = append(f.defaults.Roles.Realm,
		&Role{Name: "create-realm", Description: "${role_create-realm}"},
		&Role{Name: "admin", Description: "${role_admin}", Composite: true, Composites: &Composites{
			Realm: []string{"create-realm"}, Client: map[string][]string{client: all},
		}})
}

// identify gives an id to all that has none.
func (f *filling) identify() {
	id := func(noun Noun) {
		if have, _ := noun.Ident(); have == "" {
			noun.SetID(f.make.ID())
		}
	}
	for _, n := range f.Contents.Clients {
		id(n)
	}
	for _, n := range f.Contents.ClientScopes {
		id(n)
	}
	for _, n := range f.Contents.Flows {
		id(n)
	}
	for _, n := range f.Users {
		id(n)
	}
}

func (f *filling) addClients() {
	for _, builtIn := range f.defaults.Clients {
		if f.client(builtIn.ClientID) != nil {
			continue
		}
		builtIn.ID, builtIn.Added = f.make.ID(), true
		f.Contents.Clients = append(f.Contents.Clients, builtIn)
		for owner, mappings := range f.defaults.ClientScopeMappings {
			for _, m := range mappings {
				if m.Client == builtIn.ClientID {
					f.mapScope(owner, m)
				}
			}
		}
	}
	for _, client := range f.Contents.Clients {
		byPassword := client.ClientAuthenticatorType == "" || client.ClientAuthenticatorType == "client-secret" || client.ClientAuthenticatorType == "client-secret-jwt"
		if client.Confidential() && byPassword && client.Secret == "" && client.IsOpenIDConnect() && !client.Has("secret") {
			client.Secret = f.make.Secret()
		}
	}
}

// mapScope adds a scope mapping onto roles of the client called owner.
func (f *filling) mapScope(owner string, m ScopeMapping) {
	if f.Realm.ClientScopeMappings == nil {
		f.Realm.ClientScopeMappings = map[string][]ScopeMapping{}
	}
	f.Realm.ClientScopeMappings[owner] = append(f.Realm.ClientScopeMappings[owner], m)
}

// later are the client scopes that versions of Keycloak after 4 gave to
// existing realms and their clients, by the first major version that had them.
var later = []struct {
	name     string
	since    int
	optional bool
}{{"roles", 5, false}, {"web-origins", 5, false}, {"microprofile-jwt", 6, true}, {"acr", 18, false}, {"basic", 25, false}, {"service_account", 25, false}}

func (f *filling) addScopes() {
	old := f.generation > 0 && f.generation < 4
	var migrated []string // default scopes that every client gets
	for _, scope := range f.defaults.ClientScopes {
		at := slices.IndexFunc(later, func(l struct {
			name     string
			since    int
			optional bool
		}) bool {
			return l.name == scope.Name
		})
		missing := f.scope(scope.Name) == nil && (f.scopesToo || old || at >= 0 && f.generation < later[at].since)
		if !missing {
			continue
		}
		scope.ID, scope.Added = f.make.ID(), true
		f.Contents.ClientScopes = append(f.Contents.ClientScopes, scope)
		for _, m := range f.defaults.ScopeMappings {
			if m.ClientScope == scope.Name {
				f.Realm.ScopeMappings = append(f.Realm.ScopeMappings, m)
			}
		}
		if at >= 0 && !later[at].optional && (old || !f.scopesToo) && scope.Name != "service_account" {
			migrated = append(migrated, scope.Name)
		}
	}
	f.defaultScopes(migrated)
	for _, client := range f.Contents.Clients {
		f.clientScopes(client, old && !client.Added, migrated)
	}
}

// defaultScopes sets what new clients of the realm get.
func (f *filling) defaultScopes(migrated []string) {
	existing := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return f.scope(n) == nil })
	}
	if f.Realm.DefaultDefaultClientScopes == nil {
		f.Realm.DefaultDefaultClientScopes = existing(f.DefaultScopes)
	}
	if f.Realm.DefaultOptionalClientScopes == nil {
		f.Realm.DefaultOptionalClientScopes = existing(f.OptionalScopes)
	}
	f.Realm.DefaultDefaultClientScopes = union(f.Realm.DefaultDefaultClientScopes, migrated)
}

// clientScopes gives a client that does not say the realm's default scopes, and
// every client those that its version of Keycloak did not have yet.
func (f *filling) clientScopes(client *Client, old bool, migrated []string) {
	speaks := func(names []string) []string {
		protocol := client.Protocol
		if protocol == "" {
			protocol = "openid-connect"
		}
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
			s := f.scope(n)
			return s == nil || s.Protocol != "" && s.Protocol != protocol
		})
	}
	if client.DefaultClientScopes == nil && client.OptionalClientScopes == nil {
		if old { // it has its own mappers; a template became a scope
			client.DefaultClientScopes = []string{}
			if client.ClientTemplate != "" && f.scope(client.ClientTemplate) != nil {
				client.DefaultClientScopes = []string{client.ClientTemplate}
			}
			client.OptionalClientScopes = speaks([]string{"offline_access"})
		} else {
			client.DefaultClientScopes = speaks(f.Realm.DefaultDefaultClientScopes)
			client.OptionalClientScopes = speaks(f.Realm.DefaultOptionalClientScopes)
			if client.ClientTemplate != "" && f.scope(client.ClientTemplate) != nil {
				client.DefaultClientScopes = union(client.DefaultClientScopes, []string{client.ClientTemplate})
			}
		}
	}
	if client.IsOpenIDConnect() {
		client.DefaultClientScopes = union(client.DefaultClientScopes, migrated)
		if s := f.scope("service_account"); client.ServiceAccountsEnabled && s != nil && s.Added {
			client.DefaultClientScopes = union(client.DefaultClientScopes, []string{s.Name})
		}
	}
}

// union is a followed by what of b is not in it; a is returned if that is all.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(slices.Clip(a), s)
		}
	}
	return a
}
