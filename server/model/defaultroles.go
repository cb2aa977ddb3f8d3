package model

import (
	"encoding/json"
	"slices"
	"strings"
)

func (f *filling) addRole(parent string, role *Role) *Role {
	if have := f.role(parent, role.Name); have != nil {
		return have
	}
	role.ID, role.Parent, role.ClientRole, role.Added = f.make.ID(), parent, parent != "", true
	role.ContainerID = parent
	if parent == "" {
		role.ContainerID = f.Realm.ID
	}
	f.Contents.Roles = append(f.Contents.Roles, role)
	return role
}

func (f *filling) addRoles() {
	for clientID, roles := range f.defaults.Roles.Client {
		client := f.client(clientID)
		// A role that this version of Keycloak would have written was removed on purpose.
		if client == nil || !client.Added && (f.generation == 0 || f.generation >= 26) {
			continue
		}
		for _, role := range roles {
			f.addRole(client.ID, role)
		}
	}
	for _, client := range f.Contents.Clients {
		if client.AuthorizationServicesEnabled {
			f.addRole(client.ID, &Role{Name: "uma_protection"})
		}
		for _, name := range client.DefaultRoles {
			f.addRole(client.ID, &Role{Name: name})
		}
	}
	for _, name := range f.Realm.DefaultRoles { // naming a default role was enough to have it
		f.addRole("", &Role{Name: name})
	}
	all := f.realmRole(f.defaults.Roles.Realm[0])
	for _, role := range f.defaults.Roles.Realm[1:] {
		f.addRole("", role)
	}
	if all == nil {
		return
	}
	all.Composites.Realm = f.existing("", all.Composites.Realm)
	for clientID, names := range all.Composites.Client {
		parent := ""
		if client := f.client(clientID); client != nil {
			parent = client.ID
		}
		if names = f.existing(parent, names); parent == "" || len(names) == 0 {
			delete(all.Composites.Client, clientID)
			continue
		}
		all.Composites.Client[clientID] = names
	}
	f.addRole("", all)
}

// realmRole makes the realm's default role unless the file has it; nil then.
// Before Keycloak 13 the realm and its clients listed their default roles.
func (f *filling) realmRole(role *Role) *Role {
	if d := f.Realm.DefaultRole; d != nil && d.Name != "" {
		if f.role("", d.Name) == nil {
			role.Name = d.Name
			return role
		}
		return nil
	}
	if have := f.role("", role.Name); have != nil {
		f.Realm.DefaultRole = &Role{ID: have.ID, Name: have.Name, Composite: true, ContainerID: f.Realm.ID}
		return nil
	}
	if f.Realm.DefaultRoles != nil {
		role.Composites.Realm = slices.Clone(f.Realm.DefaultRoles)
		if f.generation == 0 { // a hand-written file adds to what Keycloak gives
			role.Composites.Realm = union(role.Composites.Realm, []string{"offline_access", "uma_authorization"})
		}
	}
	for _, client := range f.Contents.Clients {
		if client.DefaultRoles != nil {
			role.Composites.Client[client.ClientID] = slices.Clone(client.DefaultRoles)
		}
	}
	f.Realm.DefaultRole = &Role{Name: role.Name, Description: role.Description, Composite: true, ContainerID: f.Realm.ID}
	return role
}

// existing leaves out names of roles that the realm does not have, but for the
// two that every realm gets.
func (f *filling) existing(parent string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		builtIn := parent == "" && (n == "offline_access" || n == "uma_authorization")
		return f.role(parent, n) == nil && !builtIn
	})
}

func (f *filling) addFlows() {
	r, s := f.Realm, f.Settings
	if len(f.Contents.Flows) == 0 {
		for _, flow := range f.defaults.Flows {
			f.addFlow(flow.Alias)
		}
	}
	for _, bind := range []struct{ to, by *string }{
		{&r.BrowserFlow, &s.BrowserFlow}, {&r.RegistrationFlow, &s.RegistrationFlow}, {&r.DirectGrantFlow, &s.DirectGrantFlow},
		{&r.ResetCredentialsFlow, &s.ResetCredentialsFlow}, {&r.ClientAuthenticationFlow, &s.ClientAuthenticationFlow},
		{&r.DockerAuthenticationFlow, &s.DockerAuthenticationFlow}, {&r.FirstBrokerLoginFlow, &s.FirstBrokerLoginFlow},
	} {
		if *bind.to == "" {
			*bind.to = *bind.by
			f.addFlow(*bind.by)
		}
	}
	if r.RequiredActions == nil {
		r.RequiredActions = f.defaults.RequiredActions
	}
}

