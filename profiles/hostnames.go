package profiles

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/predicate"
)

// inHTTP reports whether an address is a resource of subsystem=http that web
// looks at.
func (c *checker) inHTTP(a Address) bool {
	last := a.Last().Type
	return (last == "host" || last == "filter-ref") && slices.Contains(a, Element{"subsystem", "http"}) && !slices.Contains(a, Element{"configuration", "handler"})
}

// web checks a virtual host's names and the predicates of its filters.
func (c *checker) web(a Address, attrs map[string]any) {
	if a.Last().Type == "filter-ref" {
		if text, ok := attrs["predicate"].(string); ok && !IsExpression(text) {
			if _, err := predicate.Parse(text); err != nil {
				c.issue(a, "predicate", "%v", err)
			}
		}
		return
	}
	mine := hostNames(a.Last().Name, attrs)
	for _, other := range c.t.Names(a.Parent(), "host") {
		if other == a.Last().Name {
			continue
		}
		theirs := hostNames(other, c.t.Attributes(a.Parent().Child("host", other)))
		for _, name := range mine {
			if slices.Contains(theirs, name) {
				c.issue(a, "alias", "names %q, which host %q has already", name, other)
			}
		}
	}
}

// hostNames are the names that a virtual host answers to.
func hostNames(name string, attrs map[string]any) []string {
	all := []string{strings.ToLower(name)}
	if attrs["alias"] == nil {
		return all
	}
	for _, alias := range names(attrs["alias"]) {
		all = append(all, strings.ToLower(alias))
	}
	return all
}
