package profiles

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// coerce gives v as a value of attr, or says why it is none. A lenient caller
// also takes numbers and truth values that are written as strings, and the other
// way round, as WildFly's command line does.
func (attr *Attribute) coerce(v any, lenient bool) (any, error) {
	v, err := Normalize(v)
	if err != nil || v == nil {
		return nil, err
	}
	if s, ok := v.(string); ok && !attr.Verbatim && attr.Type != Object && attr.Type != Any {
		switch {
		case attr.Literal && IsExpression(s):
			return nil, problem.Invalid.Errorf("%s must not be an expression", attr.Name)
		case IsExpression(s):
			return s, attr.expression(s)
		}
	}
	v, err = attr.convert(v, lenient)
	if err != nil {
		return nil, err
	}
	return v, attr.limits(v)
}

// expression checks a value that holds expressions.
func (attr *Attribute) expression(s string) error {
	if attr.Sensitive {
		_, err := resolve(s, func(string) (string, bool) { return "", true }, true)
		return err
	}
	return CheckExpression(s)
}

// shown is a value in an error.
func (attr *Attribute) shown(v any) string {
	if attr.Sensitive {
		return masked
	}
	return Format(maskKeys(v))
}

// convert brings a value that is no expression to the attribute's type.
func (attr *Attribute) convert(v any, lenient bool) (any, error) {
	switch attr.Type {
	case Object:
		if _, ok := v.(map[string]any); ok {
			return v, nil
		}
	case Any:
		return v, nil
	case List:
		if list, ok := v.([]any); ok {
			return attr.elements(list, lenient)
		}
	case Map:
		if m, ok := v.(map[string]any); ok {
			return attr.entries(m, lenient)
		}
	default:
		if scalar, ok := toScalar(attr.Type, v, lenient); ok {
			return scalar, nil
		}
	}
	return nil, problem.Invalid.Errorf("%s must be %s, not %s", attr.Name, attr.Type.article(), attr.shown(v))
}

func (attr *Attribute) elements(list []any, lenient bool) (any, error) {
	element := Attribute{Name: attr.Name, Type: attr.elem(), Literal: attr.Literal}
	out := make([]any, len(list))
	for i, e := range list {
		element.Name = fmt.Sprintf("%s[%d]", attr.Name, i)
		c, err := element.coerce(e, lenient)
		if err != nil {
			return nil, err
		}
		if c == nil {
			return nil, problem.Invalid.Errorf("%s is undefined", element.Name)
		}
		out[i] = c
	}
	return out, nil
}

func (attr *Attribute) entries(m map[string]any, lenient bool) (any, error) {
	element := Attribute{Type: attr.elem(), Literal: attr.Literal}
	out := make(map[string]any, len(m))
	for k, e := range m {
		element.Name = attr.Name + "." + k
		c, err := element.coerce(e, lenient)
		if err != nil {
			return nil, err
		}
		if c == nil {
			return nil, problem.Invalid.Errorf("%s is undefined", element.Name)
		}
		out[k] = c
	}
	return out, nil
}

func (attr *Attribute) elem() Type {
	if attr.Elem == "" {
		return String
	}
	return attr.Elem
}

// toScalar brings a value to a scalar type.
func toScalar(t Type, v any, lenient bool) (any, bool) {
	switch v := v.(type) {
	case string:
		switch {
		case t == String || t == Text:
			return v, true
		case t == Size:
			_, ok := ParseSize(v)
			return v, ok
		case t == Bool && lenient && (v == "true" || v == "false"):
			return v == "true", true
		case (t == Int || t == Long) && lenient:
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		case t == Double && lenient:
			n, err := parseNumber(v)
			return n, err == nil
		}
	case int64:
		switch {
		case t == Int || t == Long || t == Double || t == Size && v >= 0:
			return v, true
		case t == Text || t == String && lenient:
			return strconv.FormatInt(v, 10), true
		}
	case float64:
		switch {
		case t == Double:
			return v, true
		case t == Text || t == String && lenient:
			return FormatNumber(v), true
		}
	case bool:
		switch {
		case t == Bool:
			return v, true
		case t == Text || t == String && lenient:
			return strconv.FormatBool(v), true
		}
	case []any:
		if t == Text {
			list := Attribute{Name: "list", Type: List}
			out, err := list.elements(v, true)
			return out, err == nil
		}
	}
	return nil, false
}

