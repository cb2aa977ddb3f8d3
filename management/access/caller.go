// Package access owns who may do what on the management interface: callers and
// their roles, the management users and their SCRAM verifiers, local access by
// peer credentials, session tokens, the masking of sensitive values and the
// audit log. It must not know how an operation is carried out or where the
// users' records are kept: a controller or a standalone server provides a Store.
package access

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Role is one of WildFly's management roles.
type Role string

// The roles, from the weakest to the strongest. Auditor stands beside
// Administrator: it sees everything and changes only the audit log.
const (
	Monitor       Role = "Monitor"       // reads configuration and runtime, nothing sensitive
	Operator      Role = "Operator"      // Monitor, and starts, stops, reloads
	Maintainer    Role = "Maintainer"    // Operator, and changes configuration, nothing sensitive
	Deployer      Role = "Deployer"      // Monitor, and changes the identity subsystem's themes, SPIs and providers
	Administrator Role = "Administrator" // everything but the audit log
	Auditor       Role = "Auditor"       // reads everything, changes the audit log
	SuperUser     Role = "SuperUser"     // everything
)

// Roles lists all roles.
func Roles() []Role {
	return []Role{Monitor, Operator, Maintainer, Deployer, Administrator, Auditor, SuperUser}
}

// ParseRole reads a role's name, in any case.
func ParseRole(name string) (Role, error) {
	names := make([]string, 0, 7)
	for _, r := range Roles() {
		if strings.EqualFold(string(r), name) {
			return r, nil
		}
		names = append(names, string(r))
	}
	return "", problem.Invalid.Errorf("cannot use role %q: the roles are %s", name, strings.Join(names, ", "))
}

// Grant gives one role, everywhere or only within a scope.
type Grant struct {
	Role Role `json:"role"`
	// Hosts, if not empty, limits the grant to these hosts.
	Hosts []string `json:"hosts,omitempty"`
	// ServerGroups, if not empty, limits the grant to these server groups, to
	// the profiles and socket-binding groups they use and to their servers.
	ServerGroups []string `json:"server-groups,omitempty"`
}

// Scoped reports whether the grant is limited.
func (g Grant) Scoped() bool { return len(g.Hosts) > 0 || len(g.ServerGroups) > 0 }

// Mechanism says how a caller was authenticated.
type Mechanism string

// The mechanisms.
const (
	Local       Mechanism = "local"       // peer credentials of the Unix socket
	SCRAM       Mechanism = "scram"       // SCRAM-SHA-256, or the session token it ended with
	Basic       Mechanism = "basic"       // HTTP basic authentication over TLS
	Certificate Mechanism = "certificate" // a certificate of the domain's authority
)

// Caller is an authenticated caller of the management interface.
type Caller struct {
	Name      string    `json:"name"`
	Grants    []Grant   `json:"grants"`
	Mechanism Mechanism `json:"mechanism"`
	// Remote is where the call comes from: "host:port", or "" for the local socket.
	Remote string `json:"remote,omitempty"`
	// Session is the id of the session whose token the caller showed, or "". It
	// stays in the process.
	Session string `json:"-"`
}

// Has reports whether the caller has one of the roles without a scope.
func (c Caller) Has(roles ...Role) bool {
	return slices.ContainsFunc(c.Grants, func(g Grant) bool { return !g.Scoped() && slices.Contains(roles, g.Role) })
}

// LocalSuperUser is the caller on the local socket that runs as the
// controller's own user or as root.
func LocalSuperUser() Caller {
	return Caller{Name: "local", Grants: []Grant{{Role: SuperUser}}, Mechanism: Local}
}
