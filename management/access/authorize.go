package access

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// need is what an operation asks of a role.
type need uint8

const (
	read            need = iota // configuration and runtime
	operate                     // change what runs: start, stop, reload, roll out
	deploy                      // change the identity subsystem
	configure                   // change other configuration
	readSensitive               // see a secret or who may do what
	changeSensitive             // change a secret, who may do what, or the domain's membership
	changeAudit                 // change the audit log
)

// granted lists the roles that meet each need.
var granted = map[need][]Role{
	read:            Roles(),
	operate:         {Operator, Maintainer, Administrator, SuperUser},
	deploy:          {Deployer, Maintainer, Administrator, SuperUser},
	configure:       {Maintainer, Administrator, SuperUser},
	readSensitive:   {Administrator, Auditor, SuperUser},
	changeSensitive: {Administrator, SuperUser},
	changeAudit:     {Auditor, SuperUser},
}

// securityOperations change who belongs to the domain or may do what in it, or
// replace the configuration whole: sensitive, whatever their address.
var securityOperations = []string{
	"add-user", "remove-user", "set-user-password", "set-user-roles", "end-user-sessions",
	"add-host", "remove-host", "register-host", "revoke", "revoke-host", "rotate", "rotate-authority",
	"add-controller", "remove-controller", "transfer-leadership", "apply", "revert",
	"support-bundle", // masked, but logs and names of the whole domain are in it
}

// runtimeOperations change what runs and nothing that is kept.
var runtimeOperations = []string{
	"start", "stop", "restart", "reload", "suspend", "resume", "kill", "destroy",
	"start-servers", "stop-servers", "restart-servers", "reload-servers", "suspend-servers", "resume-servers",
	"kill-servers", "destroy-servers", "rolling-restart", "shutdown",
}

// Authorize says whether a caller may run an operation on a tree: nil, a
// problem.NotFound when it is out of the caller's scope, so that it cannot be
// told from what does not exist, or a problem.Forbidden that names the roles
// that would do. Every step of a composite must be allowed.
func Authorize(c Caller, op profiles.Operation, tree profiles.Tree) error {
	if op.Name == "composite" {
		steps, err := op.Steps()
		if err != nil {
			return err
		}
		for _, step := range steps {
			if err := Authorize(c, step, tree); err != nil {
				return err
			}
		}
		return nil
	}
	v := view{caller: c, tree: tree}
	if !op.Address.HasWildcard() && !v.visible(op.Address) {
		return absent(op.Address)
	}
	need := needOf(op, tree)
	if need == read && op.Address.HasWildcard() && len(c.Grants) > 0 {
		return nil // Filter takes out what is not in scope
	}
	if v.allowed(need, op.Address) {
		return nil
	}
	names := make([]string, len(granted[need]))
	for i, r := range granted[need] {
		names[i] = string(r)
	}
	return problem.Forbidden.Errorf("cannot let %q run %s at %s: it takes one of the roles %s there", c.Name, op.Name, op.Address, strings.Join(names, ", "))
}

// absent is what the model says of a resource that is not there.
func absent(a profiles.Address) error {
	return problem.NotFound.Errorf("cannot find %s: there is no %s %q", a, a.Last().Type, a.Last().Name)
}

func needOf(op profiles.Operation, tree profiles.Tree) need {
	readOnly := op.ReadOnly()
	area := areaOf(op.Address)
	switch {
	case slices.Contains(securityOperations, op.Name) && !readOnly:
		return changeSensitive
	case area == auditArea && !readOnly:
		return changeAudit
	case readOnly && (area == accessArea || op.Name == "list-users" || namesSensitive(op, tree)):
		return readSensitive
	case readOnly:
		return read
	case slices.Contains(runtimeOperations, op.Name):
		return operate
	case area == accessArea, area == realmArea, namesSensitive(op, tree):
		return changeSensitive
	case area == identityArea:
		return deploy
	}
	return configure
}

// area is a part of the model that is guarded in its own way.
type area uint8

const (
	otherArea    area = iota
	accessArea        // who may do what
	realmArea         // security realms: keys, certificates
	auditArea         // the audit log
	identityArea      // the identity subsystem
)

