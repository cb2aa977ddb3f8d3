package model

import (
	"strconv"
	"strings"
)

// Contents is a realm with all that is in it. Roles of clients have their
// client's id as Parent, groups and components that of their parent.
type Contents struct {
	Realm        *Realm
	Clients      []*Client
	ClientScopes []*ClientScope
	Roles        []*Role
	Groups       []*Group
	Flows        []*Flow
	Components   []*Component
	Users        []*User
}

// Master is the realm that administers the others, where no other name of it is
// configured.
const Master = "master"

func (c *Contents) client(clientID string) *Client {
	for _, client := range c.Clients {
		if client.ClientID == clientID {
			return client
		}
	}
	return nil
}

func (c *Contents) scope(name string) *ClientScope {
	for _, scope := range c.ClientScopes {
		if scope.Name == name {
			return scope
		}
	}
	return nil
}

func (c *Contents) flow(alias string) *Flow {
	for _, flow := range c.Flows {
		if flow.Alias == alias {
			return flow
		}
	}
	return nil
}

func (c *Contents) role(parent, name string) *Role {
	for _, role := range c.Roles {
		if role.Parent == parent && role.Name == name {
			return role
		}
	}
	return nil
}

// redHat maps versions of Red Hat's products, which exports also carry, to the
// Keycloak they were made of.
var redHat = map[string]int{"7.0": 1, "7.1": 2, "7.2": 3, "7.3": 4, "7.4": 9, "7.5": 15, "7.6": 18}

// Generation is the major version of the Keycloak that exported the realm; 0
// when the file does not say.
func (r *Realm) Generation() int {
	v := r.KeycloakVersion
	parts := strings.SplitN(v, ".", 3)
	if len(parts) >= 2 && (strings.Contains(v, "GA") || strings.Contains(v, "redhat")) {
		if g, ok := redHat[parts[0]+"."+parts[1]]; ok {
			return g
		}
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil || major < 0 {
		return 0
	}
	return major
}
