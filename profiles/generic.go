package profiles

import "strconv"

// operation is an operation and how it is run on a tree.
type operation struct {
	OperationDescription
	run func(*request) (Tree, any, error)
}

func stepName(i int) string { return "step-" + strconv.Itoa(i+1) }

// generic lists the operations that every resource has.
func generic() []operation {
	name := Attribute{Name: "name", Type: String, Required: true, Literal: true, Text: "The attribute; properties.x for one key of it, handlers[0] for one element."}
	value := Attribute{Name: "value", Type: Any, Text: "The value."}
	key := Attribute{Name: "key", Type: String, Required: true, Literal: true, Text: "The key."}
	index := Attribute{Name: "index", Type: Int, Text: "The position, from 0."}
	flag := func(name string, def bool, text string) Attribute {
		return Attribute{Name: name, Type: Bool, Default: def, Text: text}
	}
	recursive := flag("recursive", false, "Also what is below.")
	depth := Attribute{Name: "recursive-depth", Type: Int, Text: "How deep."}
	runtime := flag("include-runtime", false, "Also what is known only of what runs.")
	defaults := flag("include-defaults", true, "Also what is not set.")
	childType := Attribute{Name: "child-type", Type: String, Required: true, Literal: true, Text: "The type of the children."}
	required := value
	required.Required = true
	read := func(name, text string, reply Type, run func(*request) (any, error), params ...Attribute) operation {
		return operation{OperationDescription{Name: name, Text: text, Params: params, Reply: reply, ReadOnly: true}, reading(run)}
	}
	write := func(name, text string, run func(*request) (Tree, any, error), params ...Attribute) operation {
		return operation{OperationDescription{Name: name, Text: text, Params: params}, run}
	}
	return []operation{
		read("read-resource", "The attributes and the children of a resource.", Object, (*request).readResource, recursive, depth, runtime, defaults,
			flag("attributes-only", false, "No children."), flag("proxies", false, "Accepted.")),
		read("read-attribute", "The value of an attribute.", Any, (*request).readAttribute, name, defaults,
			flag("resolve-expressions", false, "With its expressions resolved, as resolve-expression does.")),
		write("write-attribute", "Set an attribute.", (*request).writeAttribute, name, value),
		write("undefine-attribute", "Give an attribute its default again.", (*request).undefineAttribute, name),
		write("add", "Add the resource; the parameters are its attributes.", (*request).add),
		write("remove", "Remove the resource and all below it.", (*request).remove),
		write("map-put", "Set one key of an attribute.", (*request).mapPut, name, key, required),
		read("map-get", "One key of an attribute.", Any, (*request).mapGet, name, key),
		write("map-remove", "Remove one key of an attribute.", (*request).mapRemove, name, key),
		write("map-clear", "Remove all keys of an attribute.", (*request).mapClear, name),
		write("list-add", "Add to a list, at its end or at an index.", (*request).listAdd, name, required, index),
		read("list-get", "One element of a list.", Any, (*request).listGet, name, index),
		write("list-remove", "Remove a value, or what is at an index, from a list.", (*request).listRemove, name, value, index),
		write("list-clear", "Remove everything from a list.", (*request).listClear, name),
		read("read-resource-description", "What a resource is, what it has and what it can do.", Object, (*request).readDescription, recursive, depth,
			flag("operations", false, "Also the operations."), flag("inherited", true, "Accepted.")),
		read("read-operation-names", "The names of the operations.", List, (*request).readOperationNames),
		read("read-operation-description", "What an operation is and takes.", Object, (*request).readOperationDescription,
			Attribute{Name: "name", Type: String, Required: true, Literal: true, Text: "The operation."}),
		read("read-children-types", "The types of children.", List, (*request).readChildrenTypes),
		read("read-children-names", "The names of the children of a type.", List, (*request).readChildrenNames, childType),
		read("read-children-resources", "The children of a type.", Object, (*request).readChildrenResources, childType, recursive, depth, runtime, defaults),
		read("resolve-expression", "An expression's value by the system properties of the resource's level and the levels above.", String, (*request).resolveExpression,
			Attribute{Name: "expression", Type: String, Required: true, Text: "The expression."}),
		write("composite", "Several operations, all or none.", nil,
			Attribute{Name: "steps", Type: List, Elem: Object, Required: true, Text: "The operations."}),
	}
}

func reading(f func(*request) (any, error)) func(*request) (Tree, any, error) {
	return func(r *request) (Tree, any, error) {
		result, err := f(r)
		return r.tree, result, err
	}
}
