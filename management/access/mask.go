package access

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Masked stands for a sensitive value that the caller may not see.
const Masked = "********"

// Filter takes out of an operation's result what the caller may not see:
// resources out of scope disappear, sensitive values are masked. The result is
// anything that encodes to JSON; what comes back is too.
func Filter(c Caller, op profiles.Operation, tree profiles.Tree, result any) (any, error) {
	if describesOperations(op) {
		return operationsOf(c, op, tree, result)
	}
	if c.Has(granted[readSensitive]...) || result == nil {
		return result, nil
	}
	plain, err := decoded(result)
	if err != nil {
		return nil, err
	}
	f := filter{view{caller: c, tree: tree}}
	if at, ok := place(plain); ok && !f.visible(at) {
		return nil, nil // an event of a server out of scope
	}
	return f.result(op, plain), nil
}

// decoded gives a value in JSON's kinds.
func decoded(value any) (plain any, err error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encode the result: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err = d.Decode(&plain)
	return plain, err
}

type filter struct{ view }

func (f filter) result(op profiles.Operation, result any) any {
	switch {
	case op.Name == "composite":
		return f.composite(op, result)
	case op.Name == "read-config-as-toml":
		return f.document(result)
	case op.Name == "hosts":
		return f.hosts(result)
	case op.Address.HasWildcard() && op.ReadOnly():
		return f.wildcard(op, result)
	}
	switch op.Name {
	case "read-resource":
		return f.resource(op.Address, result)
	case "read-children-names":
		return f.names(op, result)
	case "read-children-resources":
		if children, ok := result.(map[string]any); ok {
			typ, _ := op.Params["child-type"].(string)
			return f.children(op.Address, typ, children)
		}
	}
	return f.changes(result)
}

func (f filter) composite(op profiles.Operation, result any) any {
	steps, err := op.Steps()
	results, ok := result.(map[string]any)
	if err != nil || !ok {
		return f.changes(result)
	}
	for i, step := range steps {
		answer, ok := results[stepName(i)].(map[string]any)
		if ok && answer["result"] != nil {
			answer["result"] = f.result(step, answer["result"])
		}
	}
	return results
}

func stepName(i int) string { return "step-" + strconv.Itoa(i+1) }

// wildcard filters a list of {"address", "outcome", "result"}.
func (f filter) wildcard(op profiles.Operation, result any) any {
	list, ok := result.([]any)
	if !ok {
		return f.changes(result)
	}
	kept := []any{}
	for _, element := range list {
		one, ok := element.(map[string]any)
		if !ok {
			continue
		}
		var at profiles.Address
		text, err := json.Marshal(one["address"])
		if err != nil || json.Unmarshal(text, &at) != nil || !f.visible(at) {
			continue
		}
		single := op
		single.Address = at
		one["result"] = f.result(single, one["result"])
		kept = append(kept, one)
	}
	return kept
}

// resource masks the attributes of a resource that was read and goes down to
// the children that were read with it.
func (f filter) resource(a profiles.Address, value any) any {
	members, ok := value.(map[string]any)
	if !ok {
		return value
	}
	d, err := f.tree.Mode().Describe(a)
	if err != nil {
		return value
	}
	for name, member := range members {
		if attribute, ok := d.Attribute(name); ok {
			if attribute.Sensitive && member != nil && !f.allowed(readSensitive, a) {
				members[name] = Masked
			}
			continue
		}
		if children, ok := member.(map[string]any); ok && slices.Contains(d.ChildTypes(), name) {
			members[name] = f.children(a, name, children)
		}
	}
	return members
}

func (f filter) children(a profiles.Address, typ string, children map[string]any) map[string]any {
	for name, child := range children {
		at := a.Child(typ, name)
		if !f.visible(at) || areaOf(at) == accessArea && !f.allowed(readSensitive, at) {
			delete(children, name)
			continue
		}
		children[name] = f.resource(at, child)
	}
	return children
}

// hosts filters a list of {"name", ...}.
func (f filter) hosts(result any) any {
	list, ok := result.([]any)
	if !ok {
		return result
	}
	return slices.DeleteFunc(list, func(element any) bool {
		one, _ := element.(map[string]any)
		name, _ := one["name"].(string)
		return !f.visible(profiles.Address{{Type: "host", Name: name}})
	})
}

func (f filter) names(op profiles.Operation, result any) any {
	list, ok := result.([]any)
	typ, _ := op.Params["child-type"].(string)
	if !ok {
		return result
	}
	return slices.DeleteFunc(list, func(name any) bool {
		text, _ := name.(string)
		return !f.visible(op.Address.Child(typ, text))
	})
}

