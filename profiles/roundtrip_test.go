package profiles_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func stored(t interface{ Fatal(...any) }, tree profiles.Tree) []byte {
	text, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTOMLRoundTripIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := anyTree(t)
		text := profiles.EncodeTOML(tree)
		back, err := profiles.ParseTOML("round.toml", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if want, got := stored(t, tree), stored(t, back); !bytes.Equal(want, got) {
			t.Fatalf("the tree\n%s\ncame back as\n%s\nthrough\n%s", want, got, text)
		}
		if again := profiles.EncodeTOML(back); !bytes.Equal(text, again) {
			t.Fatalf("second text differs:\n%s\n%s", text, again)
		}
	})
}

func TestJSONRoundTripIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := anyTree(t)
		text := stored(t, tree)
		var back profiles.Tree
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if d := profiles.Diff(tree, back); len(d) > 0 {
			t.Fatalf("differs: %s", d)
		}
		if !bytes.Equal(text, stored(t, back)) {
			t.Fatal("second text differs")
		}
	})
}

func TestChangesLeadFromOneTreeToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := anyTree(t)
		b := profiles.New(a.Mode())
		for range rapid.IntRange(0, 25).Draw(t, "resources") {
			b, _, _, _ = profiles.Apply(b, anyAdd(t, a.Mode()))
		}
		changes := profiles.Diff(a, b)
		text, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		var decided profiles.ChangeSet
		if err := json.Unmarshal(text, &decided); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, decided.Patch(a)); !bytes.Equal(got, stored(t, b)) {
			t.Fatalf("changes\n%s\nlead to\n%s\nnot\n%s", changes, got, stored(t, b))
		}
		if back := profiles.Diff(b, a).Patch(b); !bytes.Equal(stored(t, back), stored(t, a)) {
			t.Fatal("the way back leads elsewhere")
		}
	})
}

func TestARefusedOperationChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := anyTree(t)
		before := stored(t, tree)
		op := anyAdd(t, tree.Mode())
		op.Name = rapid.SampledFrom([]string{"add", "remove", "write-attribute", "read-resource", "map-put", "list-add", "composite", "nonsense", "clone"}).Draw(t, "operation")
		if rapid.Bool().Draw(t, "params?") {
			op.Params = map[string]any{"name": "properties", "value": anyValue(t, profiles.Attribute{Type: profiles.Map})}
		}
		next, changes, _, err := profiles.Apply(tree, op)
		if !bytes.Equal(before, stored(t, tree)) {
			t.Fatal("the tree itself was changed")
		}
		if err != nil && (len(changes) > 0 || !bytes.Equal(before, stored(t, next))) {
			t.Fatalf("refused with %v, but changed: %s", err, changes)
		}
		if err == nil && !bytes.Equal(stored(t, changes.Patch(tree)), stored(t, next)) {
			t.Fatal("the changes do not lead to the next tree")
		}
	})
}

func TestAddressRoundTrip(t *testing.T) {
	names := rapid.StringMatching(`[a-z/=:"\\ *.é-]{1,8}`)
	rapid.Check(t, func(t *rapid.T) {
		var a profiles.Address
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			a = append(a, profiles.Element{Type: names.Draw(t, "type"), Name: names.Draw(t, "name")})
		}
		a = a.Canonical()
		back, err := profiles.ParseAddress(a.String())
		if err != nil || !slices.Equal(a, back) {
			t.Fatalf("%q came back as %v, %v", a.String(), back, err)
		}
		text, _ := json.Marshal(a)
		var fromJSON profiles.Address
		if err := json.Unmarshal(text, &fromJSON); err != nil || !slices.Equal(a, fromJSON) {
			t.Fatalf("%s came back as %v, %v", text, fromJSON, err)
		}
	})
}
