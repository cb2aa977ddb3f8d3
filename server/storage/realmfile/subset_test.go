package realmfile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// missing says where want has something that got has not: "" when everything of
// want is in got. Lists of nouns are compared by id, name or the like, as an
// import may add to them; all other lists must begin with what want has.
func missing(want, got any, path string) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: is %T, was an object", path, got)
		}
		for key, value := range want {
			other, ok := g[key]
			if !ok {
				return fmt.Sprintf("%s.%s: is gone", path, key)
			}
			if m := missing(value, other, path+"."+key); m != "" {
				return m
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		want, g = withoutNulls(want), withoutNulls(g)
		if !ok || len(g) < len(want) {
			return fmt.Sprintf("%s: is %.80v, was a list of %d", path, got, len(want))
		}
		for i, value := range want {
			if m := missing(value, g[i], fmt.Sprintf("%s[%d]", path, i)); m != "" {
				return m
			}
		}
		return ""
	}
	if want == nil {
		return "" // null says nothing, and what is missing may be added
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s: is %v, was %v", path, got, want)
	}
	return ""
}

// withoutNulls is a list without the nulls: they say nothing, and a list that an
// import adds to is written without them.
func withoutNulls(list []any) []any {
	return slices.DeleteFunc(slices.Clone(list), func(v any) bool { return v == nil })
}

func decode(data []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // 1 and 1.0 are different things to lose
	err = dec.Decode(&v)
	return v, err
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
