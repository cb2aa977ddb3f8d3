package profiles

import (
	"maps"
	"slices"
	"strings"
)

// masked stands for a secret in what is printed.
const masked = "********"

// SensitiveKey reports whether a key of an object, as a provider's property,
// names a secret: the guide's truststore password and its like have no
// description of their own.
func SensitiveKey(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "passphrase", "secret", "credential"}, func(s string) bool { return strings.Contains(key, s) })
}

// maskKeys is v with the values of sensitive keys masked, at any depth.
func maskKeys(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = maskKeys(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if out[k] = maskKeys(e); SensitiveKey(k) {
				out[k] = masked
			}
		}
		return out
	}
	return v
}

// secrets are those of the attributes that are sensitive; the description may be
// nil, as for what this version does not know.
func (d *Description) secrets(names []string) []string {
	var out []string
	for _, name := range names {
		if d == nil {
			if SensitiveKey(name) {
				out = append(out, name)
			}
		} else if a, ok := d.Attribute(name); ok && a.Sensitive {
			out = append(out, name)
		}
	}
	return out
}

// Masked is c with the values of secrets masked.
func (c Change) Masked() Change {
	c.Old, c.New = c.mask(c.Old), c.mask(c.New)
	return c
}

func (c Change) mask(v any) any {
	switch {
	case v == nil:
		return nil
	case c.Kind == Written && slices.Contains(c.Sensitive, c.Attribute):
		return masked
	}
	v = maskKeys(v)
	if m, ok := v.(map[string]any); ok && c.Kind != Written {
		m = maps.Clone(m)
		for _, name := range c.Sensitive {
			m[name] = masked
		}
		return m
	}
	return v
}
