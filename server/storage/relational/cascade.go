package relational

import (
	"context"
	"database/sql"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// cascade deletes what was inside noun and every mention of it: a new role of
// an old name must not be the users' who had the old one.
func (c conn) cascade(ctx context.Context, realm string, noun model.Noun) error {
	switch noun := noun.(type) {
	case *model.Realm:
		for _, t := range []string{"client", "client_scope", "role", "user_group", "flow", "component", "users", "user_link",
			"user_session", "client_session", "authentication_session", "single_use", "login_failure", "event"} {
			if _, err := c.exec(ctx, "DELETE FROM "+t+" WHERE realm = ?", noun.ID); err != nil {
				return err
			}
		}
	case *model.Client:
		return c.cascadeClient(ctx, realm, noun)
	case *model.Role:
		return c.cascadeRole(ctx, realm, noun)
	case *model.Group:
		return c.cascadeGroup(ctx, realm, noun)
	case *model.Component:
		return c.deleteChildren(ctx, realm, noun.ID)
	}
	return nil
}

func (c conn) cascadeClient(ctx context.Context, realm string, client *model.Client) error {
	tx := c.s.tx(c.runner)
	owned, err := tx.Roles.List(ctx, realm, storage.Of(client.ID))
	if err != nil {
		return err
	}
	for _, role := range owned {
		if _, err := c.exec(ctx, "DELETE FROM role WHERE realm = ? AND id = ?", realm, role.ID); err != nil {
			return err
		}
		if err := c.forget(ctx, realm, model.RoleName{Client: client.ClientID, Name: role.Name}); err != nil {
			return err
		}
	}
	if _, err := c.exec(ctx, "DELETE FROM client_session WHERE realm = ? AND client_id = ?", realm, client.ID); err != nil {
		return err
	}
	accounts, err := tx.UserSearch.Search(ctx, realm, storage.UserQuery{ServiceAccountOf: client.ClientID})
	if err != nil {
		return err
	}
	for _, account := range accounts {
		if err := tx.Users.Delete(ctx, realm, account.ID); err != nil {
			return err
		}
	}
	return nil
}

func (c conn) cascadeRole(ctx context.Context, realm string, role *model.Role) error {
	name := model.RoleName{Name: role.Name}
	if role.Parent != "" {
		client, err := c.s.tx(c.runner).Clients.Get(ctx, realm, role.Parent)
		if err != nil {
			return err
		}
		name.Client = client.ClientID
	}
	return c.forget(ctx, realm, name)
}

// forget removes every mention of a role that is gone.
func (c conn) forget(ctx context.Context, realm string, role model.RoleName) error {
	tx := c.s.tx(c.runner)
	query := storage.UserQuery{RealmRole: role.Name, ServiceAccounts: true}
	if role.Client != "" {
		query = storage.UserQuery{Client: role.Client, ClientRole: role.Name, ServiceAccounts: true}
	}
	holders, err := tx.UserSearch.Search(ctx, realm, query)
	if err != nil {
		return err
	}
	for _, user := range holders {
		if user.ForgetRole(role) {
			if err := tx.Users.Update(ctx, realm, user); err != nil {
				return err
			}
		}
	}
	if err := updateThose(ctx, tx.Groups, realm, func(g *model.Group) bool { return g.ForgetRole(role) }); err != nil {
		return err
	}
	if err := updateThose(ctx, tx.Roles, realm, func(r *model.Role) bool { return r.ForgetRole(role) }); err != nil {
		return err
	}
	r, err := tx.Realms.Get(ctx, "", realm)
	if err != nil || !r.ForgetRole(role) {
		return err
	}
	return tx.Realms.Update(ctx, "", r)
}

// updateThose updates the nouns of a realm that change changed.
func updateThose[T model.Noun](ctx context.Context, nouns storage.Documents[T], realm string, change func(T) bool) error {
	all, err := nouns.List(ctx, realm, storage.Query{})
	if err != nil {
		return err
	}
	for _, noun := range all {
		if change(noun) {
			if err := nouns.Update(ctx, realm, noun); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c conn) cascadeGroup(ctx context.Context, realm string, group *model.Group) error {
	tx := c.s.tx(c.runner)
	rest, err := tx.Groups.List(ctx, realm, storage.Query{})
	if err != nil {
		return err
	}
	tree := model.NewGroups(append(rest, group))
	for _, gone := range tree.Subtree(group.ID) {
		path := tree.Path(gone.ID)
		if _, err := c.exec(ctx, "DELETE FROM user_group WHERE realm = ? AND id = ?", realm, gone.ID); err != nil {
			return err
		}
		members, err := tx.UserSearch.Search(ctx, realm, storage.UserQuery{Group: path, ServiceAccounts: true})
		if err != nil {
			return err
		}
		for _, user := range members {
			if user.ForgetGroup(path) {
				if err := tx.Users.Update(ctx, realm, user); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// deleteChildren deletes the components in a component.
func (c conn) deleteChildren(ctx context.Context, realm, parent string) error {
	children := []string{}
	err := c.rows(ctx, "SELECT id FROM component WHERE realm = ? AND parent = ?", []any{realm, parent}, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		children = append(children, id)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range children {
		if _, err := c.exec(ctx, "DELETE FROM component WHERE realm = ? AND id = ?", realm, id); err != nil {
			return err
		}
		if err := c.deleteChildren(ctx, realm, id); err != nil {
			return err
		}
	}
	return nil
}
