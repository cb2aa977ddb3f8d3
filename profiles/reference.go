package profiles

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Reference is the reference of a mode's management model as Markdown: each
// resource with its attributes and operations, made from the descriptions. The
// same bytes for the same descriptions.
func Reference(m Mode) []byte {
	w := reference{seen: map[*Description]string{}}
	fmt.Fprintf(&w.out, "# Management model: %s\n\n", m)
	w.out.WriteString("Made from the resource descriptions; do not edit. A change of an attribute is applied `live`, needs a `reload` of the server's services, or a `restart` of its process. Values may be expressions, `${name:default}`, where *literal* is not said.\n")
	w.out.WriteString("\n## Operations of every resource\n\n")
	for _, g := range generic() {
		w.operation(g.OperationDescription)
	}
	w.resource(nil, m.root(), "")
	return w.out.Bytes()
}

type reference struct {
	out  bytes.Buffer
	seen map[*Description]string // where a description was printed already
}

func (w *reference) resource(a Address, d *Description, note string) {
	fmt.Fprintf(&w.out, "\n## `%s`\n\n%s%s\n", a, d.Text, note)
	if first, again := w.seen[d]; again {
		fmt.Fprintf(&w.out, "\nAs `%s`.\n", first)
		return
	}
	w.seen[d] = a.String()
	if len(d.Attributes) > 0 {
		w.out.WriteString("\n| attribute | type | default | change | meaning |\n| --- | --- | --- | --- | --- |\n")
		for i := range d.Attributes {
			w.attribute(&d.Attributes[i])
		}
	}
	if len(d.Runtime) > 0 {
		w.out.WriteString("\nRead while it runs, with include-runtime:\n\n")
		for _, a := range d.Runtime {
			fmt.Fprintf(&w.out, "- `%s` (%s): %s\n", a.Name, a.Type, a.Text)
		}
	}
	if len(d.Operations) > 0 {
		w.out.WriteString("\nOperations:\n\n")
		for _, od := range d.Operations {
			w.operation(od)
		}
	}
	for _, c := range d.Children {
		note := ""
		switch {
		case c.Runtime:
			note = " Known only while it runs."
		case c.Implicit:
			note = " Always there."
		}
		w.resource(a.Child(c.Type, c.Name), c.Description, note)
	}
}

func (w *reference) attribute(a *Attribute) {
	def := ""
	if a.Default != nil {
		def = "`" + cell(Format(a.Default)) + "`"
	}
	fmt.Fprintf(&w.out, "| `%s` | %s | %s | %s | %s |\n", a.Name, cell(a.facts()), def, a.Effect, cell(a.Text))
}

// facts are the type of an attribute and its limits.
func (a *Attribute) facts() string {
	parts := []string{string(a.Type)}
	if a.Unit != "" {
		parts = append(parts, a.Unit)
	}
	if len(a.Allowed) > 0 {
		parts = append(parts, strings.Join(a.Allowed, " / "))
	}
	if a.Range != nil {
		parts = append(parts, fmt.Sprintf("%d to %d", a.Range.Min, a.Range.Max))
	}
	if a.Reference != "" {
		parts = append(parts, "names a "+a.Reference)
	}
	for _, flag := range []struct {
		name string
		on   bool
	}{{"required", a.Required}, {"literal", a.Literal}, {"sensitive", a.Sensitive}} {
		if flag.on {
			parts = append(parts, flag.name)
		}
	}
	if len(a.Aliases) > 0 {
		parts = append(parts, "also "+strings.Join(a.Aliases, ", "))
	}
	return strings.Join(parts, "; ")
}

// cell is text for a cell of a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s) }

func (w *reference) operation(od OperationDescription) {
	var params []string
	for _, p := range od.Params {
		name := p.Name
		if !p.Required {
			name += "?"
		}
		params = append(params, name)
	}
	slices.Sort(params)
	fmt.Fprintf(&w.out, "- `:%s(%s)` %s\n", od.Name, strings.Join(params, ", "), od.Text)
}
