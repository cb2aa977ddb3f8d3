package script

import (
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Expand replaces $name by the variable's value. An expression ${...} belongs
// to the management model and stays; \$ is a dollar sign; a dollar sign that
// no name follows is itself. A name that is not set is refused with its column.
func Expand(text string, lookup func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			if text[i+1] != '$' {
				b.WriteByte('\\')
			}
			b.WriteByte(text[i+1])
			i += 2
		case text[i] == '$' && i+1 < len(text) && nameStart(text[i+1]):
			end := i + 2
			for end < len(text) && namePart(text[end]) {
				end++
			}
			value, ok := lookup(text[i+1 : end])
			if !ok {
				return "", problem.Invalid.Errorf("cannot find variable %q (column %d): set it with: set %[1]s=value", text[i+1:end], i+1)
			}
			b.WriteString(value)
			i = end
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String(), nil
}

// Assignment reads "name=value" of the command set. A value in backquotes is a
// command whose result is meant.
func Assignment(text string) (name, value string, command bool, err error) {
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || !isName(name) {
		return "", "", false, problem.Invalid.Errorf("cannot set %q: want name=value, the name of letters, digits and _", text)
	}
	if inner, ok := strings.CutPrefix(value, "`"); ok && strings.HasSuffix(inner, "`") && inner != "`" {
		return name, strings.TrimSuffix(inner, "`"), true, nil
	}
	return name, Unquote(value), false, nil
}

// Unquote takes the quotes off a text that is quoted whole, "..." or '...'.
func Unquote(text string) string {
	if len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		return text[1 : len(text)-1]
	}
	return text
}

func isName(s string) bool {
	for i := range len(s) {
		if !namePart(s[i]) || i == 0 && !nameStart(s[0]) {
			return false
		}
	}
	return s != ""
}

func nameStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func namePart(c byte) bool { return nameStart(c) || c >= '0' && c <= '9' }

// Words splits a command's arguments at spaces outside quotes and brackets;
// quotes around a whole word are taken off.
func Words(text string) []string {
	var words []string
	var quote byte
	depth, start := 0, -1
	flush := func(end int) {
		if start >= 0 {
			words = append(words, Unquote(text[start:end]))
			start = -1
		}
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
			continue
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case (c == ' ' || c == '\t') && depth <= 0:
			flush(i)
			continue
		}
		if start < 0 {
			start = i
		}
	}
	flush(len(text))
	return words
}

// Commands splits a list of commands at commas outside quotes and brackets, as
// the flag --commands has it.
func Commands(text string) []string {
	var list []string
	var quote byte
	depth, start := 0, 0
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case c == ',' && depth <= 0:
			list = append(list, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	return append(list, strings.TrimSpace(text[start:]))
}
