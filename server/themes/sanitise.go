package themes

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// harmless are the tags of a display name that are kept, without attributes.
var harmless = map[atom.Atom]bool{atom.B: true, atom.Strong: true, atom.I: true, atom.Em: true, atom.Span: true, atom.Br: true, atom.Small: true, atom.Div: true}

// hidden are the tags whose text is not text.
var hidden = map[atom.Atom]bool{atom.Script: true, atom.Style: true, atom.Template: true, atom.Noscript: true, atom.Iframe: true, atom.Title: true, atom.Textarea: true}

// sanitise keeps a text's harmless tags, balanced, and escapes the rest.
func sanitise(text string) string {
	var b strings.Builder
	visit(text, func(n *html.Node, leave bool) {
		switch {
		case n.Type == html.TextNode && !leave:
			b.WriteString(html.EscapeString(n.Data))
		case n.Type != html.ElementNode || !harmless[n.DataAtom]:
		case leave && n.DataAtom != atom.Br:
			b.WriteString("</" + n.DataAtom.String() + ">")
		case !leave:
			b.WriteString("<" + n.DataAtom.String() + ">")
		}
	})
	return b.String()
}

// plain is a text without its tags.
func plain(text string) string {
	var b strings.Builder
	visit(text, func(n *html.Node, leave bool) {
		if n.Type == html.TextNode && !leave {
			b.WriteString(n.Data)
		}
	})
	return b.String()
}

// visit calls f on the way in and out of every node of a fragment.
func visit(text string, f func(n *html.Node, leave bool)) {
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return // a reader of memory does not fail
	}
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.ElementNode && hidden[n.DataAtom] {
			return
		}
		f(n, false)
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
		f(n, true)
	}
	for _, n := range nodes {
		walk(n)
	}
}
