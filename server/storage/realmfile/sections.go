package realmfile

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Sections of a realm file that become nouns of their own. The deprecated ones
// are written back where they were read: their nouns remember the Section.
const (
	secClients      = "clients"
	secApplications = "applications" // before Keycloak 1.3
	secOAuthClients = "oauthClients" // before Keycloak 1.3
	secScopes       = "clientScopes"
	secTemplates    = "clientTemplates" // before Keycloak 4
	secRoles        = "roles"
	secGroups       = "groups"
	secFlows        = "authenticationFlows"
	secComponents   = "components"
	secUsers        = "users"

	roleApplications = "application" // in roles, before Keycloak 1.3
)

func readRealm(raw json.RawMessage) (*model.Contents, error) {
	c := &model.Contents{Realm: &model.Realm{}}
	if err := json.Unmarshal(raw, c.Realm); err != nil {
		return nil, err
	}
	if c.Realm.Name == "" {
		return nil, problem.Invalid.Errorf(`it has no "realm", the name of the realm`)
	}
	in := func(err error) error {
		if err == nil {
			return nil
		}
		return problem.Invalid.Errorf("realm %q: %w", c.Realm.Name, err)
	}
	for _, section := range []string{secClients, secApplications, secOAuthClients} {
		if err := in(readClients(c, section)); err != nil {
			return nil, err
		}
	}
	for _, section := range []string{secScopes, secTemplates} {
		scopes, err := list[model.ClientScope](&c.Realm.Document, section)
		if err != nil {
			return nil, in(err)
		}
		for _, s := range scopes {
			if section == secTemplates {
				s.Section = section
			}
		}
		c.ClientScopes = append(c.ClientScopes, scopes...)
	}
	var err error
	if c.Flows, err = list[model.Flow](&c.Realm.Document, secFlows); err != nil {
		return nil, in(err)
	}
	if c.Users, err = list[model.User](&c.Realm.Document, secUsers); err != nil {
		return nil, in(err)
	}
	if err := readGroups(c, &c.Realm.Document, secGroups, ""); err != nil {
		return nil, in(err)
	}
	if err := readComponents(c, &c.Realm.Document, secComponents, ""); err != nil {
		return nil, in(err)
	}
	return c, in(readRoles(c))
}

// list takes the section out of d and leaves an empty one.
func list[T any](d *model.Document, section string) ([]*T, error) {
	raw, ok := d.Raw(section)
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	nouns, err := nounsOf[T](raw)
	if err != nil {
		return nil, problem.Invalid.Errorf("%s%w", section, err)
	}
	d.SetRaw(section, json.RawMessage("[]"))
	return nouns, nil
}

func nounsOf[T any](raw json.RawMessage) ([]*T, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, problem.Invalid.Errorf(" is not a list")
	}
	nouns := make([]*T, len(items))
	for i, item := range items {
		if bytes.Equal(item, []byte("null")) {
			return nil, problem.Invalid.Errorf("[%d] is null", i)
		}
		nouns[i] = new(T)
		if err := json.Unmarshal(item, nouns[i]); err != nil {
			return nil, problem.Invalid.Errorf("[%d]: %w", i, err)
		}
	}
	return nouns, nil
}

func readClients(c *model.Contents, section string) error {
	clients, err := list[model.Client](&c.Realm.Document, section)
	for _, client := range clients {
		if client.ID == "" {
			client.ID = uuid.NewString() // now, as its roles need it
		}
		if section != secClients {
			client.Section = section
			if client.ClientID == "" {
				client.ClientID = client.Name // they were called so
			}
		}
	}
	c.Clients = append(c.Clients, clients...)
	return err
}

func readGroups(c *model.Contents, d *model.Document, section, parent string) error {
	groups, err := list[model.Group](d, section)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if g.ID == "" {
			g.ID = uuid.NewString()
		}
		g.Parent = parent
		c.Groups = append(c.Groups, g)
		if err := readGroups(c, &g.Document, "subGroups", g.ID); err != nil {
			return problem.Invalid.Errorf("group %q: %w", g.Name, err)
		}
	}
	return nil
}

