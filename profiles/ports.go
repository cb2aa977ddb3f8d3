package profiles

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// port is one port that a server of a host listens on.
type port struct {
	server  Address
	binding string
	address place
	number  int64
	basis   string // the expressions in it, whose values the host has the last word on
}

// place is where a port listens.
type place struct {
	everywhere bool   // by a literal value
	text       string // otherwise what it resolves to as far as the tree tells, and
	basis      string // the expressions in it
}

// clashes reports whether two ports are one and the same on every host. Options
// -D of an agent's command line and its environment are not in the tree, so
// values of different expressions, or of an expression and a literal, may
// differ there although they look equal here.
func (p port) clashes(q port) bool {
	return p.number == q.number && p.basis == q.basis &&
		(p.address.everywhere || q.address.everywhere || p.address == q.address)
}

// host checks that no two servers of a host listen on one port. What only the
// host can tell is left to it: it checks before anything starts.
func (c *checker) host(host string) {
	at := Address{{"host", host}}
	taken := map[int64][]port{}
	for _, name := range c.t.Names(at, "server-config") {
		for _, p := range c.serverPorts(at.Child("server-config", name)) {
			for _, q := range taken[p.number] {
				if p.clashes(q) {
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
	shift := c.offset(server, groupAt, socketsAt)
	offset, ok := number(shift, lookup)
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
		basis := expressions(b["port"])
		if fixed, _ := b["fixed-port"].(bool); !fixed {
			n += offset
			basis += expressions(shift)
		}
		if n < 1 || n > 65535 {
			if expressions(shift) != "" {
				continue
			}
			c.issue(server, "", "would listen on port %d (binding %q with its offset); ports are 1 to 65535", n, name)
			continue
		}
		on, _ := b["interface"].(string)
		if on == "" {
			on = interfaceName
		}
		out = append(out, port{server, name, c.address(server, on, lookup), n, basis})
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

// address is where an interface listens.
func (c *checker) address(server Address, name string, lookup Lookup) place {
	for _, a := range []Address{server, server.Parent(), nil} {
		at := a.Child("interface", name)
		if !c.t.Has(at) {
			continue
		}
		s, _ := c.t.Attribute(at, "inet-address").(string)
		text, err := Expand(s, lookup)
		if err != nil {
			text = ""
		}
		basis := expressions(s)
		return place{everywhere: basis == "" && (text == "" || text == "0.0.0.0" || text == "::"), text: text, basis: basis}
	}
	return place{everywhere: true}
}

// expressions is a value's text if it has expressions, "" otherwise.
func expressions(v any) string {
	if s, _ := v.(string); strings.Contains(s, "${") {
		return s
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
