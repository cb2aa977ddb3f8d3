package operations

import (
	"slices"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// plan is what a change would do.
type plan struct {
	Changes profiles.ChangeSet `json:"changes"`
	Effect  profiles.Effect    `json:"effect"`
	Servers []affected         `json:"servers"`
	// Notes say, for people, what the change leaves alone that one might think it
	// does not.
	Notes []string `json:"notes,omitempty"`
}

// affected is a server that a change reaches.
type affected struct {
	Host   string          `json:"host"`
	Server string          `json:"server"`
	Group  string          `json:"group"`
	Effect profiles.Effect `json:"effect"`
}

// plan says which servers a change reaches and what each needs.
func (d *Desk) plan(before, after profiles.Tree, changes profiles.ChangeSet) (plan, error) {
	p := plan{Changes: changes, Effect: changes.Effect(), Servers: []affected{}}
	if p.Changes == nil {
		p.Changes = profiles.ChangeSet{}
	}
	for _, s := range servers(after) {
		effect := profiles.None
		for _, c := range changes {
			if reaches(before, after, c.Address, s) {
				effect = max(effect, c.Effect)
			}
		}
		if effect > profiles.None {
			p.Servers = append(p.Servers, affected{s.host, s.name, s.group, effect})
		}
	}
	return p, nil
}

// server is a server as the model configures it.
type server struct{ host, name, group string }

// servers lists the servers of all hosts, by host and name.
func servers(t profiles.Tree) []server {
	var list []server
	for _, host := range t.Names(nil, "host") {
		at := profiles.Address{{Type: "host", Name: host}}
		for _, name := range t.Names(at, "server-config") {
			group, _ := t.Value(at.Child("server-config", name), "group").(string)
			list = append(list, server{host, name, group})
		}
	}
	return list
}

// reaches reports whether a change at an address concerns a server.
func reaches(before, after profiles.Tree, at profiles.Address, s server) bool {
	if len(at) == 0 {
		return true
	}
	first := at[0]
	switch first.Type {
	case "profile":
		return usesProfile(before, s.group, first.Name) || usesProfile(after, s.group, first.Name)
	case "socket-binding-group":
		group := profiles.Address{{Type: "server-group", Name: s.group}}
		return before.Value(group, "socket-binding-group") == first.Name || after.Value(group, "socket-binding-group") == first.Name
	case "server-group":
		return first.Name == s.group
	case "host":
		if first.Name != s.host {
			return false
		}
		return len(at) == 1 || at[1].Type != "server-config" || at[1].Name == s.name
	case "rollout-plan", "core-service":
		return false
	}
	return true // system properties, interfaces and paths of the domain
}

// usesProfile reports whether a group's servers boot from a profile, or from one
// that includes it.
func usesProfile(t profiles.Tree, group, profile string) bool {
	own, _ := t.Value(profiles.Address{{Type: "server-group", Name: group}}, "profile").(string)
	seen := map[string]bool{}
	return own != "" && includes(t, own, profile, seen)
}

func includes(t profiles.Tree, of, profile string, seen map[string]bool) bool {
	if of == profile {
		return true
	}
	if seen[of] {
		return false
	}
	seen[of] = true
	list, _ := t.Value(profiles.Address{{Type: "profile", Name: of}}, "includes").([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		name, _ := v.(string)
		return includes(t, name, profile, seen)
	})
}

// needed are the response headers of a committed change, as WildFly names them.
func (d *Desk) needed(before, after profiles.Tree, changes profiles.ChangeSet) map[string]any {
	effect := changes.Effect()
	headers := map[string]any{"effect": effect.String()}
	switch effect {
	case profiles.Reload:
		headers["operation-requires-reload"] = true
		headers["process-state"] = "reload-required"
	case profiles.Restart:
		headers["operation-requires-restart"] = true
		headers["process-state"] = "restart-required"
	}
	return headers
}