// addFlow adds a built-in flow, what it uses and its authenticators' configs.
func (f *filling) addFlow(alias string) {
	if f.flow(alias) != nil {
		return
	}
	at := slices.IndexFunc(f.defaults.Flows, func(flow *Flow) bool { return flow.Alias == alias })
	if at < 0 {
		return
	}
	flow := f.defaults.Flows[at]
	flow.ID, flow.Added = f.make.ID(), true
	f.Contents.Flows = append(f.Contents.Flows, flow)
	for _, e := range flow.Executions {
		if e.FlowAlias != "" {
			f.addFlow(e.FlowAlias)
		}
		same := func(c AuthenticatorConfig) bool { return c.Alias == e.AuthenticatorConfig }
		if e.AuthenticatorConfig == "" || slices.ContainsFunc(f.Realm.AuthenticatorConfig, same) {
			continue
		}
		if at := slices.IndexFunc(f.defaults.AuthenticatorConfig, same); at >= 0 {
			config := f.defaults.AuthenticatorConfig[at]
			config.ID = f.make.ID()
			f.Realm.AuthenticatorConfig = append(f.Realm.AuthenticatorConfig, config)
		}
	}
}

// KeyProvider is the provider type of the components that are sources of keys.
const KeyProvider = "org.keycloak.keys.KeyProvider"

// addComponents adds the key sources that are missing: for signing, for
// encryption, for HMAC and for AES.
func (f *filling) addComponents() {
	has := func(match func(*Component) bool) bool {
		return slices.ContainsFunc(f.Contents.Components, func(c *Component) bool { return c.Kind == KeyProvider && match(c) })
	}
	add := func(c *Component) {
		c.ID, c.Kind, c.Added = f.make.ID(), KeyProvider, true
		f.Contents.Components = append(f.Contents.Components, c)
	}
	some := has(func(*Component) bool { return true })
	imported := f.importedKey()
	for _, c := range f.defaults.Components[KeyProvider] {
		switch c.ProviderID {
		case "rsa-generated":
			if imported != nil && !some {
				add(imported)
			} else if !some {
				add(c)
			}
		case "hmac-generated":
			if !has(func(have *Component) bool {
				return strings.HasPrefix(have.ProviderID, "hmac") && slices.Equal(have.Config["algorithm"], c.Config["algorithm"])
			}) {
				add(c)
			}
		default:
			if !has(func(have *Component) bool { return have.ProviderID == c.ProviderID }) {
				add(c)
			}
		}
	}
}

// importedKey is the key pair that files before Keycloak 2 held in the realm
// itself; nil if there is none.
func (f *filling) importedKey() *Component {
	text := func(name string) (s string) {
		raw, ok := f.Realm.Raw(name)
		if !ok || json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	key := text("privateKey")
	if key == "" {
		return nil
	}
	c := &Component{Name: "rsa", ProviderID: "rsa", Config: map[string][]string{"privateKey": {key}, "priority": {"100"}}}
	if certificate := text("certificate"); certificate != "" {
		c.Config["certificate"] = []string{certificate}
	}
	return c
}

// addServiceAccounts gives every client that acts for itself its user.
func (f *filling) addServiceAccounts() {
	have := map[string]bool{}
	for _, user := range f.Users {
		have[user.ServiceAccountClientID] = true
	}
	for _, client := range f.Contents.Clients {
		if !client.ServiceAccountsEnabled || have[client.ClientID] {
			continue
		}
		user := NewServiceAccount(client, f.Realm)
		user.ID, user.Added = f.make.ID(), true
		f.Users = append(f.Users, user)
	}
}

// NewServiceAccount is the user that stands for a client, without an id.
func NewServiceAccount(client *Client, realm *Realm) *User {
	user := &User{Username: "service-account-" + strings.ToLower(client.ClientID), Enabled: true, ServiceAccountClientID: client.ClientID}
	if realm.DefaultRole != nil {
		user.RealmRoles = []string{realm.DefaultRole.Name}
	}
	return user
}
