package model

import (
	"fmt"
	"sort"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// complaintsMax bounds how much of a bad file is told at once.
const complaintsMax = 10

// checker collects what contents name that does not exist.
type checker struct {
	*Contents
	roles      map[RoleName]bool
	groups     *Groups
	clientIDs  map[string]bool
	complaints []string
}

// Check refuses contents that name something that does not exist: a client
// scope, role, flow, group or client.
func (c *Contents) Check() error {
	k := &checker{Contents: c, roles: map[RoleName]bool{}, groups: NewGroups(c.Groups), clientIDs: map[string]bool{}}
	names := map[string]string{}
	for _, client := range c.Clients {
		k.clientIDs[client.ClientID], names[client.ID] = true, client.ClientID
	}
	for _, role := range c.Roles {
		k.roles[RoleName{names[role.Parent], role.Name}] = true
	}
	k.checkRealm()
	k.checkClients()
	k.checkRoles(names)
	k.checkFlows()
	k.checkUsers()
	if len(k.complaints) == 0 {
		return nil
	}
	more := ""
	if n := len(k.complaints) - complaintsMax; n > 0 {
		k.complaints, more = k.complaints[:complaintsMax], fmt.Sprintf("; and %d more", n)
	}
	return problem.Invalid.Errorf("cannot use realm %q: %s%s", c.Realm.Name, strings.Join(k.complaints, "; "), more)
}

func (k *checker) complain(format string, args ...any) {
	k.complaints = append(k.complaints, fmt.Sprintf(format, args...))
}

func (k *checker) wantScopes(who string, names []string) {
	for _, name := range names {
		if k.scope(name) == nil {
			k.complain("%s names client scope %q, which does not exist (client scopes: %s)", who, name, k.scopeNames())
		}
	}
}

func (k *checker) scopeNames() string {
	var names []string
	for _, s := range k.ClientScopes {
		names = append(names, s.Name)
	}
	sort.Strings(names)
	if len(names) > 20 {
		names = append(names[:20], "…")
	}
	return strings.Join(names, ", ")
}

func (k *checker) wantRoles(who string, names ...RoleName) {
	for _, name := range names {
		trimmed := RoleName{name.Client, strings.TrimSpace(name.Name)}
		switch {
		case name.Client != "" && !k.clientIDs[name.Client]:
			k.complain("%s names a role of client %q, which does not exist", who, name.Client)
		case k.roles[name] || k.roles[trimmed]:
		case name.Client != "":
			k.complain("%s names role %q of client %q, which does not exist", who, name.Name, name.Client)
		default:
			k.complain("%s names realm role %q, which does not exist", who, name.Name)
		}
	}
}

func (k *checker) wantGroup(who, path string) {
	if k.groups.ByPath(path) == nil {
		k.complain("%s names group %q, which does not exist", who, path)
	}
}

func (k *checker) wantFlow(who, alias string) {
	if alias != "" && k.flow(alias) == nil {
		k.complain("%s names flow %q, which does not exist", who, alias)
	}
}

func (k *checker) checkRealm() {
	r := k.Realm
	k.wantScopes("defaultDefaultClientScopes", r.DefaultDefaultClientScopes)
	k.wantScopes("defaultOptionalClientScopes", r.DefaultOptionalClientScopes)
	for _, b := range []struct{ binding, alias string }{
		{"browserFlow", r.BrowserFlow}, {"registrationFlow", r.RegistrationFlow}, {"directGrantFlow", r.DirectGrantFlow},
		{"resetCredentialsFlow", r.ResetCredentialsFlow}, {"clientAuthenticationFlow", r.ClientAuthenticationFlow},
		{"dockerAuthenticationFlow", r.DockerAuthenticationFlow}, {"firstBrokerLoginFlow", r.FirstBrokerLoginFlow},
	} {
		k.wantFlow(b.binding, b.alias)
	}
	for _, path := range r.DefaultGroups {
		k.wantGroup("defaultGroups", path)
	}
	k.wantRoles("defaultRoles", roleNames(r.DefaultRoles)...)
	for _, m := range r.ScopeMappings {
		k.checkMapping("", m)
	}
	for _, byClient := range []map[string][]ScopeMapping{r.ClientScopeMappings, r.ApplicationScopeMappings} {
		for owner, mappings := range byClient {
			for _, m := range mappings {
				k.checkMapping(owner, m)
			}
		}
	}
	for _, p := range r.IdentityProviders {
		who := fmt.Sprintf("identity provider %q", p.Alias)
		k.wantFlow(who, p.FirstBrokerLoginFlowAlias)
		k.wantFlow(who, p.PostBrokerLoginFlowAlias)
	}
}

func (k *checker) checkMapping(owner string, m ScopeMapping) {
	who := "a scope mapping"
	switch {
	case m.Client != "":
		who = fmt.Sprintf("the scope mapping of client %q", m.Client)
		if !k.clientIDs[m.Client] {
			k.complain("a scope mapping names client %q, which does not exist", m.Client)
		}
	case m.ClientScope != "":
		k.wantScopes("a scope mapping", []string{m.ClientScope})
	case m.ClientTemplate != "":
		k.wantScopes("a scope mapping", []string{m.ClientTemplate})
	}
	for _, role := range m.Roles {
		k.wantRoles(who, RoleName{owner, role})
	}
}

func (k *checker) checkClients() {
	flowIDs := map[string]bool{}
	for _, flow := range k.Flows {
		flowIDs[flow.ID], flowIDs[flow.Alias] = true, true
	}
	for _, client := range k.Clients {
		who := fmt.Sprintf("client %q", client.ClientID)
		if client.ClientID == "" {
			k.complain("a client (id %q) has no clientId", client.ID)
		}
		k.wantScopes(who, client.DefaultClientScopes)
		k.wantScopes(who, client.OptionalClientScopes)
		if client.ClientTemplate != "" {
			k.wantScopes(who, []string{client.ClientTemplate})
		}
		for _, role := range client.DefaultRoles {
			k.wantRoles(who, RoleName{client.ClientID, role})
		}
		for binding, id := range client.AuthenticationFlowBindingOverrides {
			if id != "" && !flowIDs[id] {
				k.complain("%s binds %s to flow %q, which does not exist", who, binding, id)
			}
		}
	}
}

func (k *checker) checkRoles(clientOf map[string]string) {
	for _, role := range k.Roles {
		name := RoleName{clientOf[role.Parent], role.Name}
		if role.Name == "" {
			k.complain("a role (id %q) has no name", role.ID)
		}
		k.wantRoles(fmt.Sprintf("composite role %q", name), role.Includes()...)
	}
	for _, group := range k.Groups {
		if group.Name == "" {
			k.complain("a group (id %q) has no name", group.ID)
		}
		k.wantRoles(fmt.Sprintf("group %q", k.groups.Path(group.ID)), group.Roles()...)
	}
}

func (k *checker) checkFlows() {
	for _, flow := range k.Flows {
		for _, e := range flow.Executions {
			k.wantFlow(fmt.Sprintf("flow %q", flow.Alias), e.FlowAlias)
		}
	}
}

func (k *checker) checkUsers() {
	for _, user := range k.Users {
		who := fmt.Sprintf("user %q", user.Username)
		k.wantRoles(who, user.Roles()...)
		for _, path := range user.Groups {
			k.wantGroup(who, path)
		}
		if id := user.ServiceAccountClientID; id != "" && !k.clientIDs[id] {
			k.complain("%s is the service account of client %q, which does not exist", who, id)
		}
	}
}
