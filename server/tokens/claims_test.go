package tokens

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestClaimsKeepTheirOrder(t *testing.T) {
	var c Claims
	c.Set("exp", 1)
	c.Set("iss", "https://a?b&c<d>")
	c.SetText("empty", "")
	c.Set("exp", 2)
	c.SetPath([]string{"realm_access", "roles"}, []any{"a"})
	c.SetPath([]string{"realm_access", "roles"}, []any{"a", "b"})
	c.SetPath([]string{"iss", "x"}, "never")
	c.Set("gone", 1)
	c.Set("gone", nil)
	got, err := json.Marshal(&c)
	want := `{"exp":2,"iss":"https://a?b&c<d>","realm_access":{"roles":["a","b"]}}`
	var a, b any
	if err != nil || json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if direct, _ := c.MarshalJSON(); string(direct) != want {
		t.Errorf("%s; want %s", direct, want)
	}
}

func TestClaimsAreJSONWhateverTheyHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "claims")
		var c Claims
		for k, v := range want {
			c.Set(k, v)
		}
		data, err := c.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d claims of %d", len(got), len(want))
		}
	})
}

func TestAClaimNameIsAPath(t *testing.T) {
	for name, want := range map[string][]string{
		"email":                            {"email"},
		"address.street":                   {"address", "street"},
		`https://a\.example/role`:          {"https://a.example/role"},
		`resource_access.my\.client.roles`: {"resource_access", "my.client", "roles"},
		`a\b`:                              {`a\b`},
	} {
		if got := splitPath(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAWrongAttributeLeavesItsClaimOut(t *testing.T) {
	for _, c := range []struct {
		text, label string
		want        any
	}{
		{"x", "", "x"}, {"x", "String", "x"}, {"TRUE", "boolean", true}, {"maybe", "boolean", nil},
		{"12", "long", int64(12)}, {"1.5", "long", nil}, {"4294967296", "int", nil},
		{`{"a":1}`, "JSON", json.RawMessage(`{"a":1}`)}, {`{`, "JSON", nil},
	} {
		if got := typed(c.text, c.label); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q as %q: %v, want %v", c.text, c.label, got, c.want)
		}
	}
}
