package realmfile

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// ExportOptions are an export's settings.
type ExportOptions struct {
	Users bool // with users and their credentials
	// Secrets writes secrets of clients, keys, providers and users as they are;
	// without it they are replaced by Mask, which no import takes for a secret.
	Secrets bool
	// Original leaves out what the import added and nobody has changed since.
	Original bool
}

// Mask stands for a secret that was not exported.
const Mask = model.Mask

// Export writes a realm as one realm file. Everything of the file it was
// imported from is in it, and what the import added (see Original).
func Export(ctx context.Context, store storage.Store, realm string, o ExportOptions) ([]byte, error) {
	c, err := load(ctx, store, realm, o)
	if err != nil {
		return nil, err
	}
	if o.Original {
		withoutAdded(c)
	}
	if !o.Secrets {
		mask(c)
	}
	raw, err := compose(c)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// load reads all of a realm; the nouns are the caller's.
func load(ctx context.Context, store storage.Store, realm string, o ExportOptions) (*model.Contents, error) {
	c := &model.Contents{}
	// An export is one moment of the realm, so it reads in a transaction.
	return c, store.Update(ctx, func(tx storage.Tx) (err error) {
		*c = model.Contents{}
		r, err := tx.Realms.ByName(ctx, "", "", realm)
		if err != nil {
			return err
		}
		c.Realm = model.Clone(r)
		if c.Clients, err = all(ctx, tx.Clients, r.ID); err != nil {
			return err
		}
		if c.ClientScopes, err = all(ctx, tx.ClientScopes, r.ID); err != nil {
			return err
		}
		if c.Roles, err = all(ctx, tx.Roles, r.ID); err != nil {
			return err
		}
		if c.Groups, err = all(ctx, tx.Groups, r.ID); err != nil {
			return err
		}
		if c.Flows, err = all(ctx, tx.Flows, r.ID); err != nil {
			return err
		}
		if c.Components, err = all(ctx, tx.Components, r.ID); err != nil || !o.Users {
			return err
		}
		users, err := tx.UserSearch.Search(ctx, r.ID, storage.UserQuery{ServiceAccounts: true, InFileOrder: true})
		for _, user := range users {
			c.Users = append(c.Users, model.Clone(user))
		}
		return err
	})
}

func all[E any, P interface {
	*E
	model.Noun
}](ctx context.Context, documents storage.Documents[P], realm string) ([]P, error) {
	shared, err := documents.List(ctx, realm, storage.Query{})
	nouns := make([]P, len(shared))
	for i, noun := range shared {
		nouns[i] = model.Clone((*E)(noun))
	}
	return nouns, err
}

// withoutAdded removes nouns that are as the import added them, and the names
// of those client scopes.
func withoutAdded(c *model.Contents) {
	untouched := func(d *model.Document) bool { return d.Added && d.Version <= 1 }
	gone := map[string]bool{}
	for _, s := range c.ClientScopes {
		gone[s.Name] = gone[s.Name] || untouched(&s.Document)
	}
	named := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return gone[n] })
	}
	c.Clients = slices.DeleteFunc(c.Clients, func(n *model.Client) bool { return untouched(&n.Document) })
	c.ClientScopes = slices.DeleteFunc(c.ClientScopes, func(n *model.ClientScope) bool { return untouched(&n.Document) })
	c.Roles = slices.DeleteFunc(c.Roles, func(n *model.Role) bool { return untouched(&n.Document) })
	c.Flows = slices.DeleteFunc(c.Flows, func(n *model.Flow) bool { return untouched(&n.Document) })
	c.Components = slices.DeleteFunc(c.Components, func(n *model.Component) bool { return untouched(&n.Document) })
	c.Users = slices.DeleteFunc(c.Users, func(n *model.User) bool { return untouched(&n.Document) })
	if len(c.ClientScopes) == 0 {
		return // the file relied on the built-in ones, and named them
	}
	for _, client := range c.Clients {
		client.DefaultClientScopes = named(client.DefaultClientScopes)
		client.OptionalClientScopes = named(client.OptionalClientScopes)
	}
	c.Realm.DefaultDefaultClientScopes = named(c.Realm.DefaultDefaultClientScopes)
	c.Realm.DefaultOptionalClientScopes = named(c.Realm.DefaultOptionalClientScopes)
}

