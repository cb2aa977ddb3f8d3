package profiles

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// ParseTOML reads a tree from a TOML file whose tables mirror it, as
// [profile.web.subsystem.identity.spi.dblock.provider.jpa]. A file with
// subsystems, or with mode = "standalone", is a standalone server's; another is
// a domain's. Every error names file, line and column; all of a file are
// reported together, one a line.
func ParseTOML(file string, data []byte) (Tree, error) {
	raw, where, err := readTOML(file, data)
	if err != nil {
		return Tree{}, err
	}
	mode := Domain
	if _, ok := raw["subsystem"]; ok {
		mode = Standalone
	}
	if m, ok := raw["mode"]; ok {
		name, _ := m.(string)
		if mode = Mode(name); mode != Domain && mode != Standalone {
			return Tree{}, where.refuse(file, []mistake{{[]string{"mode"}, fmt.Sprintf("mode must not be %v (valid: %q, %q)", m, Domain, Standalone)}})
		}
		delete(raw, "mode")
	}
	t, mistakes := decodeTree(mode, mode.root(), raw)
	if len(mistakes) > 0 {
		return Tree{}, where.refuse(file, mistakes)
	}
	for _, i := range t.Check() {
		mistakes = append(mistakes, mistake{i.path(), i.String()})
	}
	if len(mistakes) > 0 {
		return Tree{}, where.refuse(file, mistakes)
	}
	return t, nil
}

// DecodeTOML reads a TOML file whose tables mirror resources below root, which
// need not be the root of a tree. Only what concerns one resource is checked.
func DecodeTOML(file string, data []byte, root *Description) (Tree, error) {
	raw, where, err := readTOML(file, data)
	if err != nil {
		return Tree{}, err
	}
	t, mistakes := decodeTree(Domain, root, raw)
	if len(mistakes) > 0 {
		return Tree{}, where.refuse(file, mistakes)
	}
	return t, nil
}

// readTOML reads the file's values and finds where its keys are.
func readTOML(file string, data []byte) (map[string]any, positions, error) {
	raw := map[string]any{}
	if err := toml.Unmarshal(data, &raw); err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			at := positionAt(string(data), pe.Position.Start)
			return nil, positions{}, problem.Invalid.Errorf("cannot read %s:%d:%d: %s", file, at.line, at.column, pe.Message)
		}
		return nil, positions{}, problem.Invalid.Errorf("cannot read %s: %w", file, err)
	}
	return raw, locate(string(data)), nil
}

// mostMistakes bounds how many mistakes of one file are reported.
const mostMistakes = 50

// mistake is something wrong at a key of a file.
type mistake struct {
	path []string
	text string
}

// path is the key in a file that an issue is about.
func (i Issue) path() []string {
	var p []string
	for _, e := range i.Address {
		p = append(p, e.Type, e.Name)
	}
	if i.Attribute != "" {
		p = append(p, i.Attribute)
	}
	return p
}

// refuse reports the mistakes of a file in the order of its lines.
func (p positions) refuse(file string, mistakes []mistake) error {
	places := make(map[int]position, len(mistakes))
	order := make([]int, len(mistakes))
	for i, m := range mistakes {
		order[i], places[i] = i, p.of(m.path)
	}
	slices.SortStableFunc(order, func(i, j int) int { return places[i].compare(places[j]) })
	var lines []string
	for _, i := range order[:min(len(order), mostMistakes)] {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", file, places[i].line, places[i].column, mistakes[i].text))
	}
	if n := len(order) - mostMistakes; n > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", n))
	}
	return problem.Invalid.Errorf("cannot read %s", strings.Join(lines, "\n"))
}

// decodeTree builds a tree from nested tables.
func decodeTree(mode Mode, root *Description, raw map[string]any) (Tree, []mistake) {
	d := decoder{}
	n := d.resource(nil, root, raw)
	return Tree{mode: mode, root: n}, d.mistakes
}

type decoder struct{ mistakes []mistake }

func (d *decoder) mistake(path []string, format string, args ...any) {
	d.mistakes = append(d.mistakes, mistake{slices.Clone(path), fmt.Sprintf(format, args...)})
}

// resource reads one table: attributes, and tables of children below their
// types.
func (d *decoder) resource(path []string, desc *Description, table map[string]any) *node {
	n := &node{}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		at := append(slices.Clone(path), key)
		typ := key
		if alias, ok := aliasTypes[key]; ok {
			typ = alias
		}
		switch attr, ok := desc.Attribute(key); {
		case ok:
			d.attribute(n, at, attr, table[key])
		case slices.Contains(desc.ChildTypes(), typ):
			d.children(n, at, desc, typ, table[key])
		default:
			valid := append(desc.attributeNames(), desc.ChildTypes()...)
			d.mistake(at, "unknown key %q%s", key, suggest(key, valid))
		}
	}
	for _, attr := range desc.Attributes {
		if attr.Required && n.attrs[attr.Name] == nil && !d.covers(path) {
			d.mistake(path, "%s is required", attr.Name)
		}
	}
	return n
}

// covers reports whether something was found wrong at a path already.
func (d *decoder) covers(path []string) bool {
	return slices.ContainsFunc(d.mistakes, func(m mistake) bool {
		return len(m.path) == len(path)+1 && slices.Equal(m.path[:len(path)], path)
	})
}

func (d *decoder) attribute(n *node, path []string, attr *Attribute, raw any) {
	v, err := attr.coerce(raw, false)
	switch {
	case err != nil:
		d.mistake(path, "%v", err)
		return
	case n.attrs[attr.Name] != nil:
		d.mistake(path, "%s is given twice, once by another name of it", attr.Name)
		return
	case n.attrs == nil:
		n.attrs = map[string]any{}
	}
	n.attrs[attr.Name] = v
}

// children reads the table of a child type: a table for each child.
func (d *decoder) children(n *node, path []string, desc *Description, typ string, raw any) {
	named, ok := raw.(map[string]any)
	if !ok {
		d.mistake(path, "%s must be tables with a name, as [%s.<name>]", typ, strings.Join(path, "."))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(named)) {
		at := append(slices.Clone(path), key)
		name := Element{typ, key}.canonical().Name
		table, isTable := named[key].(map[string]any)
		c, known := desc.Child(typ, name)
		switch {
		case !isTable:
			d.mistake(at, "%s %q must be a table", typ, key)
			continue
		case !known || c.Runtime:
			d.mistake(at, "there is no %s %q%s", typ, key, suggest(key, desc.fixedNames(typ)))
			continue
		case checkName(name) != nil:
			d.mistake(at, "%v", checkName(name))
			continue
		case n.children[typ][name] != nil:
			d.mistake(at, "%s %q is there twice, once by another name of it", typ, name)
			continue
		}
		if n.children == nil {
			n.children = map[string]map[string]*node{}
		}
		if n.children[typ] == nil {
			n.children[typ] = map[string]*node{}
		}
		n.children[typ][name] = d.resource(at, c.Description, table)
	}
}

// fixedNames lists the names of a child type that has a description each.
func (d *Description) fixedNames(typ string) []string {
	var names []string
	for _, c := range d.Children {
		if c.Type == typ && !c.Runtime {
			names = append(names, c.Name)
		}
	}
	return names
}
