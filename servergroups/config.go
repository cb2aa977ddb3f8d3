package servergroups

import (
	"bytes"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// ServerConfig is what a server boots from: every expression resolved, every
// default filled in. It is JSON-serialisable; what is read back from JSON has
// the same values by the accessors.
type ServerConfig struct {
	Name       string              `json:"name"`
	Host       string              `json:"host"`
	Group      string              `json:"group,omitempty"`
	Profile    string              `json:"profile,omitempty"`
	Site       string              `json:"site"`
	Revision   uint64              `json:"revision"`
	AutoStart  bool                `json:"auto-start"`
	Restart    string              `json:"restart-policy,omitempty"` // always, on-failure, never
	PortOffset int                 `json:"port-offset"`
	Process    Process             `json:"process"`
	Bindings   map[string]Binding  `json:"bindings"`
	Outbound   map[string]Outbound `json:"outbound,omitempty"`
	// SystemProperties are those of the model and of -D, the nearest level's.
	SystemProperties map[string]string `json:"system-properties"`
	// Paths are named folders, absolute or relative to the server's folder.
	Paths map[string]string `json:"paths,omitempty"`
	// Realms are security realms by name: nested maps as in Subsystems.
	Realms map[string]any `json:"realms,omitempty"`
	// Subsystems are nested maps by plain names: attributes and child types
	// side by side, children by name below their type:
	// {"identity":{"web-context":"auth","spi":{"dblock":{"provider":{"jpa":{"enabled":true}}}}}}
	Subsystems map[string]any `json:"subsystems"`
}

// UnmarshalJSON reads a configuration with its numbers exact.
func (c *ServerConfig) UnmarshalJSON(data []byte) error {
	type plain ServerConfig // without this method
	var p plain
	if err := exactJSON(data, &p); err != nil {
		return problem.Invalid.Errorf("cannot read a server's configuration: %w", err)
	}
	for _, m := range []*map[string]any{&p.Realms, &p.Subsystems} {
		if err := normalize(m); err != nil {
			return err
		}
	}
	*c = ServerConfig(p)
	return nil
}

// exactJSON reads JSON with numbers as they are written.
func exactJSON(data []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(out)
}

// normalize brings the values of a map to those of a tree.
func normalize(m *map[string]any) error {
	if *m == nil {
		return nil
	}
	v, err := profiles.Normalize(*m)
	if err != nil {
		return err
	}
	*m = v.(map[string]any)
	return nil
}

// Process is how a server's process is run.
type Process struct {
	MemoryLimit int64             `json:"memory-limit,omitempty"` // bytes; 0 for none
	Environment map[string]string `json:"environment,omitempty"`
	Arguments   []string          `json:"arguments,omitempty"`
}

// Binding is a port to listen on. Port has the offset in it; 0 is any free one.
type Binding struct {
	Interface        string `json:"interface"`
	Address          string `json:"address"`       // an address or host name; "" for all
	NIC              string `json:"nic,omitempty"` // the first address of this network card, when Address is ""
	Port             int    `json:"port"`
	MulticastAddress string `json:"multicast-address,omitempty"`
	MulticastPort    int    `json:"multicast-port,omitempty"`
}

// Listen is the address for net.Listen.
func (b Binding) Listen() string { return hostPort(b.Address, b.Port) }

// Outbound is an address to connect to.
type Outbound struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Dial is the address for net.Dial.
func (o Outbound) Dial() string { return hostPort(o.Host, o.Port) }

func hostPort(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

// Get finds a value of the subsystems by its path, as
// Get("identity", "theme", "defaults", "default").
func (c ServerConfig) Get(path ...string) (any, bool) {
	var v any = c.Subsystems
	for _, step := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[step]; !ok {
			return nil, false
		}
	}
	return v, v != nil
}

// String is a string of the subsystems, or def.
func (c ServerConfig) String(def string, path ...string) string {
	if v, ok := c.Get(path...); ok {
		if s, ok := v.(string); ok {
			return s
		}
	}
	return def
}

// Int is a number of the subsystems, also one written as a string, or def.
func (c ServerConfig) Int(def int64, path ...string) int64 {
	v, _ := c.Get(path...)
	switch v := v.(type) {
	case int64:
		return v
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	return def
}

// Bool is a truth value of the subsystems, also one written as a string, or def.
func (c ServerConfig) Bool(def bool, path ...string) bool {
	v, _ := c.Get(path...)
	switch v := v.(type) {
	case bool:
		return v
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b
		}
	}
	return def
}

// List is a list of strings of the subsystems; nil when it is not there. A
// single string is a list of one.
func (c ServerConfig) List(path ...string) []string {
	v, _ := c.Get(path...)
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// Map is an object of the subsystems: a resource, the children of a type by
// name, or an attribute. The caller must not change its values.
func (c ServerConfig) Map(path ...string) map[string]any {
	v, _ := c.Get(path...)
	m, _ := v.(map[string]any)
	return maps.Clone(m)
}
