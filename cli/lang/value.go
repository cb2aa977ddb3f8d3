package lang

import (
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// depthLimit bounds the nesting of values, so that no line exhausts the stack.
const depthLimit = 64

// value reads a value that ends before one of the stop characters: {a => "b"},
// [a,b], ("a" => "b"), "text", true, 12, 12L, 1.5, undefined, expression "${x}", or a
// bare word.
func (p *parser) value(stops string) (any, error) {
	p.blanks()
	start := p.pos
	if p.depth++; p.depth > depthLimit {
		return nil, p.fail(start, "values nest deeper than %d", depthLimit)
	}
	defer func() { p.depth-- }()
	switch {
	case p.take('{'):
		return p.object('{', '}', start)
	case p.take('('):
		return p.object('(', ')', start)
	case p.take('['):
		return p.list(start)
	case p.pos < len(p.s) && p.s[p.pos] == '"':
		return p.quoted()
	}
	if rest, ok := strings.CutPrefix(p.s[p.pos:], "expression"); ok && strings.HasPrefix(strings.TrimLeft(rest, " \t"), `"`) {
		p.pos += len("expression")
		p.blanks()
		return p.quoted()
	}
	word, err := p.bare(stops)
	if err != nil {
		return nil, err
	}
	if word == "" {
		return nil, p.fail(start, `a value is missing (an empty string is "")`)
	}
	return meaning(word), nil
}

// meaning is a bare word's value.
func meaning(word string) any {
	switch word {
	case "undefined":
		return nil
	case "true":
		return true
	case "false":
		return false
	}
	digits := strings.TrimSuffix(word, "L")
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && strconv.FormatInt(n, 10) == digits {
		return n
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil && strings.ContainsAny(word, ".e") && profiles.FormatNumber(f) == word {
		return f
	}
	return word // also 007 and 1.50: what they mean, the attribute says
}

// bare reads a word; brackets and braces in it are in pairs, so that
// ${name:default} and f(x) need no quotation marks.
func (p *parser) bare(stops string) (string, error) {
	start := p.pos
	var open []byte
	for ; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		switch {
		case len(open) > 0 && c == open[len(open)-1]:
			open = open[:len(open)-1]
		case len(open) == 0 && strings.IndexByte(stops, c) >= 0:
			return strings.TrimSpace(p.s[start:p.pos]), nil
		case len(open) == 0 && stops != "" && strings.HasPrefix(p.s[p.pos:], "=>"):
			return strings.TrimSpace(p.s[start:p.pos]), nil
		case c == '{':
			open = append(open, '}')
		case c == '(':
			open = append(open, ')')
		case c == '[':
			open = append(open, ']')
		}
	}
	if len(open) > 0 {
		return "", p.fail(start, "a bracket or a brace has no partner")
	}
	return strings.TrimSpace(p.s[start:]), nil
}

// object reads pairs, key => value or key=value, up to the closing character.
func (p *parser) object(open, end byte, start int) (any, error) {
	out := map[string]any{}
	for {
		p.blanks()
		if p.take(end) {
			return out, nil
		}
		if p.pos == len(p.s) {
			return nil, p.fail(start, "%q has no partner", string(open))
		}
		at := p.pos
		key, err := p.key(end)
		if err != nil {
			return nil, err
		}
		p.blanks()
		if !p.take('=') {
			return nil, p.fail(p.pos, "=> is missing after the key %q", key)
		}
		p.take('>')
		if _, twice := out[key]; twice {
			return nil, p.fail(at, "the key %q is there twice", key)
		}
		if out[key], err = p.value("," + string(end)); err != nil {
			return nil, err
		}
		if err := p.next(end); err != nil {
			return nil, err
		}
	}
}

func (p *parser) key(end byte) (string, error) {
	if p.s[p.pos] == '"' {
		return p.quoted()
	}
	start := p.pos
	key := strings.TrimSpace(p.until("=," + string(end)))
	if key == "" {
		return "", p.fail(start, "a key is missing")
	}
	return key, nil
}

// next takes the comma between elements; the closing character stays.
func (p *parser) next(end byte) error {
	p.blanks()
	if p.take(',') || p.pos < len(p.s) && p.s[p.pos] == end {
		return nil
	}
	return p.fail(p.pos, "a comma or %q is missing", string(end))
}

func (p *parser) list(start int) (any, error) {
	out := []any{}
	for {
		p.blanks()
		if p.take(']') {
			return out, nil
		}
		if p.pos == len(p.s) {
			return nil, p.fail(start, `"[" has no partner`)
		}
		v, err := p.value(",]")
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if err := p.next(']'); err != nil {
			return nil, err
		}
	}
}
