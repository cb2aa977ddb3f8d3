package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// decode reads the object data into the fields of v, a pointer to a struct,
// and keeps all of it in d. Scalars are read as leniently as Keycloak reads
// them: "true" is a bool, "7" is a number, 7 is a string, null is absent.
func decode(data []byte, v any, d *Document) error {
	members, err := readObject(data)
	if err != nil {
		return err
	}
	d.members = members
	fields := fieldsOf(reflect.TypeOf(v).Elem())
	target := reflect.ValueOf(v).Elem()
	for _, m := range members {
		i, typed := fields.index[m.key]
		if !typed {
			continue
		}
		if err := assign(target.Field(i), m.raw); err != nil {
			return problem.Invalid.Errorf("%s: %w", m.key, err)
		}
	}
	return nil
}

// encode writes v, a struct, in the form d was read in: what did not change is
// written as it was read, what has no field is kept, and a field that was
// absent is written only if it now says something.
func encode(v any, d *Document) ([]byte, error) {
	value := reflect.ValueOf(v)
	fields := fieldsOf(value.Type())
	out := object{}
	seen := make([]bool, value.NumField())
	for _, m := range d.members {
		i, typed := fields.index[m.key]
		if !typed {
			out.add(m.key, m.raw)
			continue
		}
		seen[i] = true
		raw, keep, err := merge(value.Field(i), m.raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.key, err)
		}
		if keep {
			out.add(m.key, raw)
		}
	}
	for _, f := range fields.list {
		if seen[f.index] || value.Field(f.index).IsZero() {
			continue
		}
		raw, err := json.Marshal(value.Field(f.index).Interface())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		out.add(f.name, raw)
	}
	return out.bytes(), nil
}

// merge gives the JSON of a field that was read from raw; keep is false when
// the field was emptied.
func merge(now reflect.Value, raw json.RawMessage) (_ json.RawMessage, keep bool, err error) {
	was := reflect.New(now.Type()).Elem()
	if err := assign(was, raw); err == nil && reflect.DeepEqual(was.Interface(), now.Interface()) {
		return raw, true, nil
	}
	switch now.Kind() {
	case reflect.Map:
		if now.Type() != rawType && !now.IsNil() {
			merged, err := mergeMap(now, raw)
			return merged, true, err
		}
		fallthrough
	case reflect.String, reflect.Slice, reflect.Pointer:
		if now.IsZero() {
			return nil, false, nil
		}
	}
	b, err := json.Marshal(now.Interface())
	return b, true, err
}

// mergeMap keeps the entries of raw that did not change in the form they had.
func mergeMap(now reflect.Value, raw json.RawMessage) (json.RawMessage, error) {
	old, err := readObject(raw)
	if err != nil {
		old = nil
	}
	out, done := object{}, map[string]bool{}
	for _, m := range old {
		done[m.key] = true
		v := now.MapIndex(reflect.ValueOf(m.key).Convert(now.Type().Key()))
		if !v.IsValid() {
			if isNull(m.raw) {
				out.add(m.key, m.raw) // it said nothing and still says it
			}
			continue
		}
		b, keep, err := merge(v, m.raw)
		if err != nil {
			return nil, err
		}
		if !keep {
			if b, err = json.Marshal(v.Interface()); err != nil {
				return nil, err
			}
		}
		out.add(m.key, b)
	}
	var added []string
	for _, k := range now.MapKeys() {
		if !done[k.String()] {
			added = append(added, k.String())
		}
	}
	sort.Strings(added)
	for _, k := range added {
		b, err := json.Marshal(now.MapIndex(reflect.ValueOf(k).Convert(now.Type().Key())).Interface())
		if err != nil {
			return nil, err
		}
		out.add(k, b)
	}
	return out.bytes(), nil
}

// assign reads raw into v.
func assign(v reflect.Value, raw json.RawMessage) error {
	if v.Type() == rawType {
		v.SetBytes(bytes.Clone(raw))
		return nil
	}
	if isNull(raw) {
		v.SetZero()
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := assign(p.Elem(), raw); err != nil {
			return err
		}
		v.Set(p)
	case reflect.Slice:
		return assignSlice(v, raw)
	case reflect.Map:
		return assignMap(v, raw)
	case reflect.Struct:
		return json.Unmarshal(raw, v.Addr().Interface())
	default:
		return assignScalar(v, raw)
	}
	return nil
}

