package servergroups

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Lookup is what a host itself gives to expressions.
type Lookup struct {
	Properties map[string]string                // of -Dname=value; they go before everything
	Env        func(name string) (string, bool) // the environment; it goes before defaults only. nil for none
}

// EnvName is the environment variable of a name: upper case, dots and dashes to
// underscores.
func EnvName(name string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// level is where system properties are.
type level struct {
	at     profiles.Address
	values map[string]string
}

// names finds the values of names in expressions: -D, then system properties,
// the nearest level first, then the environment, then what is always known.
// Values of system properties may hold expressions; one that leads back to
// itself has no value.
type names struct {
	host   Lookup
	levels []level
	always map[string]string
}

func (n names) lookup(name string) (string, bool) {
	v, ok, err := n.find(name, nil)
	return v, ok && err == nil
}

func (n names) find(name string, busy []string) (string, bool, error) {
	if v, ok := n.host.Properties[name]; ok {
		return v, true, nil
	}
	for _, l := range n.levels {
		raw, ok := l.values[name]
		if !ok {
			continue
		}
		if slices.Contains(busy, name) {
			return "", false, problem.Invalid.Errorf("%q leads back to itself (%s)", name, strings.Join(append(busy, name), " -> "))
		}
		var inner error
		v, err := profiles.Expand(raw, func(other string) (string, bool) {
			v, ok, err := n.find(other, append(slices.Clip(busy), name))
			if err != nil {
				inner = err
			}
			return v, ok && err == nil
		})
		if inner != nil {
			err = inner
		}
		if err != nil {
			return "", false, problem.Invalid.Errorf("cannot resolve %s: value: %w", l.at.Child("system-property", name), err)
		}
		return v, true, nil
	}
	if n.host.Env != nil {
		if v, ok := n.host.Env(EnvName(name)); ok {
			return v, true, nil
		}
	}
	v, ok := n.always[name]
	return v, ok, nil
}

// all are the system properties of a server, resolved, with those of -D.
func (n names) all() (map[string]string, error) {
	out := map[string]string{}
	for _, l := range n.levels {
		for _, name := range slices.Sorted(maps.Keys(l.values)) {
			v, _, err := n.find(name, nil)
			if err != nil {
				return nil, err
			}
			out[name] = v
		}
	}
	maps.Copy(out, n.host.Properties)
	return out, nil
}

// Resolve gives a server's configuration: expressions resolved on its host,
// defaults filled in. An expression that cannot be resolved is an error that
// names its address.
func (s HostSnapshot) Resolve(server string, lookup Lookup) (ServerConfig, error) {
	spec, ok := s.Server(server)
	if !ok {
		return ServerConfig{}, problem.NotFound.Errorf("cannot resolve server %q: host %q has no such server", server, s.Host)
	}
	r := s.resolver(spec, lookup)
	c, err := r.config()
	if err != nil {
		return ServerConfig{}, problem.Invalid.Errorf("cannot resolve the configuration of server %q on host %q: %w", server, s.Host, err)
	}
	return c, nil
}

// resolver resolves one server of a host, or a standalone server.
type resolver struct {
	mode       profiles.Mode
	snapshot   HostSnapshot
	spec       ServerSpec
	names      names
	at         profiles.Address // the server
	group      map[string]any
	sockets    map[string]any
	subsystems map[string]any
	profile    profiles.Address // above the subsystems
	host       profiles.Address
}

func (s HostSnapshot) resolver(spec ServerSpec, lookup Lookup) *resolver {
	host := profiles.Address{{Type: "host", Name: s.Host}}
	server := host.Child("server-config", spec.Name)
	return &resolver{
		mode: profiles.Domain, snapshot: s, spec: spec, at: server, host: host,
		group: s.Groups[spec.Group], sockets: s.Sockets[spec.Sockets],
		subsystems: s.Profiles[spec.Profile], profile: profiles.Address{{Type: "profile", Name: spec.Profile}},
		names: names{
			host: lookup,
			levels: []level{
				{server, nestedProperties(spec.Settings)},
				{host, s.HostProperties},
				{profiles.Address{{Type: "server-group", Name: spec.Group}}, nestedProperties(s.Groups[spec.Group])},
				{nil, s.DomainProperties},
			},
			always: map[string]string{"jboss.server.name": spec.Name, "jboss.host.name": s.Host, "jboss.domain.server.group": spec.Group},
		},
	}
}

// nestedProperties are the system properties in a nested resource.
func nestedProperties(nested map[string]any) map[string]string {
	out := map[string]string{}
	named, _ := nested["system-property"].(map[string]any)
	for name, p := range named {
		m, _ := p.(map[string]any)
		out[name], _ = m["value"].(string)
	}
	return out
}

func (r *resolver) config() (ServerConfig, error) {
	c := ServerConfig{
		Name: r.spec.Name, Host: r.snapshot.Host, Group: r.spec.Group, Profile: r.spec.Profile,
		Revision: r.snapshot.Revision,
	}
	steps := []func(*ServerConfig) error{r.properties, r.server, r.ports, r.process, r.paths, r.services, r.realms}
	for _, step := range steps {
		if err := step(&c); err != nil {
			return ServerConfig{}, err
		}
	}
	return c, nil
}

func (r *resolver) properties(c *ServerConfig) (err error) {
	c.SystemProperties, err = r.names.all()
	return err
}

// server resolves the server's own attributes.
func (r *resolver) server(c *ServerConfig) error {
	site, err := profiles.Expand(r.snapshot.Site, r.names.lookup)
	if err != nil {
		return problem.Invalid.Errorf("%s: site: %w", r.host, err)
	}
	c.Site, c.AutoStart, c.Restart = site, true, "always"
	if r.mode == profiles.Standalone {
		return nil
	}
	d, err := r.mode.Describe(r.at)
	if err != nil {
		return err
	}
	own, err := d.Resolve(r.at, withoutChildren(r.spec.Settings, d), r.names.lookup)
	if err != nil {
		return err
	}
	c.AutoStart, _ = own["auto-start"].(bool)
	c.Restart, _ = own["restart-policy"].(string)
	return nil
}

// withoutChildren are the attributes of a nested resource.
func withoutChildren(nested map[string]any, d *profiles.Description) map[string]any {
	out := map[string]any{}
	for _, a := range d.Attributes {
		if v, ok := nested[a.Name]; ok {
			out[a.Name] = v
		}
	}
	return out
}

// services resolves the subsystems.
func (r *resolver) services(c *ServerConfig) error {
	c.Subsystems = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(r.subsystems)) {
		at := r.profile.Child("subsystem", name)
		d, err := r.mode.Describe(at)
		if err != nil {
			continue // of another version: this one does nothing with it
		}
		nested, _ := r.subsystems[name].(map[string]any)
		resolved, err := d.Resolve(at, nested, r.names.lookup)
		if err != nil {
			return err
		}
		c.Subsystems[name] = resolved
	}
	identity, ok := c.Subsystems["identity"].(map[string]any)
	if !ok {
		return nil
	}
	if _, err := profiles.ServerFeatures(identity, nil, c.SystemProperties); err != nil {
		return problem.Invalid.Errorf("%s: %w", r.profile.Child("subsystem", "identity"), err)
	}
	return nil
}

