package servergroups

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// HostSnapshot is everything that one host needs of one revision, and nothing
// that none of its servers uses. It is immutable; its JSON form is the same
// bytes for the same content. Expressions are as they were written.
type HostSnapshot struct {
	Host             string            `json:"host"`
	Site             string            `json:"site"` // may be an expression
	Revision         uint64            `json:"revision"`
	DomainProperties map[string]string `json:"domain-properties"` // system properties of the domain
	HostProperties   map[string]string `json:"host-properties"`   // system properties of the host
	Interfaces       map[string]any    `json:"interfaces"`        // of the domain and the host
	Paths            map[string]any    `json:"paths,omitempty"`
	Processes        map[string]any    `json:"processes,omitempty"` // the host's, by name
	Realms           map[string]any    `json:"realms,omitempty"`    // the security realms that a profile names
	// Profiles have the subsystems by profile; Sockets the bindings by
	// socket-binding group; includes are already followed.
	Profiles map[string]map[string]any `json:"profiles"`
	Sockets  map[string]map[string]any `json:"socket-binding-groups"`
	Groups   map[string]map[string]any `json:"server-groups"`
	Servers  []ServerSpec              `json:"servers"` // by name
}

// ServerSpec is one server of a host. Expressions are as they were written.
type ServerSpec struct {
	Name      string `json:"name"`
	Group     string `json:"group"`
	Profile   string `json:"profile"`
	Sockets   string `json:"socket-binding-group"`
	AutoStart any    `json:"auto-start"` // a bool, or an expression
	// Settings are the server's attributes and children as nested maps: its own
	// system properties, interfaces, paths and process settings.
	Settings map[string]any `json:"settings"`
}

// Snapshot gives what a host needs of a tree. It refuses a host that is not in
// the tree and names that lead nowhere.
func Snapshot(t profiles.Tree, host string, revision uint64) (HostSnapshot, error) {
	at := profiles.Address{{Type: "host", Name: host}}
	if !t.Has(at) {
		return HostSnapshot{}, problem.NotFound.Errorf("cannot make a snapshot: host %q is not in the domain (hosts: %v)", host, t.Names(nil, "host"))
	}
	site, _ := t.Value(at, "site").(string)
	s := HostSnapshot{
		Host: host, Site: site, Revision: revision,
		DomainProperties: properties(t, nil),
		HostProperties:   properties(t, at),
		Interfaces:       overlay(t, at, "interface"),
		Paths:            overlay(t, at, "path"),
		Processes:        children(t, at, "process"),
		Profiles:         map[string]map[string]any{},
		Sockets:          map[string]map[string]any{},
		Groups:           map[string]map[string]any{},
	}
	for _, name := range t.Names(at, "server-config") {
		if err := s.add(t, at.Child("server-config", name)); err != nil {
			return HostSnapshot{}, problem.Invalid.Errorf("cannot make a snapshot of host %q: %w", host, err)
		}
	}
	s.Realms = s.usedRealms(realms(t, at))
	return s, nil
}

// add takes one server and what it uses into the snapshot.
func (s *HostSnapshot) add(t profiles.Tree, at profiles.Address) error {
	name := at.Last().Name
	group, _ := t.Attribute(at, "group").(string)
	groupAt := profiles.Address{{Type: "server-group", Name: group}}
	if !t.Has(groupAt) {
		return problem.Invalid.Errorf("server %q is of server group %q, which does not exist", name, group)
	}
	profile, _ := t.Attribute(groupAt, "profile").(string)
	sockets, _ := t.Attribute(at, "socket-binding-group").(string)
	if sockets == "" {
		sockets, _ = t.Attribute(groupAt, "socket-binding-group").(string)
	}
	s.Groups[group] = t.Subtree(groupAt)
	if s.Profiles[profile] == nil {
		subsystems, err := t.Effective(profiles.Address{{Type: "profile", Name: profile}}, "subsystem")
		if err != nil {
			return problem.Invalid.Errorf("server group %q: %w", group, err)
		}
		s.Profiles[profile] = subsystems
	}
	if s.Sockets[sockets] == nil {
		bindings, err := socketGroup(t, sockets)
		if err != nil {
			return problem.Invalid.Errorf("server %q: %w", name, err)
		}
		s.Sockets[sockets] = bindings
	}
	s.Servers = append(s.Servers, ServerSpec{
		Name: name, Group: group, Profile: profile, Sockets: sockets,
		AutoStart: t.Value(at, "auto-start"), Settings: t.Subtree(at),
	})
	return nil
}