func areaOf(a profiles.Address) area {
	for _, e := range a {
		switch {
		case e.Type == "access" && e.Name == "authorization":
			return accessArea
		case e.Type == "access" && e.Name == "audit":
			return auditArea
		case e.Type == "security-realm":
			return realmArea
		case e.Type == "subsystem" && e.Name == "identity":
			return identityArea
		}
	}
	return otherArea
}

// namesSensitive reports whether the operation reads or writes a sensitive
// attribute by its name, or gives one as a parameter.
func namesSensitive(op profiles.Operation, tree profiles.Tree) bool {
	d, err := tree.Mode().Describe(op.Address)
	if err != nil {
		return false // the model will refuse it
	}
	sensitive := func(name string) bool {
		a, ok := d.Attribute(name)
		if !ok {
			a, ok = d.Attribute(profiles.AttributeHead(name)) // properties.frontendUrl, list[0]
		}
		return ok && a.Sensitive
	}
	if name, ok := op.Params["name"].(string); ok && sensitive(name) {
		return true
	}
	if op.Name != "add" {
		return false
	}
	for name := range op.Params {
		if sensitive(name) {
			return true
		}
	}
	return false
}

// view is a tree as a caller may see it.
type view struct {
	caller Caller
	tree   profiles.Tree
}

// allowed reports whether one of the grants meets the need at an address.
func (v view) allowed(n need, a profiles.Address) bool {
	return slices.ContainsFunc(v.caller.Grants, func(g Grant) bool {
		if !slices.Contains(granted[n], g.Role) {
			return false
		}
		switch v.reach(g, a) {
		case inside:
			return true
		case beside:
			return n == read
		}
		return false
	})
}

// visible reports whether the caller may know that the address exists.
func (v view) visible(a profiles.Address) bool {
	return slices.ContainsFunc(v.caller.Grants, func(g Grant) bool { return v.reach(g, a) != outside })
}

// reach is where an address lies, seen from a scope.
type reach uint8

const (
	outside reach = iota // looks absent
	beside               // what all share: may be read
	inside               // the role holds here
)

func (v view) reach(g Grant, a profiles.Address) reach {
	if !g.Scoped() {
		return inside
	}
	if len(a) == 0 {
		return beside
	}
	best := outside
	if len(g.Hosts) > 0 {
		best = max(best, hostReach(g, a))
	}
	if len(g.ServerGroups) > 0 {
		best = max(best, v.groupReach(g, a))
	}
	return best
}

func hostReach(g Grant, a profiles.Address) reach {
	if a[0].Type != "host" {
		return beside
	}
	if slices.Contains(g.Hosts, a[0].Name) {
		return inside
	}
	return outside
}

func (v view) groupReach(g Grant, a profiles.Address) reach {
	switch a[0].Type {
	case "server-group":
		if slices.Contains(g.ServerGroups, a[0].Name) {
			return inside
		}
		return outside
	case "profile", "socket-binding-group":
		return v.sharedReach(g, a[0])
	case "host":
		if len(a) < 2 || a[1].Type != "server-config" && a[1].Type != "server" {
			return beside
		}
		if slices.Contains(g.ServerGroups, v.groupOf(a[0].Name, a[1].Name)) {
			return inside
		}
		return outside
	}
	return beside
}

// sharedReach of a profile or socket-binding group: inside when only groups of
// the scope use it, beside when others do too, outside when none of them does.
func (v view) sharedReach(g Grant, e profiles.Element) reach {
	mine, others := false, false
	for _, group := range v.tree.Names(nil, "server-group") {
		used := v.tree.Value(profiles.Address{{Type: "server-group", Name: group}}, e.Type)
		if used != e.Name {
			continue
		}
		if slices.Contains(g.ServerGroups, group) {
			mine = true
		} else {
			others = true
		}
	}
	switch {
	case mine && !others:
		return inside
	case mine:
		return beside
	}
	return outside
}

// groupOf is the server group of a host's server, "" when there is none.
func (v view) groupOf(host, server string) string {
	group := v.tree.Value(profiles.Address{{Type: "host", Name: host}, {Type: "server-config", Name: server}}, "group")
	name, _ := group.(string)
	return name
}
