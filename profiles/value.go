package profiles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Values of attributes and parameters are one of: nil (undefined), bool, int64,
// float64 that is no whole number of 64 bits, string, []any and map[string]any of
// the same. Values in a Tree are shared:
// nobody changes them.

// Normalize gives v in the kinds above; it copies lists and maps. Numbers become
// int64 when they are whole and have 64 bits, so that each number has one form.
func Normalize(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, problem.Invalid.Errorf("cannot use the string %q: it is not UTF-8", v)
		}
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, problem.Invalid.Errorf("cannot use the number %d: it is over %d", v, int64(math.MaxInt64))
		}
		return int64(v), nil
	case float64:
		return decimal(v)
	case json.Number:
		return parseNumber(v.String())
	case []string:
		out := make([]any, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			n, err := Normalize(e)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	case map[string]string:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = e
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if !utf8.ValidString(k) {
				return nil, problem.Invalid.Errorf("cannot use the key %q: it is not UTF-8", k)
			}
			n, err := Normalize(e)
			if err != nil {
				return nil, err
			}
			out[k] = n
		}
		return out, nil
	}
	return nil, problem.Invalid.Errorf("cannot use a value of kind %T", v)
}

// decimal gives a number in its one form.
func decimal(f float64) (any, error) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, problem.Invalid.Errorf("cannot use the number %v: it is not finite", f)
	case f == math.Trunc(f) && math.Abs(f) < 1<<63:
		return int64(f), nil
	}
	return f, nil
}

// parseNumber reads a number of JSON. A whole one that neither 64 bits nor a
// decimal hold exactly is refused.
func parseNumber(text string) (any, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !strings.ContainsAny(text, ".eE") && strconv.FormatFloat(f, 'f', -1, 64) != text {
		return nil, problem.Invalid.Errorf("cannot use the number %s: whole numbers have 64 bits, decimals those of a double", text)
	}
	return decimal(f)
}

// FormatNumber writes a decimal so that it is read back as the same: 1.5, 1e+30.
func FormatNumber(f float64) string {
	if text := strconv.FormatFloat(f, 'f', -1, 64); strings.Contains(text, ".") && len(text) <= 32 {
		return text
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}

// Equal reports whether two values are the same.
func Equal(a, b any) bool {
	switch x := a.(type) {
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, Equal)
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, Equal)
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

// Format prints a value in the command line's language, maps sorted by key:
// {"a" => "b"}, ["x"], 900L is 900, undefined.
func Format(v any) string {
	var b strings.Builder
	format(&b, v)
	return b.String()
}

func format(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("undefined")
	case string:
		quote(b, v)
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			format(b, e)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(", ")
			}
			quote(b, k)
			b.WriteString(" => ")
			format(b, v[k])
		}
		b.WriteByte('}')
	case float64:
		b.WriteString(FormatNumber(v))
	default:
		fmt.Fprint(b, v)
	}
}

// quote writes s between quotation marks; only they and the backslash are
// escaped, as in jboss-cli.
func quote(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
}

// decodeJSON reads one JSON value into out, numbers kept exact, and refuses
// anything after it.
func decodeJSON(data []byte, out any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(out); err != nil {
		return problem.Invalid.Errorf("cannot read JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return problem.Invalid.Errorf("cannot read JSON: something follows the value")
	}
	return nil
}

// formatPairs prints names and values as in a command: name=value,name=value.
func formatPairs(m map[string]any) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoteName(k))
		b.WriteByte('=')
		format(&b, m[k])
	}
	return b.String()
}
