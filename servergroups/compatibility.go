package servergroups

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Representative resolves, for each server group of a domain, the configuration
// of one server of it that has no settings of its own and no host's. What hosts
// and servers add is not in it.
func Representative(t profiles.Tree, lookup Lookup) (map[string]ServerConfig, error) {
	const one = "any" // names a host and a server that are in no domain
	out := map[string]ServerConfig{}
	host := profiles.Address{{Type: "host", Name: one}}
	for _, name := range t.Names(nil, "host") {
		next, _, _, err := profiles.Apply(t, profiles.Operation{Name: "remove", Address: profiles.Address{{Type: "host", Name: name}}})
		if err != nil {
			return nil, err
		}
		t = next
	}
	for _, group := range t.Names(nil, "server-group") {
		with, _, _, err := profiles.Apply(t, profiles.Composite(
			profiles.Operation{Name: "add", Address: host},
			profiles.Operation{Name: "add", Address: host.Child("server-config", one), Params: map[string]any{"group": group}}))
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot resolve server group %q: %w", group, err)
		}
		snapshot, err := Snapshot(with, one, 0)
		if err != nil {
			return nil, err
		}
		if out[group], err = snapshot.Resolve(one, lookup); err != nil {
			return nil, problem.Invalid.Errorf("cannot resolve server group %q: %w", group, err)
		}
	}
	return out, nil
}

// Every resolves the configuration of every server of a domain, by "host/server".
// What only the host itself knows, as its environment, must be in lookup.
func Every(t profiles.Tree, lookup Lookup) (map[string]ServerConfig, error) {
	out := map[string]ServerConfig{}
	for _, host := range t.Names(nil, "host") {
		snapshot, err := Snapshot(t, host, 0)
		if err != nil {
			return nil, err
		}
		for _, s := range snapshot.Servers {
			if out[host+"/"+s.Name], err = snapshot.Resolve(s.Name, lookup); err != nil {
				return nil, problem.WithHint(problem.Invalid.Errorf("cannot resolve server %q of host %q: %w", s.Name, host, err),
					"give what only that host knows with -Dname=value")
			}
		}
	}
	return out, nil
}

// joint are settings that the servers of a cluster must have in common: with two
// values of one, some of them would not find each other, or serve other data, or
// be reached at other addresses. An empty attribute means every one, and that
// the resource is there.
var joint = []struct {
	address   []string // a type and name a step, "*" for any name
	attribute string
}{
	{[]string{"subsystem", "cluster"}, "default-stack"},
	{[]string{"subsystem", "cluster"}, "site"},
	{[]string{"subsystem", "cluster", "stack", "*"}, ""},
	{[]string{"subsystem", "caches", "cache-container", "*"}, "engine"},
	{[]string{"subsystem", "caches", "cache-container", "*"}, "remote-servers"},
	{[]string{"subsystem", "caches", "cache-container", "*", "transport", "jgroups"}, "stack"},
	{[]string{"subsystem", "caches", "cache-container", "*", "local-cache", "*"}, present},
	{[]string{"subsystem", "caches", "cache-container", "*", "distributed-cache", "*"}, present},
	{[]string{"subsystem", "caches", "cache-container", "*", "distributed-cache", "*"}, "segments"},
	{[]string{"subsystem", "caches", "cache-container", "*", "replicated-cache", "*"}, present},
	{[]string{"subsystem", "datasources", "data-source", "*"}, "connection-url"},
	{[]string{"subsystem", "datasources", "data-source", "*"}, "driver-name"},
	{[]string{"subsystem", "datasources", "data-source", "*"}, "schema"},
	{[]string{"subsystem", "identity"}, present},
	{[]string{"subsystem", "identity"}, "web-context"},
	{[]string{"subsystem", "identity"}, "master-realm-name"},
	{[]string{"subsystem", "identity"}, "session-persistence"},
	{[]string{}, "site"},
}

// present stands for a resource's being there, as an attribute.
const present = "(present)"

// Joint reports whether a change between two configurations of a server, as
// Effect gives it, is one that servers of one cluster cannot differ in: it needs
// all of them stopped.
func Joint(c profiles.Change) bool {
	attribute := c.Attribute
	if c.Kind != profiles.Written || attribute == "" {
		attribute = present
	}
	return slices.ContainsFunc(joint, func(j struct {
		address   []string
		attribute string
	}) bool {
		if len(j.address) != 2*len(c.Address) || j.attribute != "" && j.attribute != attribute {
			return false
		}
		for i, e := range c.Address {
			if j.address[2*i] != e.Type || j.address[2*i+1] != profiles.Wildcard && j.address[2*i+1] != e.Name {
				return false
			}
		}
		return true
	})
}

// credentials are those inside of addresses: user:password@, password=.
var credentials = regexp.MustCompile(`(?i)(://[^/@:\s]*:)([^/@\s]+)(@)|(\bpassword=)([^&;\s]+)`)

// Sealed is c with its secrets replaced by digests under a salt: whether one
// changed can be seen where the salt is the same, and none can be read.
func (c ServerConfig) Sealed(salt []byte) (ServerConfig, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return c, problem.Internal.Errorf("cannot seal the configuration of server %q: %w", c.Name, err)
	}
	var plain map[string]any
	if err := exactJSON(text, &plain); err != nil {
		return c, problem.Internal.Errorf("cannot seal the configuration of server %q: %w", c.Name, err)
	}
	digest := func(secret string) string {
		mac := hmac.New(sha256.New, salt)
		mac.Write([]byte(secret))
		return "digest:" + hex.EncodeToString(mac.Sum(nil)[:12])
	}
	if text, err = json.Marshal(sealed(plain, digest)); err != nil {
		return c, problem.Internal.Errorf("cannot seal the configuration of server %q: %w", c.Name, err)
	}
	var out ServerConfig
	return out, json.Unmarshal(text, &out)
}

func sealed(v any, digest func(string) string) any {
	switch v := v.(type) {
	case map[string]any:
		v = maps.Clone(v)
		for name, inner := range v {
			if secret, ok := inner.(string); ok && secret != "" && profiles.SensitiveKey(name) {
				v[name] = digest(secret)
				continue
			}
			v[name] = sealed(inner, digest)
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = sealed(v[i], digest)
		}
		return out
	case string:
		return credentials.ReplaceAllStringFunc(v, func(found string) string {
			part := credentials.FindStringSubmatch(found)
			return part[1] + part[4] + digest(part[2]+part[5]) + part[3]
		})
	}
	return v
}
