package api

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

func revisionText(n uint64) string { return strconv.FormatUint(n, 10) }

// openAPI serves the OpenAPI 3.1 document of the HTTP interface.
func (i *Interface) openAPI(w http.ResponseWriter, _ *http.Request, _ access.Caller) {
	doc, err := Document(i.config.Model.Tree().Mode(), i.config.Version)
	if err != nil {
		writeFailure(w, err)
		return
	}
	writeJSON(w, http.StatusOK, doc)
}

// object is a JSON object.
type object = map[string]any

// Document is the OpenAPI 3.1 document of a mode's tree: one path for each type
// of resource, generated from the resource descriptions, and the paths that
// take operations.
func Document(mode profiles.Mode, version string) (map[string]any, error) {
	root, err := mode.Describe(nil)
	if err != nil {
		return nil, err
	}
	d := &document{paths: object{}}
	d.fixed()
	d.resource("/management", nil, root)
	return object{
		"openapi":  "3.1.0",
		"info":     object{"title": "Gatehouse management", "version": version, "description": "The management model over HTTP."},
		"paths":    d.paths,
		"security": []any{object{"basic": []any{}}, object{"bearer": []any{}}},
		"components": object{
			"securitySchemes": object{
				"basic":  object{"type": "http", "scheme": "basic"},
				"bearer": object{"type": "http", "scheme": "bearer", "description": "The token of POST /management/session."},
			},
			"schemas": object{"Operation": operationSchema(), "Response": responseSchema()},
		},
	}, nil
}

type document struct{ paths object }

func (d *document) fixed() {
	d.paths["/management/session"] = object{"post": object{
		"summary": "Open a session; authenticate with basic.", "operationId": "openSession",
		"security":  []any{object{"basic": []any{}}},
		"responses": object{"200": content("The token.", properties("token", "string", "expires", "integer"))},
	}}
	d.paths["/health"] = object{"get": object{
		"summary": "Whether this node serves.", "operationId": "health", "security": []any{},
		"responses": object{"200": content("It does.", object{"type": "object"}), "503": content("It does not.", object{"type": "object"})},
	}}
	d.paths["/metrics"] = object{"get": object{
		"summary": "Metrics in Prometheus' text format.", "operationId": "metrics",
		"responses": object{"200": object{"description": "The metrics."}},
	}}
}

// resource adds the path of one type of resources and goes down.
func (d *document) resource(path string, a profiles.Address, r *profiles.Description) {
	d.paths[path] = object{"get": object{
		"summary": r.Text, "operationId": "read" + identifier(path),
		"parameters": append(pathParameters(path), queryParameters()...),
		"responses":  object{"200": content("The resource, or what the operation reads.", resourceSchema(r)), "default": failure()},
	}}
	if path == "/management" {
		d.paths[path].(object)["post"] = object{
			"summary": "Run one operation.", "operationId": "execute",
			"requestBody": object{"required": true, "content": object{"application/json": object{"schema": ref("Operation")}}},
			"responses": object{
				"200": content("It succeeded.", ref("Response")), "413": failure(), "default": failure(),
			},
		}
	}
	for _, c := range r.Children {
		at := a.Child(c.Type, c.Name)
		if cycles(at) {
			continue
		}
		step := c.Name
		if step == profiles.Wildcard {
			step = "{" + parameterName(path, c.Type) + "}"
		}
		d.resource(path+"/"+c.Type+"/"+step, at, c.Description)
	}
}

// cycles guards against descriptions that hold themselves.
func cycles(a profiles.Address) bool { return len(a) > 12 }

// parameterName is unique in its path.
func parameterName(path, typ string) string {
	name := typ
	for n := 2; strings.Contains(path, "{"+name+"}"); n++ {
		name = typ + strconv.Itoa(n)
	}
	return name
}

func pathParameters(path string) []any {
	list := []any{}
	for _, step := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(step, "{"); ok {
			list = append(list, object{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"},
			})
		}
	}
	return list
}

func queryParameters() []any {
	parameter := func(name, text string, schema object) any {
		return object{"name": name, "in": "query", "description": text, "schema": schema}
	}
	boolean := object{"type": "boolean"}
	return []any{
		parameter("operation", "A read; read-resource when left out.", object{"type": "string", "examples": []any{"attribute", "resource", "resource-description"}}),
		parameter("name", "Of the attribute.", object{"type": "string"}),
		parameter("recursive", "With all resources below.", boolean),
		parameter("include-defaults", "With the defaults of what is undefined.", boolean),
		parameter("include-runtime", "With what runs.", boolean),
	}
}

// resourceSchema is the schema of what read-resource gives.
func resourceSchema(r *profiles.Description) object {
	members := object{}
	for _, a := range r.Attributes {
		members[a.Name] = attributeSchema(a)
	}
	for _, typ := range r.ChildTypes() {
		members[typ] = object{"type": []any{"object", "null"}, "description": "Children by name."}
	}
	return object{"type": "object", "description": r.Text, "properties": members}
}

var schemaTypes = map[profiles.Type]string{
	profiles.String: "string", profiles.Int: "integer", profiles.Long: "integer", profiles.Bool: "boolean",
	profiles.List: "array", profiles.Map: "object", profiles.Object: "object",
}

func attributeSchema(a profiles.Attribute) object {
	s := object{"description": strings.TrimSpace(a.Text + unit(a.Unit)), "x-effect": a.Effect.String()}
	if t, ok := schemaTypes[a.Type]; ok {
		types := []any{t, "null"}
		if !a.Literal && t != "string" && t != "object" && t != "array" {
			types = append(types, "string") // an expression
		}
		s["type"] = types
	}
	if a.Default != nil {
		s["default"] = a.Default
	}
	if len(a.Allowed) > 0 {
		s["examples"] = a.Allowed
	}
	if a.Range != nil {
		s["minimum"], s["maximum"] = a.Range.Min, a.Range.Max
	}
	if a.Sensitive {
		s["format"] = "password"
	}
	return s
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return " Unit: " + u + "."
}

func operationSchema() object {
	return object{
		"type": "object", "required": []any{"operation"},
		"description": "Parameters are members beside these.",
		"properties": object{
			"operation": object{"type": "string"},
			"address": object{"type": "array", "description": `Steps {"type": "name"}; left out for the root.`,
				"items": object{"type": "object", "additionalProperties": object{"type": "string"}}},
			"operation-headers": object{"type": "object"},
		},
		"additionalProperties": true,
	}
}

func responseSchema() object {
	s := properties("outcome", "string", "failure-description", "string", "failure-kind", "string", "revision", "integer", "rolled-back", "boolean", "response-headers", "object")
	s["properties"].(object)["outcome"] = object{"enum": []any{"success", "failed"}}
	s["properties"].(object)["result"] = object{}
	return s
}

// properties makes an object's schema of names and types in turn.
func properties(pairs ...string) object {
	members := object{}
	for n := 0; n+1 < len(pairs); n += 2 {
		members[pairs[n]] = object{"type": pairs[n+1]}
	}
	return object{"type": "object", "properties": members}
}

func content(text string, schema object) object {
	return object{"description": text, "content": object{"application/json": object{"schema": schema}}}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func failure() object { return content("It failed; nothing was changed.", ref("Response")) }

// identifier makes an operation's id of a path.
func identifier(path string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}-._", r) }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
