package profiles

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func (r *request) readDescription() (any, error) {
	return r.desc.object(r.depth(), r.flag("operations")), nil
}

func (r *request) readOperationNames() (any, error) { return strings2any(operationNames(r.desc)), nil }

func (r *request) readOperationDescription() (any, error) {
	name := r.text("name")
	for _, od := range r.desc.AllOperations() {
		if od.Name == name {
			return od.object(), nil
		}
	}
	return nil, problem.NotFound.Errorf("there is no operation %q at %s%s", name, r.at, suggest(name, operationNames(r.desc)))
}

// AllOperations are the operations of a resource: those that every resource
// has, then its own. The parameters of add are the attributes.
func (d *Description) AllOperations() []OperationDescription {
	var out []OperationDescription
	for _, g := range generic() {
		od := g.OperationDescription
		if od.Name == "add" {
			od.Params = d.Attributes
		}
		out = append(out, od)
	}
	return append(out, d.Operations...)
}

// object is the description as read-resource-description gives it; children
// are described whole to a depth.
func (d *Description) object(depth int, operations bool) map[string]any {
	attributes := map[string]any{}
	for i := range d.Attributes {
		a := d.Attributes[i].object()
		a["access-type"], a["storage"] = "read-write", "configuration"
		attributes[d.Attributes[i].Name] = a
	}
	for i := range d.Runtime {
		a := d.Runtime[i].object()
		a["access-type"], a["storage"] = "read-only", "runtime"
		attributes[d.Runtime[i].Name] = a
	}
	children := map[string]any{}
	for _, c := range d.Children {
		models := map[string]any{}
		child, ok := children[c.Type].(map[string]any)
		if ok {
			models = child["model-description"].(map[string]any)
		}
		models[c.Name] = nil
		if depth > 0 {
			models[c.Name] = c.object(depth-1, operations)
		}
		children[c.Type] = map[string]any{"description": c.Text, "model-description": models}
	}
	out := map[string]any{"description": d.Text, "attributes": attributes, "children": children, "operations": nil}
	if operations {
		ops := map[string]any{}
		for _, od := range d.AllOperations() {
			ops[od.Name] = od.object()
		}
		out["operations"] = ops
	}
	return out
}

func (od OperationDescription) object() map[string]any {
	params := map[string]any{}
	for i := range od.Params {
		params[od.Params[i].Name] = od.Params[i].object()
	}
	out := map[string]any{
		"operation-name": od.Name, "description": od.Text, "request-properties": params,
		"reply-properties": map[string]any{}, "read-only": od.ReadOnly, "runtime-only": od.Runtime,
	}
	if od.Reply != "" {
		out["reply-properties"] = map[string]any{"type": od.Reply.model()}
	}
	return out
}

// restartWords are WildFly's words for effects.
var restartWords = [...]string{None: "no-services", Live: "no-services", Reload: "all-services", Restart: "jvm"}

func (attr *Attribute) object() map[string]any {
	out := map[string]any{
		"type": attr.Type.model(), "description": attr.Text,
		"required": attr.Required, "nillable": !attr.Required,
		"expressions-allowed": !attr.Literal,
		"effect":              attr.Effect.String(), "restart-required": restartWords[attr.Effect],
	}
	set := func(name string, v any, when bool) {
		if when {
			out[name] = v
		}
	}
	set("default", attr.Default, attr.Default != nil)
	set("unit", strings.ToUpper(attr.Unit), attr.Unit != "")
	set("allowed", strings2any(attr.Allowed), len(attr.Allowed) > 0)
	set("alternatives-names", strings2any(attr.Aliases), len(attr.Aliases) > 0)
	set("sensitive", true, attr.Sensitive)
	set("capability-reference", attr.Reference, attr.Reference != "")
	set("value-type", attr.elem().model(), attr.Type == List || attr.Type == Map)
	if attr.Range != nil {
		out["min"], out["max"] = attr.Range.Min, attr.Range.Max
	}
	return out
}

// model is the type's name in WildFly's descriptions.
func (t Type) model() string {
	switch t {
	case Map:
		return "OBJECT"
	case Size, Text:
		return "STRING"
	case Any:
		return "UNDEFINED"
	}
	return strings.ToUpper(string(t))
}