// changes goes through any value, drops what is about a place out of scope
// (changes, operations, servers) and masks sensitive values in changes.
func (f filter) changes(value any) any {
	switch v := value.(type) {
	case []any:
		kept := make([]any, 0, len(v))
		for _, element := range v {
			if at, ok := place(element); ok && !f.visible(at) || f.elsewhere(element) {
				continue
			}
			kept = append(kept, f.changes(element))
		}
		return kept
	case map[string]any:
		if at, ok := place(v); ok && v["effect"] != nil && v["address"] != nil {
			return f.change(at, v)
		}
		if isRollout(v) {
			return f.rollout(v)
		}
		before, revision := v["changes"].([]any)
		for name, member := range v {
			if at, ok := place(member); ok && !f.visible(at) {
				delete(v, name)
				continue
			}
			v[name] = f.changes(member)
		}
		if after, _ := v["changes"].([]any); revision && len(after) < len(before) {
			delete(v, "comment") // it may say what the rest was
		}
	}
	return value
}

// place gives the address that a value is about: a change (profiles.Change), an
// operation, or a server named by "host" and "server".
func place(value any) (profiles.Address, bool) {
	v, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	host, onHost := v["host"].(string)
	server, isServer := v["server"].(string)
	if onHost && isServer {
		return profiles.Address{{Type: "host", Name: host}, {Type: "server", Name: server}}, true
	}
	if v["address"] == nil || v["effect"] == nil && v["operation"] == nil {
		return nil, false
	}
	text, err := json.Marshal(v["address"])
	if err != nil {
		return nil, false
	}
	var at profiles.Address
	return at, json.Unmarshal(text, &at) == nil
}

func (f filter) change(at profiles.Address, change map[string]any) any {
	if f.allowed(readSensitive, at) {
		return change
	}
	name, written := change["attribute"].(string)
	for _, side := range [...]string{"old", "new"} {
		if change[side] == nil {
			continue
		}
		if !written {
			change[side] = f.resource(at, change[side])
			continue
		}
		if masked, ok := f.resource(at, map[string]any{name: change[side]}).(map[string]any); ok {
			change[side] = masked[name]
		}
	}
	return change
}

// document masks a whole configuration: it is parsed, masked and printed again.
// What cannot be parsed is not shown at all.
func (f filter) document(result any) any {
	text, ok := result.(string)
	if !ok {
		return Masked
	}
	tree, err := profiles.ParseTOML("configuration", []byte(text))
	if err != nil {
		return Masked
	}
	var masks profiles.ChangeSet
	var hidden []profiles.Address
	tree.Walk(func(a profiles.Address, attributes map[string]any) {
		a = slices.Clone(a)
		if !f.visible(a) {
			if !slices.ContainsFunc(hidden, a.Under) {
				hidden = append(hidden, a)
				masks = append(masks, profiles.Change{Kind: profiles.Removed, Address: a})
			}
			return
		}
		d, err := tree.Mode().Describe(a)
		if err != nil || f.allowed(readSensitive, a) {
			return
		}
		for name, value := range attributes {
			if attribute, ok := d.Attribute(name); ok && attribute.Sensitive && value != nil {
				masks = append(masks, profiles.Change{Kind: profiles.Written, Address: a, Attribute: name, New: Masked})
			}
		}
	})
	return string(profiles.EncodeTOML(masks.Patch(tree)))
}

// MaskOperation is an operation as it may be written to the audit log: the
// sensitive values in it, passwords and tokens included, are masked.
func MaskOperation(op profiles.Operation, mode profiles.Mode) profiles.Operation {
	masked := op
	masked.Params = make(map[string]any, len(op.Params))
	d, err := mode.Describe(op.Address)
	written, _ := op.Params["name"].(string)
	if err == nil {
		if _, whole := d.Attribute(written); !whole {
			written = profiles.AttributeHead(written)
		}
	}
	for name, value := range op.Params {
		if op.Name == "add-user" || op.Name == "set-user-password" {
			if name == "password" {
				value = Masked
			}
		}
		if err == nil {
			attribute, ok := d.Attribute(name)
			target, targeted := d.Attribute(written)
			if ok && attribute.Sensitive || name == "value" && targeted && target.Sensitive {
				value = Masked
			}
		}
		if name == "toml" {
			value = Masked // a whole configuration, secrets included
		}
		masked.Params[name] = value
	}
	if steps, err := op.Steps(); err == nil && steps != nil {
		for i, step := range steps {
			steps[i] = MaskOperation(step, mode)
		}
		masked.Params["steps"] = profiles.Composite(steps...).Params["steps"]
		masked.Address = nil // the steps carry it
	}
	return masked
}
