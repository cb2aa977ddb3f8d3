package profiles

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Lookup finds the value of a name in an expression.
type Lookup func(name string) (string, bool)

// Expressions are ${name} or ${name:default} inside a string; several may stand
// in one string, and names and defaults may hold expressions themselves. $$ is a
// dollar sign; a dollar sign before anything else is itself.

// depthLimit bounds the nesting of expressions, so that no input exhausts the
// stack.
const depthLimit = 32

// IsExpression reports whether v is a string that holds an expression.
func IsExpression(v any) bool {
	s, ok := v.(string)
	if !ok {
		return false
	}
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '$' {
			if s[i+1] == '{' {
				return true
			}
			if s[i+1] == '$' {
				i++
			}
		}
	}
	return false
}

// CheckExpression refuses a string whose expressions have no end or no name, or
// nest too deep.
func CheckExpression(s string) error {
	_, err := resolve(s, func(string) (string, bool) { return "", true }, true)
	return named(s, err)
}

// Expand replaces the expressions in s. An expression without a value and
// without a default is refused by name. Values found are used as they are.
func Expand(s string, lookup Lookup) (string, error) {
	out, err := resolve(s, lookup, false)
	return out, named(s, err)
}

// named adds the string to an error about it.
func named(s string, err error) error {
	if err == nil {
		return nil
	}
	return problem.Invalid.Errorf("cannot resolve %q: %w", s, err)
}

// resolve expands s. Its errors hold nothing of s but the names in it: s may be
// a secret.

func resolve(s string, lookup Lookup, checkAll bool) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	p := expander{s: s, lookup: lookup, checkAll: checkAll}
	return p.text(0, "")
}

// expander walks a string once; pos is the next byte.
type expander struct {
	s        string
	pos      int
	lookup   Lookup
	checkAll bool // expand defaults that are not needed as well
}

// text reads up to one of the stop characters, which stays, or to the end.
func (p *expander) text(depth int, stops string) (string, error) {
	var b strings.Builder
	for p.pos < len(p.s) {
		c := p.s[p.pos]
		rest := p.s[p.pos:]
		switch {
		case strings.HasPrefix(rest, "$$"):
			b.WriteByte('$')
			p.pos += 2
		case strings.HasPrefix(rest, "${"):
			v, err := p.expression(depth + 1)
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		case strings.IndexByte(stops, c) >= 0:
			return b.String(), nil
		default:
			b.WriteByte(c)
			p.pos++
		}
	}
	return b.String(), nil
}

// expression reads ${...}.
func (p *expander) expression(depth int) (string, error) {
	if depth > depthLimit {
		return "", problem.Invalid.Errorf("expressions nest deeper than %d", depthLimit)
	}
	start := p.pos
	p.pos += len("${")
	name, err := p.text(depth, ":}")
	if err != nil {
		return "", err
	}
	if name == "" && !p.checkAll {
		return "", problem.Invalid.Errorf("an expression has no name (valid: ${name} or ${name:default})")
	}
	if p.checkAll && p.pos == start+len("${") {
		return "", problem.Invalid.Errorf("an expression has no name (valid: ${name} or ${name:default})")
	}
	value, found := p.lookup(name)
	var missing error
	if p.pos < len(p.s) && p.s[p.pos] == ':' {
		p.pos++
		if value, err = p.fallback(depth, value, found); err != nil {
			return "", err
		}
	} else if !found {
		missing = problem.Invalid.Errorf("%q has no value and no default", name)
	}
	if p.pos >= len(p.s) {
		return "", problem.Invalid.Errorf("the expression at position %d has no end", start+1)
	}
	p.pos++ // the closing brace
	return value, missing
}

// fallback reads the default; it is expanded only where it is needed, so that a
// default without a value does no harm to a name that has one.
func (p *expander) fallback(depth int, value string, found bool) (string, error) {
	lookup := p.lookup
	if found {
		p.lookup = func(string) (string, bool) { return "x", true }
	}
	def, err := p.text(depth, "}")
	p.lookup = lookup
	if found {
		def = value
	}
	return def, err
}
