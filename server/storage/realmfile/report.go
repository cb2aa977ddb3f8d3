package realmfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Report says what an import did.
type Report struct {
	Realms []RealmReport
}

// RealmReport says what an import did with one realm.
type RealmReport struct {
	Realm   string
	Ignored bool           // it existed and was left as it was
	Stored  map[string]int // by kind, such as "clients"
	Added   int            // nouns that the file did not have: built-in ones and those of later versions
	Kept    []string       // one line for each kind that is kept but not acted on yet
}

// Lines are the report for people, one line a fact.
func (r Report) Lines() []string {
	var lines []string
	for _, realm := range r.Realms {
		if realm.Ignored {
			lines = append(lines, fmt.Sprintf("realm %q exists and was left as it is", realm.Realm))
			continue
		}
		var stored []string
		for _, kind := range slices.Sorted(maps.Keys(realm.Stored)) {
			stored = append(stored, fmt.Sprintf("%d %s", realm.Stored[kind], kind))
		}
		lines = append(lines, fmt.Sprintf("realm %q imported: %s; %d of them added as Keycloak's defaults", realm.Realm, strings.Join(stored, ", "), realm.Added))
		for _, kept := range realm.Kept {
			lines = append(lines, fmt.Sprintf("realm %q: %s", realm.Realm, kept))
		}
	}
	return lines
}

func (r *RealmReport) count(c *model.Contents, clearText int) {
	r.Stored = map[string]int{
		"clients": len(c.Clients), "client scopes": len(c.ClientScopes), "roles": len(c.Roles), "groups": len(c.Groups),
		"flows": len(c.Flows), "components": len(c.Components), "users": len(c.Users),
	}
	r.Added = added(c.Clients) + added(c.ClientScopes) + added(c.Roles) + added(c.Flows) + added(c.Components) + added(c.Users)
	r.Kept = kept(c)
	if clearText > 0 {
		r.Kept = append(r.Kept, plural(clearText, "password")+" kept in clear text: no hash was configured for this import")
	}
}

func added[T model.Noun](nouns []T) (n int) {
	for _, noun := range nouns {
		if noun.Stored().Added {
			n++
		}
	}
	return n
}

// kept lists what is stored and exported again, but has no effect yet.
func kept(c *model.Contents) []string {
	var lines []string
	line := func(n int, noun, why string) {
		if n > 0 {
			lines = append(lines, plural(n, noun)+" kept, "+why)
		}
	}
	line(len(c.Realm.IdentityProviders), "identity provider", "brokering is not active yet")
	line(len(c.Realm.IdentityProviderMappers), "identity provider mapper", "brokering is not active yet")
	saml, authorization, masked := 0, 0, 0
	for _, client := range c.Clients {
		if client.Protocol != "" && !client.IsOpenIDConnect() {
			saml++
		}
		if client.Has("authorizationSettings") {
			authorization++
		}
		if client.Secret == model.Mask {
			masked++
		}
	}
	line(saml, "client of another protocol than OpenID Connect", "only OpenID Connect is active yet")
	line(masked, "masked client secret", "such a client cannot authenticate until it is given a new secret")
	line(authorization, "set of authorization settings", "authorization services are not active yet")
	kinds := map[string]int{}
	for _, component := range c.Components {
		kinds[component.Kind]++
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if kind != model.KeyProvider {
			line(kinds[kind], "component", kind[strings.LastIndex(kind, ".")+1:]+" is not active yet")
		}
	}
	for _, section := range []struct{ name, noun, why string }{
		{"userFederationProviders", "user federation provider", "federation is not active yet"},
		{"userFederationMappers", "user federation mapper", "federation is not active yet"},
		{"federatedUsers", "federated user", "federation is not active yet"},
		{"organizations", "organization", "organizations are not active yet"},
		{"clientProfiles", "set of client profiles", "client policies are not active yet"},
		{"clientPolicies", "set of client policies", "client policies are not active yet"},
		{"socialProviders", "set of social providers", "brokering is not active yet"},
		{"workflows", "set of workflows", "workflows are not active yet"},
	} {
		raw, ok := c.Realm.Raw(section.name)
		if !ok || len(raw) <= 2 || string(raw) == "null" || string(raw) == `{"profiles":[]}` || string(raw) == `{"policies":[]}` {
			continue
		}
		n := 1
		if items, err := nounsOf[model.Object](raw); err == nil {
			n = len(items)
		}
		line(n, section.noun, section.why)
	}
	return lines
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	head, tail, _ := strings.Cut(noun, " of ")
	if tail != "" {
		return fmt.Sprintf("%d %ss of %s", n, head, tail)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
