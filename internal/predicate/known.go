package predicate

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const known = "true, false, secure, path, path-prefix, path-suffix, method, regex, equals, contains, exists"

// parameters are what a predicate was given.
type parameters struct {
	plain []value
	named map[string][]value
}

// list are the values of the main parameter, by its name or without.
func (p parameters) list(name string, others ...string) ([]value, error) {
	for given := range p.named {
		if given != name && !slices.Contains(others, given) {
			return nil, problem.Invalid.Errorf("has no parameter %q (valid: %s)", given, strings.Join(append([]string{name}, others...), ", "))
		}
	}
	if p.named[name] != nil && p.plain != nil {
		return nil, problem.Invalid.Errorf("has %q both by its name and without", name)
	}
	values := slices.Concat(p.plain, p.named[name])
	if len(values) == 0 {
		return nil, problem.Invalid.Errorf("needs %s", name)
	}
	return values, nil
}

func (p parameters) none() error {
	if len(p.plain)+len(p.named) > 0 {
		return problem.Invalid.Errorf("takes no parameters")
	}
	return nil
}

// predicates finds the maker of a predicate by its name.
func predicates(name string) (func(parameters) (condition, error), bool) {
	switch name {
	case "true", "false", "secure":
		return func(p parameters) (condition, error) {
			return func(r *http.Request) bool { return name == "true" || name == "secure" && r.TLS != nil }, p.none()
		}, true
	case "path":
		return paths(func(path, want string) bool { return path == want || path == want+"/" }), true
	case "path-prefix":
		return paths(func(path, want string) bool { return path == want || strings.HasPrefix(path, want+"/") }), true
	case "path-suffix":
		return pathSuffix, true
	case "method":
		return method, true
	case "regex":
		return matches, true
	case "equals":
		return equals, true
	case "contains":
		return contains, true
	case "exists":
		return exists, true
	}
	return nil, false
}

// paths compares the path with any of the given ones, which begin with a slash
// whether it is written or not, and end without.
func paths(ok func(path, want string) bool) func(parameters) (condition, error) {
	return func(p parameters) (condition, error) {
		values, err := p.list("path")
		return anyOf(values, func(r *http.Request, want string) bool {
			return ok(path(r), strings.TrimSuffix("/"+strings.TrimPrefix(want, "/"), "/"))
		}), err
	}
}

func pathSuffix(p parameters) (condition, error) {
	values, err := p.list("path")
	return anyOf(values, func(r *http.Request, want string) bool { return strings.HasSuffix(path(r), want) }), err
}

func method(p parameters) (condition, error) {
	values, err := p.list("value")
	return anyOf(values, func(r *http.Request, want string) bool { return strings.EqualFold(r.Method, want) }), err
}

// anyOf holds when one of the values does.
func anyOf(values []value, ok func(r *http.Request, text string) bool) condition {
	return func(r *http.Request) bool {
		return slices.ContainsFunc(values, func(v value) bool {
			text, there := v.in(r)
			return there && ok(r, text)
		})
	}
}

// matches is regex(pattern, value, full-match): value is the path when it is
// left out. The syntax is that of package regexp: no match takes longer than
// its text.
func matches(p parameters) (condition, error) {
	values, err := p.list("pattern", "value", "full-match")
	if err != nil {
		return nil, err
	}
	if len(values) > 2 || len(values) == 2 && p.named["value"] != nil || len(p.named["value"]) > 1 {
		return nil, problem.Invalid.Errorf("takes one pattern and one value")
	}
	of, err := readValue("%R")
	if err != nil {
		return nil, err
	}
	if len(values) == 2 {
		of = values[1]
	} else if p.named["value"] != nil {
		of = p.named["value"][0]
	}
	pattern, ok := values[0].literal()
	if !ok {
		return nil, problem.Invalid.Errorf("has a pattern that depends on the request")
	}
	if full := p.named["full-match"]; full != nil {
		switch text, _ := full[0].literal(); text {
		case "true":
			pattern = `\A(?:` + pattern + `)\z`
		case "false":
		default:
			return nil, problem.Invalid.Errorf("has full-match=%q (valid: true, false)", text)
		}
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, problem.Invalid.Errorf("has no regular expression: %w", err)
	}
	return func(r *http.Request) bool {
		text, there := of.in(r)
		return there && compiled.MatchString(text)
	}, nil
}

func equals(p parameters) (condition, error) {
	values, err := p.list("value")
	if err == nil && len(values) < 2 {
		err = problem.Invalid.Errorf("needs two values")
	}
	return func(r *http.Request) bool {
		first, there := values[0].in(r)
		return there && !slices.ContainsFunc(values[1:], func(v value) bool {
			text, there := v.in(r)
			return !there || text != first
		})
	}, err
}

// contains is contains(value, search...): one of the searched texts is there.
func contains(p parameters) (condition, error) {
	values, err := p.list("value", "search")
	values = append(values, p.named["search"]...)
	if err == nil && len(values) < 2 {
		err = problem.Invalid.Errorf("needs a value and what to search for")
	}
	if err != nil {
		return nil, err
	}
	return anyOf(values[1:], func(r *http.Request, want string) bool {
		text, there := values[0].in(r)
		return there && strings.Contains(text, want)
	}), nil
}

func exists(p parameters) (condition, error) {
	values, err := p.list("value")
	return anyOf(values, func(*http.Request, string) bool { return true }), err
}