// compose is the realm file of contents.
func compose(c *model.Contents) (json.RawMessage, error) {
	realm := c.Realm
	for _, section := range []string{secClients, secApplications, secOAuthClients} {
		mine := slices.DeleteFunc(slices.Clone(c.Clients), func(n *model.Client) bool { return home(n.Section, secClients) != section })
		if err := putList(&realm.Document, section, mine); err != nil {
			return nil, err
		}
	}
	for _, section := range []string{secScopes, secTemplates} {
		mine := slices.DeleteFunc(slices.Clone(c.ClientScopes), func(n *model.ClientScope) bool { return home(n.Section, secScopes) != section })
		if err := putList(&realm.Document, section, mine); err != nil {
			return nil, err
		}
	}
	if err := putList(&realm.Document, secFlows, c.Flows); err != nil {
		return nil, err
	}
	if err := putList(&realm.Document, secUsers, c.Users); err != nil {
		return nil, err
	}
	if err := putRoles(c); err != nil {
		return nil, err
	}
	if err := putGroups(c, &realm.Document, secGroups, ""); err != nil {
		return nil, err
	}
	if err := putComponents(c, &realm.Document, secComponents, ""); err != nil {
		return nil, err
	}
	return json.Marshal(realm)
}

func home(section, otherwise string) string {
	if section == "" {
		return otherwise
	}
	return section
}

// putList writes a section, unless it is empty and was not there.
func putList[T any](d *model.Document, section string, nouns []T) error {
	if len(nouns) == 0 {
		return nil // what is there is empty already
	}
	raw, err := json.Marshal(nouns)
	if err == nil {
		d.SetRaw(section, raw)
	}
	return err
}

func putRoles(c *model.Contents) error {
	sections, ok, err := objectIn(&c.Realm.Document, secRoles)
	if err != nil {
		return err
	}
	if !ok {
		if len(c.Roles) == 0 {
			return nil
		}
		sections = &model.Object{}
	}
	names := map[string]string{}
	for _, client := range c.Clients {
		names[client.ID] = client.ClientID
	}
	type place struct{ section, client string }
	byPlace := map[place][]*model.Role{}
	var order []place
	for _, role := range c.Roles {
		at := place{"realm", ""}
		if role.Parent != "" {
			if at = (place{home(role.Section, "client"), names[role.Parent]}); at.client == "" {
				return problem.Internal.Errorf("cannot export role %q: its client %q is not in the realm", role.Name, role.Parent)
			}
		}
		if byPlace[at] == nil {
			order = append(order, at)
		}
		byPlace[at] = append(byPlace[at], role)
	}
	for _, at := range order {
		if at.section == "realm" {
			err = putList(&sections.Document, at.section, byPlace[at])
		} else {
			err = putClientRoles(sections, at.section, at.client, byPlace[at])
		}
		if err != nil {
			return err
		}
	}
	return putObject(&c.Realm.Document, secRoles, sections)
}

func putClientRoles(sections *model.Object, section, client string, roles []*model.Role) error {
	byClient, ok, err := objectIn(&sections.Document, section)
	if err != nil {
		return err
	}
	if !ok {
		byClient = &model.Object{}
	}
	if err := putList(&byClient.Document, client, roles); err != nil {
		return err
	}
	return putObject(&sections.Document, section, byClient)
}

func putGroups(c *model.Contents, d *model.Document, section, parent string) error {
	var mine []*model.Group
	for _, g := range c.Groups {
		if g.Parent != parent {
			continue
		}
		if err := putGroups(c, &g.Document, "subGroups", g.ID); err != nil {
			return err
		}
		mine = append(mine, g)
	}
	return putList(d, section, mine)
}

func putComponents(c *model.Contents, d *model.Document, section, parent string) error {
	byType, ok, err := objectIn(d, section)
	if err != nil {
		return err
	}
	if !ok {
		byType = &model.Object{}
	}
	mine := map[string][]*model.Component{}
	var order []string
	for _, component := range c.Components {
		if component.Parent != parent {
			continue
		}
		if err := putComponents(c, &component.Document, "subComponents", component.ID); err != nil {
			return err
		}
		if mine[component.Kind] == nil {
			order = append(order, component.Kind)
		}
		mine[component.Kind] = append(mine[component.Kind], component)
	}
	for _, kind := range order {
		if err := putList(&byType.Document, kind, mine[kind]); err != nil {
			return err
		}
	}
	if !ok && len(order) == 0 {
		return nil
	}
	return putObject(d, section, byType)
}
