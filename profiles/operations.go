package profiles

import (
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Apply runs one operation on a tree. It gives the next tree, the changes that
// lead to it, none for an operation that only reads, and the operation's
// result. A refused operation changes nothing and says what would be valid.
//
// Operations that what runs must answer (start, history, ...) are refused as
// problem.Unsupported.
func Apply(t Tree, op Operation) (next Tree, changes ChangeSet, result any, err error) {
	next, result, err = run(t, op)
	if err != nil {
		return t, nil, nil, err
	}
	if next.top() == t.top() {
		return t, nil, result, nil
	}
	changes = Diff(t, next)
	if err := next.check(changes); err != nil {
		return t, nil, nil, problem.Invalid.Errorf("cannot run %s: %w", op.brief(), err)
	}
	if len(changes) == 0 {
		return t, nil, result, nil
	}
	return next, changes, result, nil
}

// brief names an operation without its values, which may be secrets.
func (o Operation) brief() string {
	o.Params, o.Headers = nil, nil
	return o.String()
}

// request is one operation being run.
type request struct {
	tree   Tree
	op     Operation
	at     Address
	desc   *Description
	params map[string]any
}

// run runs an operation without the checks that concern the whole tree.
func run(t Tree, op Operation) (Tree, any, error) {
	op.Address = op.Address.Canonical()
	if op.Name == "composite" {
		return runComposite(t, op)
	}
	d, err := t.Mode().Describe(op.Address)
	if err != nil {
		return t, nil, problem.KindOf(err).Errorf("cannot run %s: %w", op.brief(), err)
	}
	od, run, err := findOperation(d, op)
	if err != nil {
		return t, nil, err
	}
	params, err := readParams(od, d, op)
	if err != nil {
		return t, nil, problem.Invalid.Errorf("cannot run %s: %w", op.brief(), err)
	}
	runs := t.Mode().runtime(op.Address)
	static := describes(op.Name) || runs && op.Name == "read-children-types"
	if run == nil || runs && !static {
		return t, nil, problem.Unsupported.Errorf("cannot run %s here: what runs answers it, not the configuration", op.brief())
	}
	r := &request{tree: t, op: op, at: op.Address, desc: d, params: params}
	if r.at.HasWildcard() && !static {
		if !od.ReadOnly {
			return t, nil, problem.Invalid.Errorf("cannot run %s: an address with * only reads", op.brief())
		}
		result, err := r.each(run)
		return t, result, err
	}
	if op.Name != "add" && !static && !t.exists(r.at) {
		return t, nil, t.missing(r.at)
	}
	next, result, err := run(r)
	if err != nil {
		return t, nil, problem.KindOf(err).Errorf("cannot run %s: %w", op.brief(), err)
	}
	return next, result, nil
}

// runtime reports whether an address is that of something that runs.
func (m Mode) runtime(a Address) bool {
	d := m.root()
	for _, e := range a {
		c, ok := d.Child(e.Type, e.Name)
		if !ok {
			return false
		}
		if c.Runtime {
			return true
		}
		d = c.Description
	}
	return false
}

// describes reports whether an operation asks for descriptions, which are there
// without the resource.
func describes(name string) bool {
	return name == "read-resource-description" || name == "read-operation-names" || name == "read-operation-description"
}

// findOperation finds an operation of a resource; run is nil when what runs
// answers it.
func findOperation(d *Description, op Operation) (OperationDescription, func(*request) (Tree, any, error), error) {
	for _, g := range generic() {
		if g.Name == op.Name {
			return g.OperationDescription, g.run, nil
		}
	}
	for _, od := range d.Operations {
		if od.Name != op.Name {
			continue
		}
		switch {
		case od.Runtime:
			return od, nil, nil
		case od.Name == "clone":
			return od, (*request).clone, nil
		case od.Name == "read-config-as-toml":
			return od, (*request).readConfig, nil
		}
	}
	return OperationDescription{}, nil, problem.Invalid.Errorf("cannot run %s: there is no operation %q at %s%s", op.brief(), op.Name, op.Address, suggest(op.Name, operationNames(d)))
}

// operationNames lists the operations of a resource, sorted.
func operationNames(d *Description) []string {
	var names []string
	for _, g := range generic() {
		names = append(names, g.Name)
	}
	for _, od := range d.Operations {
		names = append(names, od.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// readParams checks the parameters of an operation and brings them to their
// types. Those of add are the attributes of the resource.
func readParams(od OperationDescription, d *Description, op Operation) (map[string]any, error) {
	described := &Description{Attributes: od.Params}
	if od.Name == "add" {
		described = d
	}
	out := map[string]any{}
	for _, p := range od.Params {
		if p.Default != nil {
			out[p.Name] = p.Default
		}
	}
	for name, v := range op.Params {
		attr, ok := described.Attribute(name)
		if !ok {
			return nil, problem.Invalid.Errorf("there is no parameter %q%s", name, suggest(name, described.attributeNames()))
		}
		c, err := attr.coerce(v, true)
		if err != nil {
			return nil, err
		}
		if c != nil {
			out[attr.Name] = c
		}
	}
	var missing []string
	for _, p := range described.Attributes {
		if p.Required && out[p.Name] == nil {
			missing = append(missing, p.Name)
		}
	}
	if len(missing) > 0 {
		return nil, problem.Invalid.Errorf("%s is required", strings.Join(missing, ", "))
	}
	return out, nil
}

// exists reports whether the resource is there: added to the tree, or implicit
// at a parent that exists.
func (t Tree) exists(a Address) bool {
	n, d := t.top(), t.Mode().root()
	for _, e := range a {
		c, ok := d.Child(e.Type, e.Name)
		if !ok {
			return false
		}
		d = c.Description
		if next := n.children[e.Type][e.Name]; next != nil {
			n = next
			continue
		}
		if !c.Implicit || c.Name != e.Name {
			return false
		}
		n = empty
	}
	return true
}

// missing refuses an address that is not there, naming its nearest neighbour.
func (t Tree) missing(a Address) error {
	for i := range a {
		if !t.exists(a[:i+1]) {
			return problem.NotFound.Errorf("cannot find %s: there is no %s %q%s", a, a[i].Type, a[i].Name, suggest(a[i].Name, t.childNames(a[:i], a[i].Type)))
		}
	}
	return nil
}

// childNames lists the children of a type that exist, the implicit ones too.
func (t Tree) childNames(a Address, typ string) []string {
	names := t.Names(a, typ)
	if d, err := t.Mode().Describe(a); err == nil {
		for _, c := range d.Children {
			if c.Type == typ && c.Implicit {
				names = append(names, c.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// runComposite runs the steps one after the other on the tree that the one
// before left; the result has each step's outcome and result.
func runComposite(t Tree, op Operation) (Tree, any, error) {
	steps, err := op.Steps()
	if err != nil {
		return t, nil, err
	}
	next, results := t, make(map[string]any, len(steps))
	for i, s := range steps {
		after, result, err := run(next, s)
		if err != nil {
			return t, nil, problem.KindOf(err).Errorf("cannot run composite: step %d of %d failed and nothing was changed: %w", i+1, len(steps), err)
		}
		next = after
		results[stepName(i)] = outcome(result)
	}
	return next, results, nil
}

func outcome(result any) map[string]any {
	return map[string]any{"outcome": "success", "result": result}
}
