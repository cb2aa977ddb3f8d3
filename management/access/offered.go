package access

import (
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// describesOperations reports whether an operation asks what can be asked.
func describesOperations(op profiles.Operation) bool {
	return op.Name == "read-operation-names" || op.Name == "read-operation-description" || op.Name == "read-resource-description"
}

// operationsOf takes out of a description the operations that the caller may not
// run. What looks like nothing in the list looks like nothing by its name too.
func operationsOf(c Caller, op profiles.Operation, tree profiles.Tree, result any) (any, error) {
	plain, err := decoded(result)
	if err != nil {
		return nil, err
	}
	switch op.Name {
	case "read-operation-names":
		list, _ := plain.([]any)
		return slices.DeleteFunc(list, func(name any) bool {
			text, _ := name.(string)
			return !offered(c, op.Address, text, tree)
		}), nil
	case "read-operation-description":
		if name, _ := op.Params["name"].(string); !offered(c, op.Address, name, tree) {
			return nil, problem.NotFound.Errorf("cannot describe the operation %q at %s: there is none for %q (see read-operation-names)", name, op.Address, c.Name)
		}
	case "read-resource-description":
		described(c, op.Address, tree, plain)
	}
	return plain, nil
}

// offered reports whether the caller may run an operation at a place, as far as
// its name says; its parameters may need more.
func offered(c Caller, at profiles.Address, name string, tree profiles.Tree) bool {
	if name == "composite" {
		return true // each of its steps is asked
	}
	return Authorize(c, profiles.Operation{Name: name, Address: at}, tree) == nil
}

// described goes through a resource's description and those below it.
func described(c Caller, at profiles.Address, tree profiles.Tree, value any) {
	d, _ := value.(map[string]any)
	operations, _ := d["operations"].(map[string]any)
	for name := range operations {
		if !offered(c, at, name, tree) {
			delete(operations, name)
		}
	}
	children, _ := d["children"].(map[string]any)
	for typ, child := range children {
		models, _ := child.(map[string]any)
		named, _ := models["model-description"].(map[string]any)
		for name, model := range named {
			described(c, at.Child(typ, name), tree, model)
		}
	}
}
