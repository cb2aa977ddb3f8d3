package tokens

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// roleSet is a set of roles.
type roleSet map[model.RoleName]bool

// names are the roles of one client ("" is the realm), sorted.
func (s roleSet) names(client string) []string {
	var names []string
	for r := range s {
		if r.Client == client {
			names = append(names, r.Name)
		}
	}
	slices.Sort(names)
	return names
}

// clients are the clients that own a role of the set, sorted.
func (s roleSet) clients() []string {
	seen := map[string]bool{}
	for r := range s {
		if r.Client != "" {
			seen[r.Client] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

func (s roleSet) meets(other roleSet) bool {
	for r := range s {
		if other[r] {
			return true
		}
	}
	return false
}

func (s roleSet) within(other roleSet) roleSet {
	out := roleSet{}
	for r := range s {
		if other[r] {
			out[r] = true
		}
	}
	return out
}

// expander adds roles with all that they are composed of. What is named and
// does not exist is left out, as an import keeps such names.
type expander struct {
	ctx   context.Context
	tx    storage.Tx
	realm string // id
	set   roleSet
}

func (e *expander) add(names ...model.RoleName) error {
	for _, name := range names {
		if e.set[name] {
			continue
		}
		parent := ""
		if name.Client != "" {
			client, err := e.tx.Clients.ByName(e.ctx, e.realm, "", name.Client)
			if problem.Is(err, problem.NotFound) {
				continue
			}
			if err != nil {
				return err
			}
			parent = client.ID
		}
		role, err := e.tx.Roles.ByName(e.ctx, e.realm, parent, name.Name)
		if problem.Is(err, problem.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		e.set[name] = true
		if err := e.add(role.Includes()...); err != nil {
			return err
		}
	}
	return nil
}

// rolesOf are all roles of a user: their own, those of their groups and of the
// groups these are in, and all that these include. The groups come along.
func rolesOf(ctx context.Context, tx storage.Tx, realm string, user *model.User) (roleSet, []*model.Group, error) {
	e := &expander{ctx, tx, realm, roleSet{}}
	if err := e.add(user.Roles()...); err != nil {
		return nil, nil, err
	}
	var all []*model.Group
	for _, path := range user.Groups {
		groups, err := groupsOn(ctx, tx, realm, path)
		if err != nil {
			return nil, nil, err
		}
		for _, g := range groups {
			if err := e.add(g.Roles()...); err != nil {
				return nil, nil, err
			}
		}
		all = append(all, groups...)
	}
	return e.set, all, nil
}

// groupsOn are the groups on the way to a path such as /staff/night, the
// topmost first. In a path "~/" is a slash of a name.
func groupsOn(ctx context.Context, tx storage.Tx, realm, path string) ([]*model.Group, error) {
	const slash = "\x00"
	var groups []*model.Group
	parent := ""
	for name := range strings.SplitSeq(strings.Trim(strings.ReplaceAll(path, "~/", slash), "/"), "/") {
		g, err := tx.Groups.ByName(ctx, realm, parent, strings.ReplaceAll(name, slash, "/"))
		if err != nil {
			return groups, ignoreMissing(err)
		}
		groups, parent = append(groups, g), g.ID
	}
	return groups, nil
}

// mapped are the roles that a scope mapping names for a client or a client
// scope, with all that is composed of them.
func mapped(ctx context.Context, tx storage.Tx, realm *model.Realm, matches func(model.ScopeMapping) bool) (roleSet, error) {
	e := &expander{ctx, tx, realm.ID, roleSet{}}
	add := func(owner string, list []model.ScopeMapping) error {
		for _, m := range list {
			if !matches(m) {
				continue
			}
			for _, name := range m.Roles {
				if err := e.add(model.RoleName{Client: owner, Name: name}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := add("", realm.ScopeMappings); err != nil {
		return nil, err
	}
	for _, byClient := range []map[string][]model.ScopeMapping{realm.ClientScopeMappings, realm.ApplicationScopeMappings} {
		for owner, list := range byClient {
			if err := add(owner, list); err != nil {
				return nil, err
			}
		}
	}
	return e.set, nil
}

func ignoreMissing(err error) error {
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}
