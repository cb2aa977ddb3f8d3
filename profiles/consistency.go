package profiles

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Issue is what is wrong with a tree as a whole at one place.
type Issue struct {
	Address   Address
	Attribute string
	Message   string
}

// String is the issue with its place.
func (i Issue) String() string {
	if i.Attribute == "" {
		return i.Address.String() + ": " + i.Message
	}
	return fmt.Sprintf("%s: %s %s", i.Address, i.Attribute, i.Message)
}

// Check lists what is wrong with the tree as a whole: names that lead nowhere,
// features that do not exist, two servers of one host on one port. Values that
// only a host can resolve are left to Resolve of package servergroups.
func (t Tree) Check() []Issue {
	c := checker{t: t}
	t.Walk(func(a Address, attrs map[string]any) { c.resource(a, attrs) })
	c.groups()
	for _, h := range t.Names(nil, "host") {
		c.host(h)
	}
	return c.issues
}

// check refuses the tree if the changes that led to it broke it. It looks only
// where they can have: a domain may have thousands of hosts.
func (t Tree) check(changes ChangeSet) error {
	c := checker{t: t}
	hosts := map[string]bool{}
	var all, groups, ports bool
	for _, ch := range changes {
		head, rest := ch.Address[:min(1, len(ch.Address))].Last(), ch.Address
		if head.Type == "host" {
			hosts[head.Name] = true
			all = all || ch.Kind == Removed && len(rest) > 2 // as a security realm
		} else {
			groups = true
			all = all || ch.Kind == Removed
			ports = ports || head.Type != "profile" && head.Type != "core-service" && head.Type != "subsystem"
		}
		if ch.Kind != Removed {
			c.resource(rest, t.Attributes(rest))
		}
	}
	if all {
		c.issues = nil
		t.Walk(func(a Address, attrs map[string]any) { c.resource(a, attrs) })
	}
	if all || groups {
		c.groups()
	}
	for _, h := range t.Names(nil, "host") {
		if ports || hosts[h] {
			c.host(h)
		}
	}
	return refuse(c.issues)
}

func refuse(issues []Issue) error {
	if len(issues) == 0 {
		return nil
	}
	const most = 8
	var lines []string
	for _, i := range issues[:min(most, len(issues))] {
		lines = append(lines, i.String())
	}
	if n := len(issues) - most; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", n))
	}
	return problem.Invalid.Errorf("%s", strings.Join(lines, "; "))
}

type checker struct {
	t       Tree
	issues  []Issue
	sockets map[string]map[string]any // bindings by socket-binding group, once computed
}

func (c *checker) issue(a Address, attr, format string, args ...any) {
	c.issues = append(c.issues, Issue{slices.Clone(a), attr, fmt.Sprintf(format, args...)})
}

// resource checks the references of one resource that do not depend on the
// server that uses it.
func (c *checker) resource(a Address, attrs map[string]any) {
	d, err := c.t.Mode().Describe(a)
	if err != nil {
		return
	}
	for _, attr := range d.Attributes {
		v := attrs[attr.Name]
		if v == nil {
			continue
		}
		if attr.Reference != "" {
			for _, name := range names(v) {
				c.reference(a, attr, name)
			}
		}
	}
	if a.Last() == (Element{"subsystem", "identity"}) {
		if err := CheckFeatures(attrs); err != nil {
			c.issue(a, "features", "%v", err)
		}
	}
	if a.Last().Type == "system-property" {
		if err := checkFeatureProperty(a.Last().Name, attrs["value"]); err != nil {
			c.issue(a, "value", "%v", err)
		}
	}
	if c.inHTTP(a) {
		c.web(a, attrs)
	}
	if attrs["includes"] != nil {
		if _, err := c.t.Effective(a, ""); err != nil {
			c.issue(a, "includes", "%v", err)
		}
	}
}

// names are the names in a reference: a string, or a list of them.
func names(v any) []string {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, e := range list {
		if s, ok := e.(string); ok && !IsExpression(s) {
			out = append(out, s)
		}
	}
	return out
}

func (c *checker) reference(a Address, attr Attribute, name string) {
	var valid []string
	switch attr.Reference {
	case "profile", "socket-binding-group", "server-group":
		valid = c.t.Names(nil, attr.Reference)
		if c.t.Mode() == Standalone && attr.Reference == "server-group" {
			return
		}
	case "interface":
		valid = c.t.Names(nil, "interface")
		for i := range a {
			valid = append(valid, c.t.Names(a[:i+1], "interface")...)
		}
	case "jdbc-driver":
		valid = c.t.childNames(a.Parent(), "jdbc-driver")
	case handlerReference:
		valid = c.inSubsystem(a, handlerTypes...)
	case formatterReference:
		if strings.Contains(name, "%") {
			return // a pattern
		}
		valid = append(c.inSubsystem(a, "pattern-formatter", "json-formatter"), "auto", "text", "json")
	case "handler":
		valid = c.t.Names(subsystemOf(a).Child("configuration", "handler"), "reverse-proxy")
	case "http-server":
		if valid = c.t.Names(a, "server"); len(valid) == 0 {
			return // of an included profile
		}
	case "http-host":
		valid = c.t.Names(a, "host")
	case "security-realm":
		valid = c.realms()
	default: // bindings depend on the server group
		return
	}
	if !slices.Contains(valid, name) {
		c.issue(a, attr.Name, "names the %s %q, which does not exist%s", attr.Reference, name, suggest(name, valid))
	}
}

