package servergroups

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Effect says what a running server needs to go from one configuration to
// another, and which changes that is for. Addresses are those inside the
// server: /subsystem=identity/theme=defaults. Its revision does not count.
func Effect(old, next ServerConfig) (profiles.Effect, []profiles.Change) {
	var d differ
	d.process(old, next)
	d.bindings(old, next)
	d.properties(old.SystemProperties, next.SystemProperties)
	d.nested(nil, "subsystem", old.Subsystems, next.Subsystems)
	d.nested(profiles.Address{management}, "security-realm", old.Realms, next.Realms)
	effect := profiles.ChangeSet(d.changes).Effect()
	return effect, d.changes
}

type differ struct{ changes []profiles.Change }

func (d *differ) add(effect profiles.Effect, at profiles.Address, attribute string, old, next any) {
	d.changes = append(d.changes, profiles.Change{Kind: profiles.Written, Address: at, Attribute: attribute, Old: old, New: next, Effect: effect})
}

// process compares what is fixed when a process starts.
func (d *differ) process(old, next ServerConfig) {
	at := profiles.Address{{Type: "process", Name: "default"}}
	if old.Process.MemoryLimit != next.Process.MemoryLimit {
		d.add(profiles.Restart, at, "memory-limit", old.Process.MemoryLimit, next.Process.MemoryLimit)
	}
	if !maps.Equal(old.Process.Environment, next.Process.Environment) {
		d.add(profiles.Restart, at, "environment", plainMap(old.Process.Environment), plainMap(next.Process.Environment))
	}
	if !slices.Equal(old.Process.Arguments, next.Process.Arguments) {
		d.add(profiles.Restart, at, "arguments", plainList(old.Process.Arguments), plainList(next.Process.Arguments))
	}
	if old.Site != next.Site {
		d.add(profiles.Restart, nil, "site", old.Site, next.Site)
	}
	if old.Group != next.Group {
		d.add(profiles.Restart, nil, "group", old.Group, next.Group)
	}
	if old.AutoStart != next.AutoStart {
		d.add(profiles.None, nil, "auto-start", old.AutoStart, next.AutoStart) // the agent's business
	}
	if !maps.Equal(old.Paths, next.Paths) {
		d.add(profiles.Reload, nil, "paths", plainMap(old.Paths), plainMap(next.Paths))
	}
}

func (d *differ) bindings(old, next ServerConfig) {
	for _, name := range union(old.Bindings, next.Bindings) {
		if o, n := old.Bindings[name], next.Bindings[name]; o != n {
			d.add(profiles.Restart, profiles.Address{{Type: bindingType, Name: name}}, "port", o.Listen(), n.Listen())
		}
	}
	for _, name := range union(old.Outbound, next.Outbound) {
		if o, n := old.Outbound[name], next.Outbound[name]; o != n {
			d.add(profiles.Reload, profiles.Address{{Type: outboundType, Name: name}}, "host", o.Dial(), n.Dial())
		}
	}
}

// properties compares system properties. Where they are used in expressions the
// attributes themselves differ; feature switches are read at boot.
func (d *differ) properties(old, next map[string]string) {
	for _, name := range union(old, next) {
		o, was := old[name]
		n, is := next[name]
		if o == n && was == is {
			continue
		}
		effect := profiles.Reload
		if strings.HasPrefix(name, "keycloak.profile") {
			effect = profiles.Restart
		}
		d.add(effect, profiles.Address{{Type: "system-property", Name: name}}, "value", o, n)
	}
}

// nested compares resolved resources of a type with their descriptions.
func (d *differ) nested(parent profiles.Address, typ string, old, next map[string]any) {
	for _, name := range union(old, next) {
		at := parent.Child(typ, name)
		o, was := old[name].(map[string]any)
		n, is := next[name].(map[string]any)
		desc, err := profiles.Standalone.Describe(at)
		if err != nil || was != is {
			if !profiles.Equal(old[name], next[name]) {
				d.add(profiles.Restart, at, "", old[name], next[name])
			}
			continue
		}
		d.changes = append(d.changes, desc.DiffResolved(at, o, n)...)
	}
}

func union[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

func plainMap(m map[string]string) any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func plainList(l []string) any {
	out := make([]any, len(l))
	for i, v := range l {
		out[i] = v
	}
	return out
}
