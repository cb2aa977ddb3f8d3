package servergroups

import (
	"cmp"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Standalone gives the configuration of a standalone server from its tree. Its
// ports are those of the first socket-binding group, by name. Its name is
// jboss.server.name, "standalone" when that is not set.
func Standalone(t profiles.Tree, lookup Lookup) (ServerConfig, error) {
	groups := t.Names(nil, "socket-binding-group")
	if t.Mode() != profiles.Standalone || len(groups) == 0 {
		return ServerConfig{}, problem.Invalid.Errorf("cannot resolve a standalone server: the tree is of mode %s and has %d socket-binding groups (valid: standalone, at least 1)", t.Mode(), len(groups))
	}
	sockets, err := socketGroup(t, groups[0])
	if err != nil {
		return ServerConfig{}, problem.Invalid.Errorf("cannot resolve a standalone server: %w", err)
	}
	always := map[string]string{"jboss.host.name": "localhost", "jboss.server.name": "standalone"}
	n := names{host: lookup, levels: []level{{nil, properties(t, nil)}}, always: always}
	name, _ := n.lookup("jboss.server.name")
	host, _ := n.lookup("jboss.host.name")
	site, _ := n.lookup("jboss.site.name")
	r := &resolver{
		mode: profiles.Standalone, names: n, sockets: sockets,
		snapshot: HostSnapshot{
			Host: host, Site: strings.ReplaceAll(cmp.Or(site, "default"), "$", "$$"),
			Interfaces: children(t, nil, "interface"), Paths: children(t, nil, "path"), Realms: realms(t, nil),
		},
		spec:       ServerSpec{Name: name, Sockets: groups[0]},
		subsystems: children(t, nil, "subsystem"),
	}
	c, err := r.config()
	if err != nil {
		return ServerConfig{}, problem.Invalid.Errorf("cannot resolve the configuration of the standalone server: %w", err)
	}
	return c, nil
}
