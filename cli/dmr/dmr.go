// Package dmr writes values the way WildFly's command line prints them, so that
// scripts which read that text keep working. It knows JSON's kinds of values
// and nothing of the management model.
package dmr

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// indent is one level of the multi-line form.
const indent = "    "

// first are the keys that a response begins with, in this order; all others
// follow sorted.
var first = [...]string{"outcome", "result", "failure-description"}

// Write prints a value decoded from JSON (nil, bool, string, json.Number,
// float64, []any, map[string]any) in DMR's multi-line form, without a final
// newline. Members of an object are sorted.
func Write(w io.Writer, value any) error {
	var b strings.Builder
	write(&b, value, 0)
	_, err := io.WriteString(w, b.String())
	return err
}

// String is the text that Write prints.
func String(value any) string {
	var b strings.Builder
	write(&b, value, 0)
	return b.String()
}

func write(b *strings.Builder, value any, depth int) {
	switch v := value.(type) {
	case nil:
		b.WriteString("undefined")
	case string:
		quote(b, v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case json.Number:
		b.WriteString(v.String())
	case float64:
		b.WriteString(strconv.FormatFloat(v, 'f', -1, 64))
	case []any:
		writeAll(b, '[', ']', len(v), !simple(v...), depth, func(i int) { write(b, v[i], depth+1) })
	case map[string]any:
		keys := sorted(v)
		writeAll(b, '{', '}', len(v), !simple(slices.Collect(maps.Values(v))...), depth, func(i int) {
			quote(b, keys[i])
			b.WriteString(" => ")
			write(b, v[keys[i]], depth+1)
		})
	default:
		quote(b, fmt.Sprint(v))
	}
}

// writeAll writes n elements: on one line when there is at most one and it is
// simple, one a line otherwise.
func writeAll(b *strings.Builder, open, end byte, n int, nested bool, depth int, element func(int)) {
	b.WriteByte(open)
	long := n > 1 || nested
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if long {
			b.WriteString("\n" + strings.Repeat(indent, depth+1))
		}
		element(i)
	}
	if long {
		b.WriteString("\n" + strings.Repeat(indent, depth))
	}
	b.WriteByte(end)
}

func simple(values ...any) bool {
	return !slices.ContainsFunc(values, func(v any) bool {
		switch v := v.(type) {
		case []any:
			return len(v) > 0
		case map[string]any:
			return len(v) > 0
		}
		return false
	})
}

func sorted(m map[string]any) []string {
	rank := func(k string) int {
		if _, response := m["outcome"]; !response {
			return 0
		}
		if i := slices.Index(first[:], k); i >= 0 {
			return i - len(first)
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		return strings.Compare(a, b)
	})
}

// quote writes a string as DMR does: backslash and quote escaped, the rest,
// line breaks included, as it is.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		if r == '"' || r == '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
}