// readComponents reads {"provider type": [component, ...], ...}.
func readComponents(c *model.Contents, d *model.Document, section, parent string) error {
	byType, ok, err := objectIn(d, section)
	if !ok || err != nil {
		return err
	}
	for _, kind := range byType.Keys() {
		components, err := list[model.Component](&byType.Document, kind)
		if err != nil {
			return problem.Invalid.Errorf("components: %w", err)
		}
		for _, component := range components {
			if component.ID == "" {
				component.ID = uuid.NewString()
			}
			component.Parent, component.Kind = parent, kind
			c.Components = append(c.Components, component)
			if err := readComponents(c, &component.Document, "subComponents", component.ID); err != nil {
				return err
			}
		}
	}
	return putObject(d, section, byType)
}

// readRoles reads {"realm": [role, ...], "client": {"clientId": [role, ...]}}.
// Roles of built-in clients that the file does not have wait for the defaults:
// their Parent is "?" and the clientId.
func readRoles(c *model.Contents) error {
	sections, ok, err := objectIn(&c.Realm.Document, secRoles)
	if !ok || err != nil {
		return err
	}
	ids := map[string]string{}
	for _, client := range c.Clients {
		ids[client.ClientID] = client.ID
	}
	if c.Roles, err = list[model.Role](&sections.Document, "realm"); err != nil {
		return problem.Invalid.Errorf("roles: %w", err)
	}
	for _, section := range []string{"client", roleApplications} {
		byClient, ok, err := objectIn(&sections.Document, section)
		if err != nil {
			return problem.Invalid.Errorf("roles: %w", err)
		}
		if !ok {
			continue
		}
		for _, clientID := range byClient.Keys() {
			roles, err := list[model.Role](&byClient.Document, clientID)
			if err != nil {
				return problem.Invalid.Errorf("roles: %s: %w", section, err)
			}
			for _, role := range roles {
				if role.Parent = ids[clientID]; role.Parent == "" {
					role.Parent = unresolved + clientID
				}
				if section == roleApplications {
					role.Section = section
				}
			}
			c.Roles = append(c.Roles, roles...)
		}
		if err := putObject(&sections.Document, section, byClient); err != nil {
			return err
		}
	}
	return putObject(&c.Realm.Document, secRoles, sections)
}

const unresolved = "?"

// resolveRoles finds the clients of roles after the defaults were added.
func resolveRoles(c *model.Contents) error {
	ids := map[string]string{}
	for _, client := range c.Clients {
		ids[client.ClientID] = client.ID
	}
	for _, role := range c.Roles {
		clientID, waiting := strings.CutPrefix(role.Parent, unresolved)
		if !waiting {
			continue
		}
		if role.Parent = ids[clientID]; role.Parent == "" {
			return problem.Invalid.Errorf("cannot use realm %q: roles.client names client %q, which does not exist", c.Realm.Name, clientID)
		}
	}
	return nil
}

func objectIn(d *model.Document, section string) (*model.Object, bool, error) {
	raw, ok := d.Raw(section)
	if !ok || string(raw) == "null" {
		return nil, false, nil
	}
	o := &model.Object{}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, false, problem.Invalid.Errorf("%s: %w", section, err)
	}
	return o, true, nil
}

func putObject(d *model.Document, section string, o *model.Object) error {
	raw, err := json.Marshal(o)
	if err == nil {
		d.SetRaw(section, raw)
	}
	return err
}

// number gives all nouns their places in the file.
func number(c *model.Contents) {
	numberAll(c.Clients)
	numberAll(c.ClientScopes)
	numberAll(c.Roles)
	numberAll(c.Groups)
	numberAll(c.Flows)
	numberAll(c.Components)
	numberAll(c.Users)
}

func numberAll[T model.Noun](nouns []T) {
	for i, n := range nouns {
		n.Stored().Position = i + 1
	}
}
