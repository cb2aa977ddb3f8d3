package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// masked is a value without what is secret in it: the console never shows a
// secret, also to those who could read it.
func masked(a *profiles.Attribute, value any) any {
	if value == nil {
		return nil
	}
	if a.Sensitive {
		return access.Masked
	}
	return maskKeys(value)
}

// maskKeys masks what keys of objects, as a provider's properties, tell to be
// secret.
func maskKeys(value any) any {
	switch v := value.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = maskKeys(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			out[key] = maskKeys(member)
			if profiles.SensitiveKey(key) {
				out[key] = access.Masked
			}
		}
		return out
	}
	return value
}

// unmasked puts the secrets that a form showed masked, and that came back so,
// in again from the value that there was.
func unmasked(a *profiles.Attribute, value, was any) (any, error) {
	switch v := value.(type) {
	case []any:
		before, _ := was.([]any)
		for i := range v {
			var old any
			if len(before) == len(v) {
				old = before[i]
			}
			var err error
			if v[i], err = unmasked(a, v[i], old); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		before, _ := was.(map[string]any)
		for key, member := range v {
			var err error
			if v[key], err = unmasked(a, member, before[key]); err != nil {
				return nil, err
			}
		}
	case string:
		if v != access.Masked {
			return v, nil
		}
		if was == nil || was == access.Masked {
			return nil, problem.Invalid.Errorf("cannot keep a secret of %s: you may not see it, or it is new; write its value, or leave it out", a.Name)
		}
		return was, nil
	}
	return value, nil
}

// field is one attribute as a part of a form, made from its description.
type field struct {
	*profiles.Attribute
	Kind        string   // "choice", "lines", "pairs", "json", "secret" or "text"
	Text        string   // what the control begins with
	Choices     []string // of a choice
	Expression  string   // what the expression's control begins with
	Placeholder string   // the default
	Help        []string // what is valid, in words
}

// Input is the name of the control.
func (f field) Input() string { return "value." + f.Name }

// ExpressionInput is the name of the control for an expression beside it.
func (f field) ExpressionInput() string { return "expression." + f.Name }

// Wide fields take more than one line.
func (f field) Wide() bool { return f.Kind == "lines" || f.Kind == "pairs" || f.Kind == "json" }

// WithExpression fields have a control of their own for an expression.
func (f field) WithExpression() bool { return f.Kind == "choice" && !f.Literal }

// fieldOf makes the field of an attribute with its value; nil: it is not set.
func fieldOf(a *profiles.Attribute, value any) field {
	f := field{Attribute: a, Kind: kindOf(a), Help: helpOf(a)}
	if a.Default != nil && !a.Sensitive {
		f.Placeholder = profiles.Format(a.Default)
		if text, ok := a.Default.(string); ok {
			f.Placeholder = text
		}
	}
	value = masked(a, value)
	switch f.Kind {
	case "secret":
	case "choice":
		f.Choices = a.Allowed
		if a.Type == profiles.Bool {
			f.Choices = []string{"true", "false"}
		}
		f.Text = plain(value)
		if profiles.IsExpression(value) {
			f.Text, f.Expression = "", f.Text
		}
	case "lines":
		f.Text = strings.Join(lines(value), "\n")
	case "pairs":
		f.Text = strings.Join(pairs(value), "\n")
	case "json":
		if value != nil {
			text, err := json.MarshalIndent(value, "", "  ")
			if err == nil {
				f.Text = string(text)
			}
		}
	default:
		f.Text = plain(value)
	}
	return f
}

// refilled is the field as a form that was sent has it; secrets are to be written
// again.
func (f field) refilled(form url.Values) field {
	if form.Has(f.Input()) && f.Kind != "secret" {
		f.Text, f.Expression = form.Get(f.Input()), form.Get(f.ExpressionInput())
	}
	return f
}

func kindOf(a *profiles.Attribute) string {
	plainElements := a.Elem == "" || a.Elem == profiles.String || a.Elem == profiles.Text
	switch {
	case a.Sensitive && (a.Type == profiles.String || a.Type == profiles.Any):
		return "secret"
	case a.Type == profiles.Bool, a.Type == profiles.String && len(a.Allowed) > 0:
		return "choice"
	case (a.Type == profiles.List || a.Type == profiles.Text) && plainElements:
		return "lines"
	case a.Type == profiles.Map && plainElements:
		return "pairs"
	case a.Type == profiles.List, a.Type == profiles.Map, a.Type == profiles.Object, a.Type == profiles.Any:
		return "json"
	}
	return "text"
}

// helpOf says in words what the description allows.
func helpOf(a *profiles.Attribute) []string {
	help := []string{"type " + string(a.Type)}
	if a.Range != nil {
		help = append(help, fmt.Sprintf("%d to %d", a.Range.Min, a.Range.Max))
	}
	if a.Unit != "" {
		help = append(help, "in "+strings.ToLower(a.Unit))
	}
	if len(a.Allowed) > 0 {
		help = append(help, "one of "+strings.Join(a.Allowed, ", "))
	}
	if a.Reference != "" {
		help = append(help, "the name of a "+a.Reference)
	}
	if !a.Literal {
		help = append(help, "may be an expression, ${name:default}")
	}
	return append(help, "a change is applied "+effectWords[a.Effect])
}

// effectWords say what a change needs.
var effectWords = map[profiles.Effect]string{
	profiles.None: "without any server seeing it", profiles.Live: "live",
	profiles.Reload: "when the servers reload", profiles.Restart: "when the servers restart",
}

func plain(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return profiles.Format(value)
}

func lines(value any) []string {
	list, ok := value.([]any)
	if !ok {
		if text := plain(value); text != "" {
			return []string{text}
		}
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = plain(v)
	}
	return out
}

func pairs(value any) []string {
	object, _ := value.(map[string]any)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(object)) {
		// A value may be a list of strings; JSON says so.
		text, ok := object[key].(string)
		if !ok {
			data, err := json.Marshal(object[key])
			if err != nil {
				continue
			}
			text = string(data)
		}
		out = append(out, key+" = "+text)
	}
	return out
}

