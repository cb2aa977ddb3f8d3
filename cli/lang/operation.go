package lang

import (
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Blank reports whether a line says nothing: it is empty or a comment.
func Blank(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "#")
}

// IsOperation reports whether a line is an operation and not a command with a
// name, as connect: it begins with an address or a colon.
func IsOperation(line string) bool {
	line = strings.TrimSpace(line)
	if line == "" {
		return false
	}
	if strings.IndexByte("/:.", line[0]) >= 0 {
		return true
	}
	head, _, found := strings.Cut(line, ":") // a relative address: subsystem=identity:read-resource
	return found && strings.Contains(head, "=") && !strings.ContainsAny(head, " \t")
}

// ParseOperation reads an operation. An address that does not begin with a
// slash is relative to node; . is node itself and .. its parent. A parameter
// without a value is true, one with ! before it false.
func ParseOperation(line string, node profiles.Address) (profiles.Operation, error) {
	p := &parser{s: line}
	if err := p.check(); err != nil {
		return profiles.Operation{}, err
	}
	address, err := p.address(node)
	if err != nil {
		return profiles.Operation{}, err
	}
	op := profiles.Operation{Address: address, Params: map[string]any{}}
	p.blanks()
	if !p.take(':') {
		return op, p.fail(p.pos, "a colon and an operation are missing (valid: /type=name:operation(parameter=value))")
	}
	p.blanks()
	start := p.pos
	if op.Name = p.until("({ \t"); op.Name == "" {
		return op, p.fail(start, "the operation's name is missing")
	}
	if i := strings.IndexAny(op.Name, "/=\",:)}[]"); i >= 0 {
		return op, p.fail(start+i, "%q cannot be in an operation's name", op.Name[i:i+1])
	}
	p.blanks()
	if p.take('(') {
		if err := p.params(op.Params); err != nil {
			return op, err
		}
	}
	p.blanks()
	if p.take('{') {
		if op.Headers, err = p.headers(); err != nil {
			return op, err
		}
	}
	if p.blanks(); p.pos < len(p.s) {
		return op, p.fail(p.pos, "%q is not expected after the operation", p.s[p.pos:])
	}
	return op, nil
}

// ParseAddress reads an address by itself, as cd and ls take it.
func ParseAddress(text string, node profiles.Address) (profiles.Address, error) {
	p := &parser{s: text}
	if err := p.check(); err != nil {
		return nil, err
	}
	a, err := p.address(node)
	if err != nil {
		return nil, err
	}
	if p.blanks(); p.pos < len(p.s) {
		return nil, p.fail(p.pos, "%q is not expected after the address", p.s[p.pos:])
	}
	return a, nil
}

// ParseValue reads a value by itself.
func ParseValue(text string) (any, error) {
	p := &parser{s: text}
	if err := p.check(); err != nil {
		return nil, err
	}
	v, err := p.value("")
	if err != nil {
		return nil, err
	}
	if p.blanks(); p.pos < len(p.s) {
		return nil, p.fail(p.pos, "%q is not expected after the value", p.s[p.pos:])
	}
	return v, nil
}

// parser walks one line; pos is the next byte.
type parser struct {
	s     string
	pos   int
	depth int
}

// check refuses what is no text.
func (p *parser) check() error {
	if !utf8.ValidString(p.s) {
		return p.fail(0, "the line is not UTF-8")
	}
	return nil
}

func (p *parser) blanks() {
	for p.pos < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.pos]) >= 0 {
		p.pos++
	}
}

