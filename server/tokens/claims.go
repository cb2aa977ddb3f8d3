package tokens

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Claims is a JSON object whose members stay in the order in which they were
// first set. The zero Claims is empty. It is not safe for concurrent use.
type Claims struct {
	names  []string
	values []any
}

// Set sets a claim; nil removes it.
func (c *Claims) Set(name string, value any) {
	i := c.index(name)
	switch {
	case value == nil && i >= 0:
		c.names = append(c.names[:i], c.names[i+1:]...)
		c.values = append(c.values[:i], c.values[i+1:]...)
	case value == nil:
	case i >= 0:
		c.values[i] = value
	default:
		c.names, c.values = append(c.names, name), append(c.values, value)
	}
}

// SetText sets a claim unless its text is empty.
func (c *Claims) SetText(name, text string) {
	if text != "" {
		c.Set(name, text)
	}
}

// Get is the value of a claim, nil if it is not set.
func (c *Claims) Get(name string) any {
	if i := c.index(name); i >= 0 {
		return c.values[i]
	}
	return nil
}

// SetPath sets the claim at a path, making the objects on the way. A list is
// appended to a list that is there, as several mappers may feed one claim. What
// is not an object on the way is left alone: no mapper can replace "sub" by an
// object.
func (c *Claims) SetPath(path []string, value any) {
	for len(path) > 1 {
		switch inner := c.Get(path[0]).(type) {
		case nil:
			next := &Claims{}
			c.Set(path[0], next)
			c = next
		case *Claims:
			c = inner
		default:
			return
		}
		path = path[1:]
	}
	if list, ok := value.([]any); ok {
		if there, ok := c.Get(path[0]).([]any); ok {
			value = union(there, list)
		}
	}
	c.Set(path[0], value)
}

// Merge sets every claim of other.
func (c *Claims) Merge(other *Claims) {
	for i, name := range other.names {
		c.Set(name, other.values[i])
	}
}

// MarshalJSON writes the object in order.
func (c *Claims) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, name := range c.names {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(name); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1) // the encoder's line end
		b.WriteByte(':')
		if err := enc.Encode(c.values[i]); err != nil {
			return nil, err
		}
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (c *Claims) index(name string) int {
	for i, n := range c.names {
		if n == name {
			return i
		}
	}
	return -1
}

func union(a, b []any) []any {
	out := append([]any{}, a...)
next:
	for _, v := range b {
		if text, ok := v.(string); ok {
			for _, w := range out {
				if w == text {
					continue next
				}
			}
		}
		out = append(out, v)
	}
	return out
}

// splitPath is a mapper's claim name as a path: dots part, "\." is a dot of the
// name.
func splitPath(name string) []string {
	var path []string
	var part strings.Builder
	for i := 0; i < len(name); i++ {
		switch {
		case name[i] == '\\' && i+1 < len(name) && name[i+1] == '.':
			part.WriteByte('.')
			i++
		case name[i] == '.':
			path = append(path, part.String())
			part.Reset()
		default:
			part.WriteByte(name[i])
		}
	}
	return append(path, part.String())
}

// typed is a mapper's text as the JSON type that its "jsonType.label" asks for;
// nil if it is not of that type, so that a wrong attribute leaves its claim out
// and does not fail the login.
func typed(text, label string) any {
	switch label {
	case "boolean":
		if v, err := strconv.ParseBool(strings.ToLower(text)); err == nil {
			return v
		}
		return nil
	case "long":
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return v
		}
		return nil
	case "int":
		if v, err := strconv.ParseInt(text, 10, 64); err == nil && v >= math.MinInt32 && v <= math.MaxInt32 {
			return v
		}
		return nil
	case "JSON":
		if json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
		return nil
	}
	return text
}

// typedList is typed for each text, those of a wrong type left out.
func typedList(texts []string, label string) []any {
	list := make([]any, 0, len(texts))
	for _, t := range texts {
		if v := typed(t, label); v != nil {
			list = append(list, v)
		}
	}
	return list
}
