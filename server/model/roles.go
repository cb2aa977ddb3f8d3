package model

import "slices"

// RoleName names a role the way documents do.
type RoleName struct {
	Client string // clientId; "" for a role of the realm
	Name   string
}

// String is the name, with the client's before it if it has one.
func (n RoleName) String() string {
	if n.Client == "" {
		return n.Name
	}
	return n.Client + "." + n.Name
}

// roleNames lists roles by name; the maps are by clientId.
func roleNames(realm []string, clients ...map[string][]string) []RoleName {
	var names []RoleName
	for _, name := range realm {
		names = append(names, RoleName{Name: name})
	}
	for _, byClient := range clients {
		for client, roles := range byClient {
			for _, name := range roles {
				names = append(names, RoleName{client, name})
			}
		}
	}
	return names
}

// Roles are the roles that are directly the user's.
func (u *User) Roles() []RoleName {
	return roleNames(u.RealmRoles, u.ClientRoles, u.ApplicationRoles)
}

// Roles are the roles that are directly the group's.
func (g *Group) Roles() []RoleName { return roleNames(g.RealmRoles, g.ClientRoles) }

// Includes are the roles that r directly includes.
func (r *Role) Includes() []RoleName {
	if r.Composites == nil {
		return nil
	}
	return roleNames(r.Composites.Realm, r.Composites.Client, r.Composites.Application)
}

// ForgetRole removes a role from the user; false if the user did not have it.
func (u *User) ForgetRole(role RoleName) bool {
	return forget(role, &u.RealmRoles, u.ClientRoles, u.ApplicationRoles)
}

// ForgetRole removes a role from the group; false if the group did not have it.
func (g *Group) ForgetRole(role RoleName) bool { return forget(role, &g.RealmRoles, g.ClientRoles) }

// ForgetRole removes role from the composite r; false if r did not include it.
func (r *Role) ForgetRole(role RoleName) bool {
	if r.Composites == nil {
		return false
	}
	return forget(role, &r.Composites.Realm, r.Composites.Client, r.Composites.Application)
}

// ForgetRole removes a role from the realm's scope mappings and default roles.
func (r *Realm) ForgetRole(role RoleName) bool {
	found := false
	drop := func(mappings []ScopeMapping) {
		for i := range mappings {
			if at := slices.Index(mappings[i].Roles, role.Name); at >= 0 {
				mappings[i].Roles = slices.Delete(slices.Clone(mappings[i].Roles), at, at+1)
				found = true
			}
		}
	}
	if role.Client != "" {
		drop(r.ClientScopeMappings[role.Client])
		drop(r.ApplicationScopeMappings[role.Client])
		return found
	}
	drop(r.ScopeMappings)
	if at := slices.Index(r.DefaultRoles, role.Name); at >= 0 {
		r.DefaultRoles = slices.Delete(slices.Clone(r.DefaultRoles), at, at+1)
		found = true
	}
	return found
}

// ForgetGroup removes the user from the group at path; false if it was not in it.
func (u *User) ForgetGroup(path string) bool {
	at := slices.Index(u.Groups, path)
	if at >= 0 {
		u.Groups = slices.Delete(slices.Clone(u.Groups), at, at+1)
	}
	return at >= 0
}

func forget(role RoleName, realm *[]string, clients ...map[string][]string) bool {
	found := false
	drop := func(names []string) []string {
		at := slices.Index(names, role.Name)
		if at < 0 {
			return names
		}
		found = true
		return slices.Delete(slices.Clone(names), at, at+1)
	}
	if role.Client == "" {
		*realm = drop(*realm)
		return found
	}
	for _, byClient := range clients {
		if names := drop(byClient[role.Client]); byClient[role.Client] != nil {
			byClient[role.Client] = names
		}
	}
	return found
}

// RoleSet is a set of roles that knows what each includes: all roles of a
// realm, read once.
type RoleSet struct {
	byName map[RoleName]*Role
}

// NewRoleSet makes the set of a realm's roles; clientID gives the clientId of a
// client's id.
func NewRoleSet(roles []*Role, clientID func(id string) string) RoleSet {
	set := RoleSet{byName: make(map[RoleName]*Role, len(roles))}
	for _, role := range roles {
		name := RoleName{Name: role.Name}
		if role.Parent != "" {
			name.Client = clientID(role.Parent)
		}
		set.byName[name] = role
	}
	return set
}

// Role is the role called name, nil if there is none.
func (s RoleSet) Role(name RoleName) *Role { return s.byName[name] }

// Expand gives the roles and all they include, each once; names of roles that
// do not exist are left out. Composites may include one another in circles.
func (s RoleSet) Expand(names ...RoleName) map[RoleName]*Role {
	expanded := map[RoleName]*Role{}
	for queue := slices.Clone(names); len(queue) > 0; {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		role := s.byName[name]
		if role == nil || expanded[name] != nil {
			continue
		}
		expanded[name] = role
		queue = append(queue, role.Includes()...)
	}
	return expanded
}

// EffectiveRoles are all roles of a user: its own, those of its groups and of
// the groups these are in, and what all of them include.
func EffectiveRoles(user *User, roles RoleSet, groups *Groups) map[RoleName]*Role {
	names := user.Roles()
	for _, path := range user.Groups {
		for group := groups.ByPath(path); group != nil; group = groups.Group(group.Parent) {
			names = append(names, group.Roles()...)
		}
	}
	return roles.Expand(names...)
}
