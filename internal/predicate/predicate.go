// Package predicate owns the conditions on requests that WildFly's files put
// before filters: Undertow's predicate language, the part of it that looks at
// the request. It knows nothing of filters, hosts or profiles.
//
//	path-prefix(/auth/admin) and not method(GET, HEAD)
//	equals(%{i,X-Forwarded-Proto}, "https") or secure
//	regex(pattern="^/auth/realms/[^/]+/account", value=%U)
//
// Predicates: true, false, secure, path, path-prefix, path-suffix, method,
// regex, equals, contains, exists. Operators, the weakest first: or, and, not;
// parentheses. Parameters stand in ( ) or [ ], lists in { } or one after
// another. Values of the request: %{i,Header}, %{c,Cookie}, %{q,parameter}, %m,
// %U and %R (the path), %q (the query), %H (the protocol), %v (the host's
// name), %a (the client's address), %{SCHEME}; %{METHOD} and the other long
// names too.
package predicate

import (
	"net/http"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Predicate is a condition on a request. It is safe for concurrent use.
type Predicate struct {
	text  string
	holds condition
}

type condition func(*http.Request) bool

// Limits of a text: it comes from an operator, and is parsed before it is kept.
const (
	maxText  = 4 << 10 // bytes
	maxDepth = 50      // of parentheses and nots
)

// Parse reads a predicate. Its errors are problem.Invalid, name the place and
// say what is known.
func Parse(text string) (*Predicate, error) {
	if len(text) > maxText {
		return nil, problem.Invalid.Errorf("cannot read the predicate: it is longer than %d bytes", maxText)
	}
	p := &parser{lexer: lexer{text: text}}
	p.next()
	holds, err := p.or(0)
	if err == nil && p.kind != end {
		err = p.unexpected("and, or, or the end")
	}
	if err != nil {
		return nil, err
	}
	return &Predicate{text, holds}, nil
}

// Match reports whether the request meets the condition.
func (p *Predicate) Match(r *http.Request) bool { return p.holds(r) }

// String is the text that was read.
func (p *Predicate) String() string { return p.text }

type parser struct {
	lexer
	token
}

func (p *parser) next() { p.token = p.scan() }

func (p *parser) unexpected(want string) error {
	found := "the end"
	if p.kind != end {
		found = "\"" + p.raw + "\""
	}
	if p.kind == broken {
		return problem.Invalid.Errorf("cannot read the predicate %q: %s at position %d", p.lexer.text, p.raw, p.at+1)
	}
	return problem.Invalid.Errorf("cannot read the predicate %q: at position %d there is %s (valid: %s)", p.lexer.text, p.at+1, found, want)
}

func (p *parser) or(depth int) (condition, error) {
	return p.infix(depth, "or", p.and, func(a, b condition) condition {
		return func(r *http.Request) bool { return a(r) || b(r) }
	})
}

func (p *parser) and(depth int) (condition, error) {
	return p.infix(depth, "and", p.not, func(a, b condition) condition {
		return func(r *http.Request) bool { return a(r) && b(r) }
	})
}

func (p *parser) infix(depth int, word string, operand func(int) (condition, error), join func(a, b condition) condition) (condition, error) {
	left, err := operand(depth)
	for err == nil && p.is(word) {
		p.next()
		var right condition
		if right, err = operand(depth); err == nil {
			left = join(left, right)
		}
	}
	return left, err
}

func (p *parser) not(depth int) (condition, error) {
	if depth > maxDepth {
		return nil, problem.Invalid.Errorf("cannot read the predicate: it is nested more than %d deep", maxDepth)
	}
	switch {
	case p.is("not"):
		p.next()
		holds, err := p.not(depth + 1)
		return func(r *http.Request) bool { return !holds(r) }, err
	case p.raw == "(" && p.kind == sign:
		p.next()
		holds, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.raw != ")" || p.kind != sign {
			return nil, p.unexpected(")")
		}
		p.next()
		return holds, nil
	}
	return p.predicate()
}

// predicate reads a name and its parameters.
func (p *parser) predicate() (condition, error) {
	if p.kind != word {
		return nil, p.unexpected("a predicate: " + known)
	}
	name, at := p.raw, p.at
	p.next()
	given, err := p.parameters()
	if err != nil {
		return nil, err
	}
	build, ok := predicates(name)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot read the predicate %q: there is no predicate %q at position %d (valid: %s)", p.lexer.text, name, at+1, known)
	}
	holds, err := build(given)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the predicate %q: %s at position %d %w", p.lexer.text, name, at+1, err)
	}
	return holds, nil
}

// parameters reads (a, b), [a, b], (name=a, other={b, c}); none are fine.
func (p *parser) parameters() (parameters, error) {
	given := parameters{named: map[string][]value{}}
	closing := map[string]string{"(": ")", "[": "]"}[p.raw]
	if p.kind != sign || closing == "" {
		return given, nil
	}
	p.next()
	for !p.sign(closing) {
		if err := p.parameter(&given); err != nil {
			return given, err
		}
		if p.sign(",") {
			p.next()
		} else if !p.sign(closing) {
			return given, p.unexpected(", or " + closing)
		}
	}
	p.next()
	return given, nil
}

func (p *parser) parameter(given *parameters) error {
	name := ""
	if p.kind == word && p.followedBy('=') {
		name = p.raw
		p.next()
		p.next()
	}
	values, err := p.values()
	if err != nil {
		return err
	}
	if name == "" {
		given.plain = append(given.plain, values...)
		return nil
	}
	if given.named[name] != nil {
		return problem.Invalid.Errorf("cannot read the predicate %q: %q is given twice", p.lexer.text, name)
	}
	given.named[name] = values
	return nil
}

// values reads one value, or a list of them in braces.
func (p *parser) values() ([]value, error) {
	if !p.sign("{") {
		v, err := p.value()
		return []value{v}, err
	}
	p.next()
	list := []value{}
	for !p.sign("}") {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if p.sign(",") {
			p.next()
		} else if !p.sign("}") {
			return nil, p.unexpected(", or }")
		}
	}
	p.next()
	return list, nil
}

func (p *parser) value() (value, error) {
	if p.kind != word && p.kind != quoted {
		return nil, p.unexpected("a value")
	}
	v, err := readValue(p.raw)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the predicate %q: %w", p.lexer.text, err)
	}
	p.next()
	return v, nil
}

func (t token) is(name string) bool  { return t.kind == word && t.raw == name }
func (t token) sign(raw string) bool { return t.kind == sign && t.raw == raw }