// limits checks the range and the allowed values.
func (attr *Attribute) limits(v any) error {
	if len(attr.Allowed) > 0 {
		if s, ok := v.(string); ok && !slices.Contains(attr.Allowed, s) {
			return problem.Invalid.Errorf("%s must not be %q%s", attr.Name, s, suggest(s, attr.Allowed))
		}
	}
	r := attr.Range
	if f, decimal := v.(float64); decimal && r != nil && (f < float64(r.Min) || f > float64(r.Max)) {
		return problem.Invalid.Errorf("%s must not be %s (valid: %d to %d%s)", attr.Name, FormatNumber(f), r.Min, r.Max, unit(attr.Unit))
	}
	n, ok := v.(int64)
	if !ok {
		return nil
	}
	if r == nil && attr.Type == Int {
		r = &Range{math.MinInt32, math.MaxInt32}
	}
	if r != nil && (n < r.Min || n > r.Max) {
		return problem.Invalid.Errorf("%s must not be %d (valid: %d to %d%s)", attr.Name, n, r.Min, r.Max, unit(attr.Unit))
	}
	return nil
}

func unit(u string) string {
	if u == "" {
		return ""
	}
	return " " + u
}

// article is the type in a sentence.
func (t Type) article() string {
	switch t {
	case Int, Long:
		return "a whole number"
	case Double:
		return "a number"
	case Bool:
		return "true or false"
	case List:
		return "a list of strings"
	case Map:
		return "an object of names and strings"
	case Object:
		return "an object"
	case Size:
		return `a size in bytes, as 1048576 or "512m"`
	case Text:
		return "a string or a list of strings"
	}
	return "a string"
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,15})\s*([kKmMgGtT]?)([iI]?[bB]?)$`)

// ParseSize reads a number of bytes: 1048576, "512m", "2G", "64k". The units are
// powers of 1024, as WildFly's are.
func ParseSize(s string) (int64, bool) {
	m := sizePattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return 0, false
	}
	shift := map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[strings.ToLower(m[2])]
	if n > math.MaxInt64>>shift {
		return 0, false
	}
	return n << shift, true
}

// Resolved is a value of attr with its expressions expanded and its type as
// described; the error says what is wrong but not where.
func (attr *Attribute) Resolved(v any, lookup Lookup) (any, error) {
	if attr.Literal {
		return v, nil
	}
	expand := Expand
	if attr.Sensitive {
		expand = func(s string, l Lookup) (string, error) { return resolve(s, l, false) }
	}
	expanded, err := expandWith(v, lookup, expand)
	if err != nil {
		return nil, err
	}
	if s, ok := expanded.(string); ok && attr.Type == Size {
		n, ok := ParseSize(s)
		if !ok {
			return nil, problem.Invalid.Errorf("%s must be %s, not %q", attr.Name, Size.article(), s)
		}
		return n, nil
	}
	literal := *attr
	literal.Literal = false
	out, err := literal.convert(expanded, true)
	if err != nil {
		return nil, err
	}
	return out, attr.limits(out)
}

// expandAll expands the strings in a value; keys stay as they are.
func expandAll(v any, lookup Lookup) (any, error) { return expandWith(v, lookup, Expand) }

func expandWith(v any, lookup Lookup, expand func(string, Lookup) (string, error)) (any, error) {
	switch v := v.(type) {
	case string:
		return expand(v, lookup)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			x, err := expandWith(e, lookup, expand)
			if err != nil {
				return nil, err
			}
			out[i] = x
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			x, err := expandWith(e, lookup, expand)
			if err != nil {
				return nil, err
			}
			out[k] = x
		}
		return out, nil
	}
	return v, nil
}