func assignSlice(v reflect.Value, raw json.RawMessage) error {
	items := []json.RawMessage{}
	if raw[0] != '[' { // one value where a list is expected is a list of one
		items = append(items, raw)
	} else if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	s := reflect.MakeSlice(v.Type(), 0, len(items))
	for i, item := range items {
		e := reflect.New(v.Type().Elem()).Elem()
		if isNull(item) {
			continue
		}
		if err := assign(e, item); err != nil {
			return problem.Invalid.Errorf("[%d]: %w", i, err)
		}
		s = reflect.Append(s, e)
	}
	v.Set(s)
	return nil
}

func assignMap(v reflect.Value, raw json.RawMessage) error {
	members, err := readObject(raw)
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(v.Type(), len(members))
	for _, entry := range members {
		if isNull(entry.raw) {
			continue
		}
		e := reflect.New(v.Type().Elem()).Elem()
		if err := assign(e, entry.raw); err != nil {
			return problem.Invalid.Errorf("%s: %w", entry.key, err)
		}
		m.SetMapIndex(reflect.ValueOf(entry.key).Convert(v.Type().Key()), e)
	}
	v.Set(m)
	return nil
}

func assignScalar(v reflect.Value, raw json.RawMessage) error {
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	switch v.Kind() {
	case reflect.String:
		// A string field that holds an object or a list keeps its JSON text: Keycloak's
		// policies do the same with the values of config.
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text)))
		if err != nil && text != "" {
			return problem.Invalid.Errorf("%s is neither true nor false", clip(raw))
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64, reflect.Int32:
		n, err := parseInt(strings.TrimSpace(text))
		if err != nil || v.OverflowInt(n) {
			return problem.Invalid.Errorf("%s is not a whole number", clip(raw))
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("cannot read JSON into a %s", v.Type())
	}
	return nil
}

func parseInt(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f >= 1<<63 || f < -1<<63 || f != f {
		return 0, problem.Invalid.Errorf("not a number")
	}
	return int64(f), nil
}

func clip(raw []byte) string {
	if len(raw) > 40 {
		return string(raw[:40]) + "…"
	}
	return string(raw)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// readObject gives the members of a JSON object in their order; of a name that
// is there twice the last counts, as for most readers.
func readObject(data []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if start != json.Delim('{') {
		return nil, problem.Invalid.Errorf("%s is not an object", clip(bytes.TrimSpace(data)))
	}
	members := []member{}
	at := map[string]int{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		name := key.(string)
		if i, again := at[name]; again {
			members[i].raw = raw
			continue
		}
		at[name] = len(members)
		members = append(members, member{name, raw})
	}
	if _, err := dec.Token(); err != nil && err != io.EOF {
		return nil, err
	}
	return members, nil
}

// object writes a JSON object in the order its members are added.
type object struct{ b bytes.Buffer }

func (o *object) add(key string, raw json.RawMessage) {
	if o.b.Len() == 0 {
		o.b.WriteByte('{')
	} else {
		o.b.WriteByte(',')
	}
	k, _ := json.Marshal(key) // a string always has JSON
	o.b.Write(k)
	o.b.WriteByte(':')
	if len(raw) == 0 {
		raw = json.RawMessage("null")
	}
	o.b.Write(raw)
}

func (o *object) bytes() []byte {
	if o.b.Len() == 0 {
		return []byte("{}")
	}
	o.b.WriteByte('}')
	return o.b.Bytes()
}

// fields are the JSON members that a struct type has fields for.
type fields struct {
	list  []field
	index map[string]int
}

type field struct {
	name  string
	index int
}

var fieldCache sync.Map // reflect.Type -> *fields; grows with the nouns only

func fieldsOf(t reflect.Type) *fields {
	if f, ok := fieldCache.Load(t); ok {
		return f.(*fields)
	}
	fs := &fields{index: map[string]int{}}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		fs.list = append(fs.list, field{name, i})
		fs.index[name] = i
	}
	fieldCache.Store(t, fs)
	return fs
}