// socketGroup is a socket-binding group's attributes and its bindings, with
// those of the groups it includes.
func socketGroup(t profiles.Tree, name string) (map[string]any, error) {
	at := profiles.Address{{Type: "socket-binding-group", Name: name}}
	out := t.Attributes(at)
	if out == nil {
		out = map[string]any{}
	}
	for _, typ := range []string{bindingType, outboundType} {
		bindings, err := t.Effective(at, typ)
		if err != nil {
			return nil, err
		}
		out[typ] = bindings
	}
	return out, nil
}

const (
	bindingType  = "socket-binding"
	outboundType = "remote-destination-outbound-socket-binding"
)

// children are the resources of a type below an address, by name.
func children(t profiles.Tree, at profiles.Address, typ string) map[string]any {
	out := map[string]any{}
	for _, name := range t.Names(at, typ) {
		out[name] = t.Subtree(at.Child(typ, name))
	}
	return out
}

// overlay is the domain's resources of a type with the host's of the same name
// instead.
func overlay(t profiles.Tree, host profiles.Address, typ string) map[string]any {
	out := children(t, nil, typ)
	maps.Copy(out, children(t, host, typ))
	return out
}

var management = profiles.Element{Type: "core-service", Name: "management"}

// realms are the security realms of the host, and the domain's that it has not
// itself.
func realms(t profiles.Tree, host profiles.Address) map[string]any {
	out := children(t, profiles.Address{management}, "security-realm")
	maps.Copy(out, children(t, append(slices.Clone(host), management), "security-realm"))
	return out
}

// usedRealms are those that some profile of the snapshot names. Where a name is
// an expression, it may be any.
func (s *HostSnapshot) usedRealms(all map[string]any) map[string]any {
	used := map[string]bool{}
	for _, subsystems := range s.Profiles {
		collect(subsystems, "security-realm", used)
	}
	out := map[string]any{}
	for name, realm := range all {
		if used[name] || used[anyRealm] {
			out[name] = realm
		}
	}
	return out
}

const anyRealm = "*"

// collect finds the strings that stand below a key anywhere in nested maps.
func collect(v any, key string, found map[string]bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return
	}
	for k, e := range m {
		name, isText := e.(string)
		switch {
		case k == key && isText && profiles.IsExpression(name):
			found[anyRealm] = true
		case k == key && isText:
			found[name] = true
		default:
			collect(e, key, found)
		}
	}
}

// properties are the system properties below an address.
func properties(t profiles.Tree, at profiles.Address) map[string]string {
	out := map[string]string{}
	for _, name := range t.Names(at, "system-property") {
		value, _ := t.Attribute(at.Child("system-property", name), "value").(string)
		out[name] = value
	}
	return out
}

// Checksum is a hash of the content: two snapshots of a host with the same
// checksum differ in their revision at most.
func (s HostSnapshot) Checksum() string {
	s.Revision = 0
	text, err := json.Marshal(s)
	if err != nil { // values of a tree are plain
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// UnmarshalJSON reads a snapshot with its numbers exact.
func (s *HostSnapshot) UnmarshalJSON(data []byte) error {
	type plain HostSnapshot // without this method
	var p plain
	if err := exactJSON(data, &p); err != nil {
		return problem.Invalid.Errorf("cannot read a snapshot: %w", err)
	}
	for _, m := range []*map[string]any{&p.Interfaces, &p.Paths, &p.Processes, &p.Realms} {
		if err := normalize(m); err != nil {
			return err
		}
	}
	for _, named := range []map[string]map[string]any{p.Profiles, p.Sockets, p.Groups} {
		for name, m := range named {
			if err := normalize(&m); err != nil {
				return err
			}
			named[name] = m
		}
	}
	for i := range p.Servers {
		if err := normalize(&p.Servers[i].Settings); err != nil {
			return err
		}
	}
	*s = HostSnapshot(p)
	return nil
}

// Server finds a server by name.
func (s HostSnapshot) Server(name string) (ServerSpec, bool) {
	i := slices.IndexFunc(s.Servers, func(spec ServerSpec) bool { return spec.Name == name })
	if i < 0 {
		return ServerSpec{}, false
	}
	return s.Servers[i], true
}