// take moves on if the next character is c.
func (p *parser) take(c byte) bool {
	if p.pos < len(p.s) && p.s[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// until reads up to one of the characters.
func (p *parser) until(stops string) string {
	start := p.pos
	for p.pos < len(p.s) && strings.IndexByte(stops, p.s[p.pos]) < 0 {
		p.pos++
	}
	return p.s[start:p.pos]
}

func (p *parser) address(node profiles.Address) (profiles.Address, error) {
	p.blanks()
	a := node.Join(nil)
	if p.take('/') {
		a = profiles.Address{}
	}
	for {
		p.blanks()
		switch {
		case p.pos == len(p.s) || p.s[p.pos] == ':':
			return a.Canonical(), nil
		case p.dots(".."):
			a = a.Parent()
		case p.dots("."):
		default:
			e, err := p.element()
			if err != nil {
				return nil, err
			}
			a = append(a, e)
		}
		p.blanks()
		if !p.take('/') && p.pos < len(p.s) && p.s[p.pos] != ':' {
			return nil, p.fail(p.pos, "a slash or a colon is expected, not %q", p.s[p.pos:])
		}
	}
}

// dots takes . or .. where it is a whole step.
func (p *parser) dots(d string) bool {
	rest, ok := strings.CutPrefix(p.s[p.pos:], d)
	if !ok || rest != "" && strings.IndexByte("/: \t", rest[0]) < 0 {
		return false
	}
	p.pos += len(d)
	return true
}

func (p *parser) element() (profiles.Element, error) {
	var e profiles.Element
	start := p.pos
	var err error
	if e.Type, err = p.name("=/:"); err != nil {
		return e, err
	}
	if e.Type == "" {
		return e, p.fail(start, "a type is missing (valid: /type=name)")
	}
	if !p.take('=') {
		return e, p.fail(p.pos, "%q needs a name (valid: %s=name)", e.Type, e.Type)
	}
	p.blanks()
	start = p.pos
	if e.Name, err = p.name("/:"); err != nil {
		return e, err
	}
	if e.Name == "" {
		return e, p.fail(start, "the name of %q is missing (valid: %s=name)", e.Type, e.Type)
	}
	return e, nil
}

// name reads a type or a name of an address: quoted, or bare with backslashes
// before special characters.
func (p *parser) name(stops string) (string, error) {
	if p.pos < len(p.s) && p.s[p.pos] == '"' {
		return p.quoted()
	}
	var b strings.Builder
	for p.pos < len(p.s) && strings.IndexByte(stops, p.s[p.pos]) < 0 {
		if p.s[p.pos] == '\\' && p.pos+1 < len(p.s) {
			p.pos++
		}
		b.WriteByte(p.s[p.pos])
		p.pos++
	}
	return strings.TrimSpace(b.String()), nil
}

// quoted reads a string between quotation marks; a backslash stands before a
// quotation mark and before a backslash, elsewhere it is itself.
func (p *parser) quoted() (string, error) {
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.s); p.pos++ {
		c := p.s[p.pos]
		if c == '"' {
			p.pos++
			return b.String(), nil
		}
		if c == '\\' && p.pos+1 < len(p.s) && (p.s[p.pos+1] == '"' || p.s[p.pos+1] == '\\') {
			p.pos++
			c = p.s[p.pos]
		}
		b.WriteByte(c)
	}
	return "", p.fail(start, "the quotation mark has no partner")
}

// params reads parameters up to the closing bracket.
func (p *parser) params(to map[string]any) error {
	open := p.pos - 1
	for {
		p.blanks()
		if p.take(')') {
			return nil
		}
		if p.pos == len(p.s) {
			return p.fail(open, "the bracket has no partner")
		}
		start := p.pos
		no := p.take('!')
		name, err := p.name("=,) \t")
		if err != nil {
			return err
		}
		if name == "" || name[0] == '!' && p.s[p.pos-1] != '"' {
			return p.fail(start, "a parameter's name is missing")
		}
		if _, twice := to[name]; twice {
			return p.fail(start, "the parameter %q is there twice", name)
		}
		to[name] = !no
		p.blanks()
		if p.take('=') {
			if no {
				return p.fail(start, "!%s is false and takes no value", name)
			}
			if to[name], err = p.value(",)"); err != nil {
				return err
			}
		}
		p.blanks()
		if !p.take(',') && (p.pos == len(p.s) || p.s[p.pos] != ')') {
			return p.fail(p.pos, "a comma or a closing bracket is missing")
		}
	}
}

// headers reads operation headers up to the closing brace: name=value; a
// rollout plan's text follows the word rollout.
func (p *parser) headers() (map[string]any, error) {
	open := p.pos - 1
	out := map[string]any{}
	for {
		p.blanks()
		switch {
		case p.take('}'):
			return out, nil
		case p.pos == len(p.s):
			return nil, p.fail(open, "the brace has no partner")
		case p.take(';') || p.take(','):
			continue
		}
		start := p.pos
		name, err := p.name("=;},( \t")
		if err != nil {
			return nil, err
		}
		p.blanks()
		switch {
		case name == "":
			return nil, p.fail(start, "a header's name is missing")
		case name == "rollout" && (p.pos == len(p.s) || p.s[p.pos] != '='):
			out[name] = strings.TrimSpace(p.until(";}"))
		case p.take('='):
			if out[name], err = p.value(";,}"); err != nil {
				return nil, err
			}
		default:
			out[name] = true
		}
		if p.blanks(); p.pos < len(p.s) && strings.IndexByte(";,}", p.s[p.pos]) < 0 {
			return nil, p.fail(p.pos, "a semicolon or a closing brace is missing")
		}
	}
}
