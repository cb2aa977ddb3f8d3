package access

import (
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// authorization is where the model says who may do what.
func authorization() profiles.Address {
	return profiles.Address{{Type: "core-service", Name: "management"}, {Type: "access", Name: "authorization"}}
}

// Effective is a caller with the roles that the model gives and takes: with the
// provider rbac, its role mappings add to the roles of the user's own record
// and its exclusions take from them. Callers of the local socket stay as they
// are, so that nobody can lock everybody out. It refuses a caller with several
// roles where the model's combination policy is to reject that.
func Effective(c Caller, tree profiles.Tree) (Caller, error) {
	at := authorization()
	if c.Mechanism == Local || tree.Value(at, "provider") != "rbac" {
		return c, nil
	}
	grants := slices.Clone(c.Grants)
	for _, name := range tree.Names(at, "role-mapping") {
		mapping := at.Child("role-mapping", name)
		grant, ok := grantNamed(name, tree)
		if !ok {
			continue
		}
		switch {
		case lists(tree, mapping, "exclude", c.Name):
			grants = slices.DeleteFunc(grants, func(g Grant) bool { return sameGrant(g, grant) })
		case tree.Value(mapping, "include-all") == true, lists(tree, mapping, "include", c.Name):
			if !slices.ContainsFunc(grants, func(g Grant) bool { return sameGrant(g, grant) }) {
				grants = append(grants, grant)
			}
		}
	}
	if len(grants) > 1 && tree.Value(at, "permission-combination-policy") == "rejecting" {
		return c, problem.Forbidden.Errorf("cannot let %q do anything: it has %d roles, and the model's permission-combination-policy is rejecting", c.Name, len(grants))
	}
	c.Grants = grants
	return c, nil
}

// lists reports whether a mapping includes or excludes a user.
func lists(tree profiles.Tree, mapping profiles.Address, list, user string) bool {
	return slices.ContainsFunc(tree.Names(mapping, list), func(entry string) bool {
		at := mapping.Child(list, entry)
		return tree.Value(at, "type") == "USER" && tree.Value(at, "name") == user
	})
}

// grantNamed gives what a role's name stands for: one of the roles, or a scoped
// role of the model. A scoped role whose scope is empty grants nothing.
func grantNamed(name string, tree profiles.Tree) (Grant, bool) {
	if role, err := ParseRole(name); err == nil {
		return Grant{Role: role}, true
	}
	for _, kind := range [...]string{"host-scoped-role", "server-group-scoped-role"} {
		at := authorization().Child(kind, name)
		if !tree.Has(at) {
			continue
		}
		base, _ := tree.Value(at, "base-role").(string)
		role, err := ParseRole(base)
		if err != nil {
			return Grant{}, false
		}
		g := Grant{Role: role}
		if kind == "host-scoped-role" {
			g.Hosts = names(tree.Value(at, "hosts"))
		} else {
			g.ServerGroups = names(tree.Value(at, "server-groups"))
		}
		return g, g.Scoped()
	}
	return Grant{}, false
}

func names(value any) []string {
	list, _ := value.([]any)
	var out []string
	for _, element := range list {
		if s, ok := element.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func sameGrant(a, b Grant) bool {
	return a.Role == b.Role && slices.Equal(a.Hosts, b.Hosts) && slices.Equal(a.ServerGroups, b.ServerGroups)
}
