package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// compatible says in words, and by its result, whether next may replace old
// server by server.
func compatible(out io.Writer, old, next updateMetadata) bool {
	c := comparison{out: out, ofGroup: map[string]bool{}}
	if !sameMinor(old.Version, next.Version) {
		c.refuse("gatehouse.version", old.Version, next.Version)
	}
	before := hostlink.Speaks{Oldest: old.OldestProtocol, Newest: old.NewestProtocol, Version: old.Version}
	after := hostlink.Speaks{Oldest: next.OldestProtocol, Newest: next.NewestProtocol, Version: next.Version}
	if hostlink.Negotiate(before, after) == 0 {
		c.refuse("gatehouse.protocol", before, after)
	}
	c.schema(old, next)
	for _, group := range slices.Sorted(maps.Keys(next.Groups)) {
		if ran, ok := old.Groups[group]; ok {
			c.group(group, ran, next.Groups[group])
		} else {
			fmt.Fprintf(out, "server group %s: new\n", group)
		}
	}
	if old.Servers != nil { // written by a version that looked at each
		c.servers(old.Servers, next.Servers)
	}
	for _, refusal := range c.refusals {
		fmt.Fprintln(out, "[gatehouse] Rolling Update is not available.", refusal)
	}
	if len(c.refusals) == 0 {
		fmt.Fprintln(out, "[OK] Rolling Update is available.")
	}
	return len(c.refusals) == 0
}

// comparison is what was found so far.
type comparison struct {
	out      io.Writer
	refusals []string
	// ofGroup has the changes of whole groups, which are not told again of each
	// of their servers.
	ofGroup map[string]bool
}

func (c *comparison) refuse(what string, from, to any) {
	c.refusals = append(c.refusals, fmt.Sprintf("'%s' is incompatible: %v -> %v", what, from, to))
}

// schema refuses two programs that cannot use one database: the older of them
// has to know the oldest version that the newer one's schema still serves.
func (c *comparison) schema(old, next updateMetadata) {
	if old.Schema == 0 || next.Schema == 0 { // written by a version that told none
		return
	}
	if min(old.Schema, next.Schema) < max(old.OldestSchema, next.OldestSchema) {
		c.refuse("gatehouse.schema", old.Schema, next.Schema)
	}
}

func (c *comparison) group(name string, from, to servergroups.ServerConfig) {
	effect, changes := servergroups.Effect(from, to)
	for _, change := range changes {
		c.ofGroup[name+" "+change.String()] = true
	}
	c.tell("server group "+name, name, effect, changes)
}

// servers compares what hosts and servers add to their groups, or take away.
func (c *comparison) servers(from, to map[string]servergroups.ServerConfig) {
	for _, name := range slices.Sorted(maps.Keys(to)) {
		config := to[name]
		ran, ok := from[name]
		if !ok {
			fmt.Fprintf(c.out, "server %s: new\n", name)
			continue
		}
		if ran.Group != config.Group {
			fmt.Fprintf(c.out, "server %s: group %s -> %s\n", name, ran.Group, config.Group)
		}
		_, changes := servergroups.Effect(ran, config)
		changes = slices.DeleteFunc(changes, func(change profiles.Change) bool {
			return c.ofGroup[config.Group+" "+change.String()]
		})
		c.tell("server "+name, name, profiles.ChangeSet(changes).Effect(), changes)
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if _, stays := to[name]; !stays {
			fmt.Fprintf(c.out, "server %s: removed\n", name)
		}
	}
}

// tell says what changed, and refuses what servers of one cluster cannot differ
// in.
func (c *comparison) tell(what, name string, effect profiles.Effect, changes []profiles.Change) {
	if len(changes) > 0 {
		fmt.Fprintf(c.out, "%s: %s\n", what, cmp.Or(effect.String(), "none"))
	}
	for _, change := range changes {
		fmt.Fprintf(c.out, "  %s\n", change)
		if servergroups.Joint(change) {
			change = change.Masked()
			c.refuse(strings.TrimSpace(name+" "+change.Address.String()+" "+change.Attribute), profiles.Format(change.Old), profiles.Format(change.New))
		}
	}
}
