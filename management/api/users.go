package api

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// operations are those of the root that the interface answers itself: they
// concern its callers, and a password must reach neither the model nor a log.
var operations = map[string]func(*Interface, context.Context, access.Caller, profiles.Operation) (any, error){
	"whoami":            (*Interface).whoami,
	"add-user":          (*Interface).addUser,
	"remove-user":       (*Interface).removeUser,
	"set-user-password": (*Interface).setPassword,
	"set-user-roles":    (*Interface).setRoles,
	"end-user-sessions": (*Interface).endSessions,
	"list-users":        (*Interface).listUsers,
}

// whoami answers as WildFly does; verbose adds the roles.
func (i *Interface) whoami(_ context.Context, c access.Caller, op profiles.Operation) (any, error) {
	result := map[string]any{"identity": map[string]any{"username": c.Name, "mechanism": c.Mechanism}}
	if verbose, _ := op.Params["verbose"].(bool); verbose {
		result["mapped-roles"] = roleNames(c.Grants)
		result["grants"] = c.Grants
	}
	return result, nil
}

// addUser: name, password, roles (a list or one), hosts and server-groups, which
// scope them.
func (i *Interface) addUser(ctx context.Context, _ access.Caller, op profiles.Operation) (any, error) {
	name, _ := op.Params["name"].(string)
	password, _ := op.Params["password"].(string)
	grants, err := grantsOf(op)
	if err != nil {
		return nil, err
	}
	_, err = i.config.Users.User(ctx, name)
	switch {
	case err == nil:
		return nil, problem.WithHint(problem.Conflict.Errorf("cannot add user %q: it exists", name), "use :set-user-password or :set-user-roles")
	case !problem.Is(err, problem.NotFound):
		return nil, err
	}
	user, err := access.NewUser(name, password, grants)
	if err != nil {
		return nil, err
	}
	return nil, i.config.Users.PutUser(ctx, user)
}

func (i *Interface) removeUser(ctx context.Context, _ access.Caller, op profiles.Operation) (any, error) {
	name, _ := op.Params["name"].(string)
	return nil, i.config.Users.RemoveUser(ctx, name)
}

func (i *Interface) setPassword(ctx context.Context, _ access.Caller, op profiles.Operation) (any, error) {
	name, _ := op.Params["name"].(string)
	password, _ := op.Params["password"].(string)
	user, err := i.config.Users.User(ctx, name)
	if err != nil {
		return nil, err
	}
	next, err := access.NewUser(name, password, user.Grants)
	if err != nil {
		return nil, err
	}
	next.Generation = user.Generation + 1 // ends the sessions that are open
	return nil, i.config.Users.PutUser(ctx, next)
}

// endSessions ends all sessions of a user, who may log in again: for a browser or
// a laptop that is lost.
func (i *Interface) endSessions(ctx context.Context, _ access.Caller, op profiles.Operation) (any, error) {
	name, _ := op.Params["name"].(string)
	user, err := i.config.Users.User(ctx, name)
	if err != nil {
		return nil, err
	}
	user.Generation++
	return nil, i.config.Users.PutUser(ctx, user)
}

func (i *Interface) setRoles(ctx context.Context, _ access.Caller, op profiles.Operation) (any, error) {
	name, _ := op.Params["name"].(string)
	user, err := i.config.Users.User(ctx, name)
	if err != nil {
		return nil, err
	}
	if user.Grants, err = grantsOf(op); err != nil {
		return nil, err
	}
	return nil, i.config.Users.PutUser(ctx, user)
}

func (i *Interface) listUsers(ctx context.Context, _ access.Caller, _ profiles.Operation) (any, error) {
	users, err := i.config.Users.Users(ctx)
	if err != nil {
		return nil, err
	}
	result := map[string]any{}
	for _, u := range users {
		result[u.Name] = map[string]any{"roles": roleNames(u.Grants), "grants": u.Grants}
	}
	return result, nil
}

// grantsOf reads the parameters roles, hosts and server-groups.
func grantsOf(op profiles.Operation) ([]access.Grant, error) {
	var grants []access.Grant
	for _, name := range texts(op.Params["roles"]) {
		role, err := access.ParseRole(name)
		if err != nil {
			return nil, err
		}
		grants = append(grants, access.Grant{Role: role, Hosts: texts(op.Params["hosts"]), ServerGroups: texts(op.Params["server-groups"])})
	}
	if len(grants) == 0 {
		return nil, problem.Invalid.Errorf("cannot use %s without roles: the roles are %v", op.Name, access.Roles())
	}
	return grants, nil
}

// texts reads a string or a list of strings.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, element := range v {
			if s, ok := element.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

func roleNames(grants []access.Grant) []string {
	names := []string{}
	for _, g := range grants {
		names = append(names, string(g.Role))
	}
	return names
}
