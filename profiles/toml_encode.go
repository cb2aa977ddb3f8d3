package profiles

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// EncodeTOML writes a tree as a TOML file that ParseTOML reads back to an equal
// tree: a table for each resource, in the order of addresses; the same bytes
// for the same tree.
func EncodeTOML(t Tree) []byte {
	var b bytes.Buffer
	if t.Mode() == Standalone {
		b.WriteString("mode = \"standalone\"\n")
	}
	t.Walk(func(a Address, attrs map[string]any) {
		if len(attrs) == 0 && (len(a) == 0 || len(t.at(a).children) > 0) {
			return // its children's tables make it
		}
		if len(a) > 0 {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			b.WriteString("[" + tomlPath(a) + "]\n")
		}
		for _, name := range slices.Sorted(maps.Keys(attrs)) {
			b.WriteString(tomlKey(name) + " = ")
			tomlValue(&b, attrs[name])
			b.WriteByte('\n')
		}
	})
	return b.Bytes()
}

func tomlPath(a Address) string {
	var parts []string
	for _, e := range a {
		parts = append(parts, tomlKey(e.Type), tomlKey(e.Name))
	}
	return strings.Join(parts, ".")
}

func tomlKey(s string) string {
	bare := s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
	if bare {
		return s
	}
	return tomlString(s)
}

func tomlValue(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case string:
		b.WriteString(tomlString(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(FormatNumber(v))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			tomlValue(b, e)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(" " + tomlKey(k) + " = ")
			tomlValue(b, v[k])
		}
		if len(v) > 0 {
			b.WriteByte(' ')
		}
		b.WriteByte('}')
	}
}

// tomlString is a basic string; a literal one where that needs no escapes.
func tomlString(s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd })
	if plain && strings.ContainsAny(s, `"\`) && !strings.Contains(s, "'") {
		return "'" + s + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
