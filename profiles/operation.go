package profiles

import (
	"encoding/json"
	"maps"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Operation asks a resource for something. Its JSON form is WildFly's:
// {"operation":"write-attribute","address":[{"profile":"web"}],"name":"x","value":1,
// "operation-headers":{...}}; a composite has its steps, a list of the same, as
// the parameter "steps".
type Operation struct {
	Name    string
	Address Address
	Params  map[string]any // values as Normalize gives them
	Headers map[string]any
}

// Names in the JSON form that are not parameters.
const (
	keyOperation = "operation"
	keyAddress   = "address"
	keyHeaders   = "operation-headers"
)

// Composite is one operation of several that happen together or not at all.
func Composite(steps ...Operation) Operation {
	list := make([]any, len(steps))
	for i, s := range steps {
		list[i] = s.object()
	}
	return Operation{Name: "composite", Params: map[string]any{"steps": list}}
}

// object is the operation as a value.
func (o Operation) object() map[string]any {
	out := maps.Clone(o.Params)
	if out == nil {
		out = map[string]any{}
	}
	address := make([]any, len(o.Address))
	for i, e := range o.Address {
		address[i] = map[string]any{e.Type: e.Name}
	}
	out[keyOperation], out[keyAddress] = o.Name, address
	if len(o.Headers) > 0 {
		out[keyHeaders] = o.Headers
	}
	return out
}

// MarshalJSON gives WildFly's form.
func (o Operation) MarshalJSON() ([]byte, error) { return json.Marshal(o.object()) }

// UnmarshalJSON reads WildFly's form.
func (o *Operation) UnmarshalJSON(data []byte) error {
	var raw map[string]any
	if err := decodeJSON(data, &raw); err != nil {
		return err
	}
	parsed, err := operationOf(raw)
	if err != nil {
		return err
	}
	*o = parsed
	return nil
}

// operationOf reads an operation from a value.
func operationOf(raw any) (Operation, error) {
	v, err := Normalize(raw)
	if err != nil {
		return Operation{}, err
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return Operation{}, problem.Invalid.Errorf(`cannot read an operation: it is not an object with "operation" and "address"`)
	}
	o := Operation{Params: map[string]any{}}
	for k, v := range obj {
		switch k {
		case keyOperation:
			o.Name, _ = v.(string)
		case keyAddress:
			text, err := json.Marshal(v)
			if err == nil && v != nil {
				err = json.Unmarshal(text, &o.Address)
			}
			if err != nil {
				return Operation{}, err
			}
		case keyHeaders:
			headers, ok := v.(map[string]any)
			if !ok && v != nil {
				return Operation{}, problem.Invalid.Errorf("cannot read an operation: %s is not an object", keyHeaders)
			}
			o.Headers = headers
		default:
			o.Params[k] = v
		}
	}
	if o.Name == "" {
		return Operation{}, problem.Invalid.Errorf(`cannot read an operation: "operation" is missing`)
	}
	return o, nil
}

// Steps are the operations of a composite; nil for another operation.
func (o Operation) Steps() ([]Operation, error) {
	if o.Name != "composite" {
		return nil, nil
	}
	list, ok := o.Params["steps"].([]any)
	if !ok {
		return nil, problem.Invalid.Errorf("cannot run composite: steps is not a list of operations")
	}
	steps := make([]Operation, len(list))
	for i, raw := range list {
		s, err := operationOf(raw)
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot run composite: step %d: %w", i+1, err)
		}
		s.Address = o.Address.Join(s.Address)
		steps[i] = s
	}
	return steps, nil
}

// String is the command line's form, parameters sorted by name.
func (o Operation) String() string {
	s := o.Address.String()
	if len(o.Address) == 0 {
		s = ""
	}
	s += ":" + o.Name
	if len(o.Params) > 0 {
		s += "(" + formatPairs(o.Params) + ")"
	}
	if len(o.Headers) > 0 {
		s += "{" + formatPairs(o.Headers) + "}"
	}
	return s
}