// inSubsystem lists the children of types of a's subsystem, those of included
// profiles too.
func (c *checker) inSubsystem(a Address, types ...string) (valid []string) {
	s := subsystemOf(a)
	places := []Address{s}
	if s[0].Type == "profile" {
		for _, p := range c.included(s[0].Name, nil)[1:] {
			if at := (Address{{"profile", p}}).Join(s[1:]); c.t.Has(at) {
				places = append(places, at)
			}
		}
	}
	for _, at := range places {
		for _, typ := range types {
			valid = append(valid, c.t.childNames(at, typ)...)
		}
	}
	return valid
}

// subsystemOf is the address up to the subsystem.
func subsystemOf(a Address) Address {
	for i, e := range a {
		if e.Type == "subsystem" {
			return a[:i+1]
		}
	}
	return a
}

// realms are the security realms of the root and of all hosts: which host a
// server will be on, a profile does not know.
func (c *checker) realms() []string {
	all := c.t.Names(Address{{"core-service", "management"}}, "security-realm")
	for _, h := range c.t.Names(nil, "host") {
		all = append(all, c.t.Names(Address{{"host", h}, {"core-service", "management"}}, "security-realm")...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// groups checks that the ports that a profile names are in the socket-binding
// groups that its servers use.
func (c *checker) groups() {
	if c.t.Mode() == Standalone {
		valid := map[string][]string{}
		for _, g := range c.t.Names(nil, "socket-binding-group") {
			c.bindings(Address{{"socket-binding-group", g}}, valid)
		}
		c.ports(nil, valid, "")
		return
	}
	for _, g := range c.t.Names(nil, "server-group") {
		at := Address{{"server-group", g}}
		profile, _ := c.t.Attribute(at, "profile").(string)
		sockets, _ := c.t.Attribute(at, "socket-binding-group").(string)
		group := Address{{"socket-binding-group", sockets}}
		if !c.t.Has(group) || !c.t.Has(Address{{"profile", profile}}) {
			continue // an issue already
		}
		valid := map[string][]string{}
		c.bindings(group, valid)
		for _, p := range c.included(profile, nil) {
			c.ports(Address{{"profile", p}}, valid, fmt.Sprintf(" in socket-binding group %q of server group %q", sockets, g))
		}
	}
}

// included lists a profile and those it includes.
func (c *checker) included(profile string, seen []string) []string {
	if slices.Contains(seen, profile) {
		return seen
	}
	seen = append(seen, profile)
	for _, name := range names(c.t.Attribute(Address{{"profile", profile}}, "includes")) {
		seen = c.included(name, seen)
	}
	return seen
}

// bindings adds the names of a socket-binding group's bindings, by reference.
func (c *checker) bindings(group Address, valid map[string][]string) {
	for ref, typ := range map[string]string{"socket-binding": "socket-binding", "outbound-socket-binding": "remote-destination-outbound-socket-binding"} {
		all, err := c.t.Effective(group, typ)
		if err != nil {
			continue // an issue already
		}
		for name := range all {
			valid[ref] = append(valid[ref], name)
		}
	}
}

// ports checks the references to bindings below an address.
func (c *checker) ports(a Address, valid map[string][]string, where string) {
	n := c.t.at(a)
	if n == nil {
		return
	}
	n.children["subsystem"]["http"].walkFrom(a.Child("subsystem", "http"), func(at Address, attrs map[string]any) {
		d, err := c.t.Mode().Describe(at)
		if err != nil {
			return
		}
		for _, attr := range d.Attributes {
			if attr.Reference != "socket-binding" && attr.Reference != "outbound-socket-binding" || attrs[attr.Name] == nil {
				continue
			}
			for _, name := range names(attrs[attr.Name]) {
				if !slices.Contains(valid[attr.Reference], name) {
					c.issue(at, attr.Name, "names the %s %q, which does not exist%s%s", attr.Reference, name, where, suggest(name, valid[attr.Reference]))
				}
			}
		}
	})
}

func (n *node) walkFrom(a Address, f func(Address, map[string]any)) {
	if n != nil {
		n.walk(a, f)
	}
}