// valueOf reads what a form says for an attribute; nil: nothing. was is the
// value that it has now, for the secrets that the form showed masked.
func valueOf(form url.Values, a *profiles.Attribute, was any) (any, error) {
	text := strings.ReplaceAll(form.Get("value."+a.Name), "\r\n", "\n")
	if expression := strings.TrimSpace(form.Get("expression." + a.Name)); expression != "" {
		return expression, nil
	}
	switch kind := kindOf(a); {
	case text == "":
		return nil, nil
	case kind == "lines":
		return listOf(a, text), nil
	case kind == "pairs", kind == "json":
		read := map[string]func(*profiles.Attribute, string) (any, error){"pairs": mapOf, "json": jsonOf}[kind]
		value, err := read(a, text)
		if err != nil {
			return nil, err
		}
		return unmasked(a, value, was)
	case a.Type == profiles.Bool && (text == "true" || text == "false"):
		return text == "true", nil
	case a.Type == profiles.Int, a.Type == profiles.Long, a.Type == profiles.Size:
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
			return n, nil
		}
	}
	return text, nil // the model says what is wrong with it
}

func listOf(a *profiles.Attribute, text string) any {
	list := []any{}
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	if a.Type == profiles.Text && len(list) == 1 {
		return list[0]
	}
	return list
}

func mapOf(a *profiles.Attribute, text string) (any, error) {
	object := map[string]any{}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok || key == "":
			return nil, problem.Invalid.Errorf("cannot read %s: the line %q is not name = value", a.Name, line)
		case strings.HasPrefix(value, "["):
			list, err := jsonOf(a, value)
			if err != nil {
				return nil, err
			}
			object[key] = list
		default:
			object[key] = value
		}
	}
	return object, nil
}

func jsonOf(a *profiles.Attribute, text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, problem.Invalid.Errorf("cannot read %s: want JSON: %w", a.Name, err)
	}
	return profiles.Normalize(value)
}
