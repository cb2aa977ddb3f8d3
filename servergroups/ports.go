package servergroups

import (
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// ports resolves the bindings, the offset already added.
func (r *resolver) ports(c *ServerConfig) error {
	offset, err := r.offset()
	if err != nil {
		return err
	}
	c.PortOffset = int(offset)
	c.Bindings, c.Outbound = map[string]Binding{}, map[string]Outbound{}
	group := profiles.Address{{Type: "socket-binding-group", Name: r.spec.Sockets}}
	all, _ := r.sockets[bindingType].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		nested, _ := all[name].(map[string]any)
		b, err := r.binding(group.Child(bindingType, name), nested, offset)
		if err != nil {
			return err
		}
		c.Bindings[name] = b
	}
	out, _ := r.sockets[outboundType].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(out)) {
		nested, _ := out[name].(map[string]any)
		resolved, err := r.resolve(group.Child(outboundType, name), nested)
		if err != nil {
			return err
		}
		host, _ := resolved["host"].(string)
		c.Outbound[name] = Outbound{Host: host, Port: number(resolved["port"])}
	}
	return nil
}

func (r *resolver) resolve(at profiles.Address, nested map[string]any) (map[string]any, error) {
	d, err := r.mode.Describe(at)
	if err != nil {
		return nil, err
	}
	return d.Resolve(at, nested, r.names.lookup)
}

// offset is the server's, else its group's, else that of its sockets.
func (r *resolver) offset() (int64, error) {
	for _, v := range []any{
		r.spec.Settings["socket-binding-port-offset"],
		r.group["socket-binding-port-offset"],
		r.sockets["port-offset"],
	} {
		if v == nil {
			continue
		}
		attr := profiles.Attribute{Name: "socket-binding-port-offset", Type: profiles.Int}
		n, err := attr.Resolved(v, r.names.lookup)
		if err != nil {
			return 0, problem.Invalid.Errorf("cannot resolve the port offset: %w", err)
		}
		return n.(int64), nil
	}
	return 0, nil
}

func (r *resolver) binding(at profiles.Address, nested map[string]any, offset int64) (Binding, error) {
	resolved, err := r.resolve(at, nested)
	if err != nil {
		return Binding{}, err
	}
	b := Binding{Port: number(resolved["port"]), MulticastPort: number(resolved["multicast-port"])}
	b.MulticastAddress, _ = resolved["multicast-address"].(string)
	if fixed, _ := resolved["fixed-port"].(bool); !fixed && b.Port != 0 {
		b.Port += int(offset)
		if b.Port < 1 || b.Port > 65535 {
			return Binding{}, problem.Invalid.Errorf("%s: port %d with the offset %d is %d; ports are 1 to 65535", at, b.Port-int(offset), offset, b.Port)
		}
	}
	if b.Interface, _ = resolved["interface"].(string); b.Interface == "" {
		b.Interface = r.defaultInterface()
	}
	return b, r.address(at, &b)
}

func (r *resolver) defaultInterface() string {
	for _, v := range []any{
		r.spec.Settings["socket-binding-default-interface"],
		r.group["socket-binding-default-interface"],
		r.sockets["default-interface"],
	} {
		if s, ok := v.(string); ok {
			return s
		}
	}
	return ""
}

// address finds where the binding's interface listens: the server's interface,
// its host's, the domain's.
func (r *resolver) address(at profiles.Address, b *Binding) error {
	own, _ := r.spec.Settings["interface"].(map[string]any)
	nested, ok := own[b.Interface].(map[string]any)
	if !ok {
		nested, ok = r.snapshot.Interfaces[b.Interface].(map[string]any)
	}
	if !ok {
		return problem.Invalid.Errorf("%s: interface %q does not exist", at, b.Interface)
	}
	resolved, err := r.resolve(profiles.Address{{Type: "interface", Name: b.Interface}}, nested)
	if err != nil {
		return err
	}
	if all, _ := resolved["any-address"].(bool); all {
		return nil
	}
	if b.Address, _ = resolved["inet-address"].(string); b.Address == "" {
		b.Address, _ = resolved["loopback-address"].(string)
	}
	b.NIC, _ = resolved["nic"].(string)
	if b.Address == "" && b.NIC == "" {
		return problem.Invalid.Errorf("%s: interface %q has no address (valid: inet-address, any-address, nic, loopback-address)", at, b.Interface)
	}
	return nil
}

func number(v any) int {
	n, _ := v.(int64)
	return int(n)
}

// PortConflicts finds the ports that two of the servers of a host both want:
// one error for each, naming both servers and the port. Ports on different
// addresses do not conflict, and ports that the kernel chooses never do.
func PortConflicts(servers []ServerConfig) []error {
	type user struct{ server, binding, address string }
	taken := map[int][]user{}
	var out []error
	for _, s := range servers {
		for _, name := range slices.Sorted(maps.Keys(s.Bindings)) {
			b := s.Bindings[name]
			if b.Port == 0 {
				continue
			}
			for _, u := range taken[b.Port] {
				if everywhere(u.address) || everywhere(b.Address) || u.address == b.Address {
					out = append(out, problem.Conflict.Errorf("servers %q (binding %q) and %q (binding %q) both want port %d; give one of them another port offset", u.server, u.binding, s.Name, name, b.Port))
				}
			}
			taken[b.Port] = append(taken[b.Port], user{s.Name, name, b.Address})
		}
	}
	return out
}

func everywhere(address string) bool { return address == "" || address == "0.0.0.0" || address == "::" }
