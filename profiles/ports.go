package profiles

import (
	"maps"
	"slices"
	"strconv"
)

// port is one port that a server of a host listens on.
type port struct {
	server  Address
	binding string
	address string // "" for all addresses
	number  int64
}

// host checks that no two servers of a host listen on one port. What only the
// host can resolve is left out; it is checked there again.
func (c *checker) host(host string) {
	at := Address{{"host", host}}
	taken := map[int64][]port{}
	for _, name := range c.t.Names(at, "server-config") {
		for _, p := range c.serverPorts(at.Child("server-config", name)) {
			for _, q := range taken[p.number] {
				if q.address == p.address || q.address == "" || p.address == "" {
					c.issue(p.server, "", "listens on port %d (binding %q), and so does server %q of the host (binding %q); give one of them another port offset", p.number, p.binding, q.server.Last().Name, q.binding)
				}
			}
			taken[p.number] = append(taken[p.number], p)
		}
	}
}

// serverPorts are the ports of one server as far as the tree tells.
func (c *checker) serverPorts(server Address) []port {
	lookup := c.t.Lookup(server)
	group, _ := c.t.Attribute(server, "group").(string)
	groupAt := Address{{"server-group", group}}
	sockets, _ := c.first("socket-binding-group", server, groupAt).(string)
	socketsAt := Address{{"socket-binding-group", sockets}}
	bindings := c.bindingsOf(socketsAt)
	offset, ok := number(c.offset(server, groupAt, socketsAt), lookup)
	if !ok {
		return nil
	}
	interfaceName, _ := c.first("socket-binding-default-interface", server, groupAt).(string)
	if interfaceName == "" {
		interfaceName, _ = c.t.Attribute(socketsAt, "default-interface").(string)
	}
	var out []port
	for _, name := range slices.Sorted(maps.Keys(bindings)) {
		b, _ := bindings[name].(map[string]any)
		n, ok := number(b["port"], lookup)
		if !ok || n == 0 {
			continue
		}
		if fixed, _ := b["fixed-port"].(bool); !fixed {
			n += offset
		}
		if n < 1 || n > 65535 {
			c.issue(server, "", "would listen on port %d (binding %q with its offset); ports are 1 to 65535", n, name)
			continue
		}
		on, _ := b["interface"].(string)
		if on == "" {
			on = interfaceName
		}
		out = append(out, port{server, name, c.address(server, on, lookup), n})
	}
	return out
}

// bindingsOf are a socket-binding group's bindings; none where it is not there,
// which is an issue already.
func (c *checker) bindingsOf(sockets Address) map[string]any {
	name := sockets.Last().Name
	if b, ok := c.sockets[name]; ok {
		return b
	}
	b, err := c.t.Effective(sockets, "socket-binding")
	if err != nil {
		b = nil
	}
	if c.sockets == nil {
		c.sockets = map[string]map[string]any{}
	}
	c.sockets[name] = b
	return b
}

// first is the attribute of the first resource that has it.
func (c *checker) first(name string, at ...Address) any {
	for _, a := range at {
		if v := c.t.Attribute(a, name); v != nil {
			return v
		}
	}
	return nil
}

func (c *checker) offset(server, group, sockets Address) any {
	if v := c.first("socket-binding-port-offset", server, group); v != nil {
		return v
	}
	if v := c.t.Attribute(sockets, "port-offset"); v != nil {
		return v
	}
	return int64(0)
}

// address is where an interface listens; "" when that is everywhere or not
// known here.
func (c *checker) address(server Address, name string, lookup Lookup) string {
	for _, a := range []Address{server, server.Parent(), nil} {
		at := a.Child("interface", name)
		if !c.t.Has(at) {
			continue
		}
		s, _ := c.t.Attribute(at, "inet-address").(string)
		if out, err := Expand(s, lookup); err == nil && out != "0.0.0.0" && out != "::" {
			return out
		}
		return ""
	}
	return ""
}

// number is a port or an offset, resolved as far as the tree tells.
func number(v any, lookup Lookup) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case string:
		s, err := Expand(v, lookup)
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	return 0, false
}
