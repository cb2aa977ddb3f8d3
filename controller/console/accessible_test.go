package console_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// What a machine can tell of WCAG 2.2 without drawing the page: names, labels,
// headings, references. Contrast and size were looked at in a browser.
func TestEveryPageCanBeReadByAMachine(t *testing.T) {
	b := serve(t, clock.Real()).signedIn("ann", superUser)
	b.change(t, "web-context", "sso", "a reason")
	for _, path := range append(slices.Clone(pages), "/console/sign-in", "/console/revision?number=1", "/console/nowhere") {
		_, text := b.get(path)
		root, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		p := &reading{t: t, path: path, ids: map[string]int{}, labels: map[string]bool{}}
		p.collect(root)
		p.check(root)
		if p.h1 != 1 {
			t.Errorf("%s has %d h1", path, p.h1)
		}
	}
}

// reading is one page being read.
type reading struct {
	t         *testing.T
	path      string
	ids       map[string]int
	labels    map[string]bool // ids that a label is for
	h1, level int
}

func (p *reading) wrong(format string, args ...any) {
	p.t.Errorf("%s: %s", p.path, fmt.Sprintf(format, args...))
}

func (p *reading) collect(n *html.Node) {
	if id := attribute(n, "id"); id != "" {
		p.ids[id]++
		if p.ids[id] > 1 {
			p.wrong("two elements have the id %q", id)
		}
	}
	if n.Data == "label" {
		p.labels[attribute(n, "for")] = true
	}
	for c := range n.ChildNodes() {
		p.collect(c)
	}
}

func (p *reading) check(n *html.Node) {
	for _, name := range []string{"aria-labelledby", "aria-describedby"} {
		for id := range strings.FieldsSeq(attribute(n, name)) {
			if p.ids[id] == 0 {
				p.wrong("%s of a %s names %q, which is not there", name, n.Data, id)
			}
		}
	}
	element := n.Data
	if n.Type != html.ElementNode {
		element = ""
	}
	switch element {
	case "h1", "h2", "h3", "h4":
		if level := int(n.Data[1] - '0'); level > p.level+1 {
			p.wrong("the heading %q skips a level", textOf(n))
		} else {
			p.level = level
		}
		if n.Data == "h1" {
			p.h1++
		}
	case "input", "select", "textarea":
		if attribute(n, "type") != "hidden" && !p.labels[attribute(n, "id")] && attribute(n, "aria-label") == "" && !within(n, "label") {
			p.wrong("the field %q has no label", attribute(n, "name"))
		}
	case "button", "a", "summary":
		if strings.TrimSpace(textOf(n)) == "" && attribute(n, "aria-label") == "" {
			p.wrong("a %s has no name", n.Data)
		}
	case "th":
		if attribute(n, "scope") == "" {
			p.wrong("the heading of a column, %q, has no scope", textOf(n))
		}
	case "img":
		if !has(n, "alt") {
			p.wrong("an image has no alt")
		}
	case "html":
		if attribute(n, "lang") == "" {
			p.wrong("it has no language")
		}
	case "progress", "pre":
		if attribute(n, "aria-label") == "" && attribute(n, "tabindex") != "" {
			p.wrong("a %s that takes the focus has no name", n.Data)
		}
	}
	for c := range n.ChildNodes() {
		p.check(c)
	}
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func within(n *html.Node, parent string) bool {
	for p := range n.Ancestors() {
		if p.Data == parent {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var text strings.Builder
	for c := range n.ChildNodes() {
		text.WriteString(textOf(c))
	}
	return text.String()
}
