package profiles_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Each operation runs on what those before it left; then the attribute named is
// read, or the refusal is compared.
func TestPartsOfAttributesAreReadWrittenAndUndefined_JbossCLI(t *testing.T) {
	const files = identityAt + `","name":"import`
	const properties = identityAt + `/spi=dblock/provider=jpa","name":"properties`
	const mappings = `"address":"/socket-binding-group=ha-sockets/socket-binding=http","name":"client-mappings`
	tree := domain(t)
	for _, c := range []struct{ name, op, at, value, result, says string }{
		{"write-attribute", "", files, `["a","b","c"]`, `["a","b","c"]`, ""},
		{"read-attribute", "[1]", files, "", `"b"`, ""},
		{"write-attribute", "[1]", files, `"x"`, `["a","x","c"]`, ""},
		{"write-attribute", "[3]", files, `"d"`, `["a","x","c","d"]`, ""},
		{"undefine-attribute", "[0]", files, "", `["x","c","d"]`, ""},
		{"write-attribute", "[4]", files, `"e"`, "", "there is no position 4: the list has 3 elements (valid: 0 to 3)"},
		{"read-attribute", "[3]", files, "", "", "valid: 0 to 2"},
		{"undefine-attribute", "[3]", files, "", "", "valid: 0 to 2"},
		{"read-attribute", "[-1]", files, "", "", "is no position (valid: name[0])"},
		{"read-attribute", "[1", files, "", "", "is no position"},
		{"read-attribute", "[01]", files, "", "", "is no position"},
		{"read-attribute", "[1]x", files, "", "", "neither .key nor [position]"},
		{"read-attribute", ".key", files, "", "", "is a list of strings: it has no part"},
		{"read-attribute", "[0].x", files, "", "", "the value is no object"},
		{"write-attribute", ".lockWaitTimeout", properties, "777", `{"lockWaitTimeout":"777"}`, ""},
		{"write-attribute", ".events", properties, `["a","b"]`, `{"events":["a","b"],"lockWaitTimeout":"777"}`, ""},
		{"write-attribute", ".events[1]", properties, `"c"`, `{"events":["a","c"],"lockWaitTimeout":"777"}`, ""},
		{"read-attribute", ".events[1]", properties, "", `"c"`, ""},
		{"undefine-attribute", ".events[1]", properties, "", `{"events":["a"],"lockWaitTimeout":"777"}`, ""},
		{"write-attribute", ".with.dots", properties, `"1"`, `{"events":["a"],"lockWaitTimeout":"777","with.dots":"1"}`, ""},
		{"undefine-attribute", ".with.dots", properties, "", `{"events":["a"],"lockWaitTimeout":"777"}`, ""},
		{"undefine-attribute", ".events", properties, "", `{"lockWaitTimeout":"777"}`, ""},
		{"read-attribute", ".none", properties, "", `null`, ""},
		{"write-attribute", ".filter[0].x", mappings, `1.5`, `{"filter":[{"x":1.5}]}`, ""},
		{"write-attribute", ".filter[1].x.y", mappings, `true`, `{"filter":[{"x":1.5},{"x":{"y":true}}]}`, ""},
		{"read-attribute", ".filter[1].x", mappings, "", `{"y":true}`, ""},
		{"undefine-attribute", ".filter[0]", mappings, "", `{"filter":[{"x":{"y":true}}]}`, ""},
		{"read-attribute", ".", mappings, "", "", "names no part"},
		{"read-attribute", "..x", mappings, "", "", "a key is missing"},
	} {
		text := `{"operation":"` + c.name + `",` + c.at + c.op + `"`
		if c.value != "" {
			text += `,"value":` + c.value
		}
		next, _, result, err := profiles.Apply(tree, operation(t, text+"}"))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", text, err, c.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if tree = next; c.name != "read-attribute" {
			_, _, result = apply(t, tree, `{"operation":"read-attribute",`+c.at+`"}`)
		}
		if got, _ := json.Marshal(result); string(got) != c.result {
			t.Errorf("%s: %s, want %s", text, got, c.result)
		}
	}
}

func TestADecimalComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "number")
		v, err := profiles.Normalize(f)
		if err != nil {
			if !math.IsInf(f, 0) && !math.IsNaN(f) {
				t.Fatal(err)
			}
			return
		}
		at := profiles.Address{{Type: "socket-binding-group", Name: "s"}, {Type: "socket-binding", Name: "b"}}
		tree := profiles.New(profiles.Domain)
		for _, op := range []profiles.Operation{
			{Name: "add", Address: profiles.Address{{Type: "interface", Name: "i"}}, Params: map[string]any{"inet-address": "127.0.0.1"}},
			{Name: "add", Address: at[:1], Params: map[string]any{"default-interface": "i"}},
			{Name: "add", Address: at, Params: map[string]any{"port": int64(80), "client-mappings": map[string]any{"x": f}}},
		} {
			if tree, _, _, err = profiles.Apply(tree, op); err != nil {
				t.Fatal(err)
			}
		}
		back, err := profiles.ParseTOML("t", profiles.EncodeTOML(tree))
		if err != nil || len(profiles.Diff(tree, back)) > 0 {
			t.Fatalf("%v comes back from TOML as %s, %v", v, profiles.Diff(tree, back), err)
		}
		text, _ := json.Marshal(tree)
		if err := json.Unmarshal(text, &back); err != nil || len(profiles.Diff(tree, back)) > 0 {
			t.Fatalf("%v comes back from JSON as %s, %v", v, profiles.Diff(tree, back), err)
		}
	})
}

func TestNumbersThatNothingHoldsExactlyAreRefused(t *testing.T) {
	for _, number := range []string{"99999999999999999999", "1e999", "-99999999999999999999"} {
		if _, err := profiles.Normalize(json.Number(number)); !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v", number, err)
		}
	}
}