// realms resolves the security realms that the subsystems name.
func (r *resolver) realms(c *ServerConfig) error {
	used := map[string]bool{}
	collect(c.Subsystems, "security-realm", used)
	c.Realms = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		nested, ok := r.snapshot.Realms[name].(map[string]any)
		at := append(slices.Clone(r.host), management).Child("security-realm", name)
		if !ok {
			return problem.Invalid.Errorf("%s does not exist, but a listener of profile %q uses it; add it on this host", at, r.spec.Profile)
		}
		d, err := r.mode.Describe(at)
		if err != nil {
			return err
		}
		resolved, err := d.Resolve(at, nested, r.names.lookup)
		if err != nil {
			return err
		}
		c.Realms[name] = resolved
	}
	return nil
}

func (r *resolver) paths(c *ServerConfig) error {
	c.Paths = map[string]string{}
	own, _ := r.spec.Settings["path"].(map[string]any)
	for _, all := range []map[string]any{r.snapshot.Paths, own} {
		for name, v := range all {
			m, _ := v.(map[string]any)
			raw, _ := m["path"].(string)
			p, err := profiles.Expand(raw, r.names.lookup)
			if err != nil {
				return problem.Invalid.Errorf("path %q: %w", name, err)
			}
			if base, ok := m["relative-to"].(string); ok && !strings.HasPrefix(p, "/") {
				p = "${" + base + "}/" + p // joined below, once all are known
			}
			c.Paths[name] = p
		}
	}
	for name := range c.Paths {
		p, err := r.joined(c.Paths, name, nil)
		if err != nil {
			return err
		}
		c.Paths[name] = p
	}
	return nil
}

// joined follows relative-to: other paths, then system properties, as
// jboss.server.config.dir.
func (r *resolver) joined(paths map[string]string, name string, seen []string) (string, error) {
	if slices.Contains(seen, name) {
		return "", problem.Invalid.Errorf("path %q is relative to itself", name)
	}
	p, ok := paths[name]
	if !ok {
		v, found := r.names.lookup(name)
		if !found {
			return "", problem.Invalid.Errorf("a path is relative to %q, which does not exist", name)
		}
		return v, nil
	}
	base, rest, relative := strings.Cut(strings.TrimPrefix(p, "${"), "}/")
	if !relative || !strings.HasPrefix(p, "${") {
		return p, nil
	}
	above, err := r.joined(paths, base, append(seen, name))
	return above + "/" + rest, err
}
