package profiles_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// anyEdits is a tree after some more operations: resources come and go,
// attributes and keys of them are written and undefined.
func anyEdits(t *rapid.T, tree profiles.Tree) profiles.Tree {
	for range rapid.IntRange(0, 8).Draw(t, "edits") {
		var at []profiles.Address
		tree.Walk(func(a profiles.Address, _ map[string]any) { at = append(at, slices.Clone(a)) })
		op := anyAdd(t, tree.Mode())
		if kind := rapid.SampledFrom([]string{"add", "remove", "write-attribute", "undefine-attribute", "map-put", "map-remove"}).Draw(t, "edit"); kind != "add" {
			op = profiles.Operation{Name: kind, Address: rapid.SampledFrom(at).Draw(t, "at"), Params: map[string]any{}}
			d, err := tree.Mode().Describe(op.Address)
			if err != nil || len(d.Attributes) == 0 && kind != "remove" {
				continue
			}
			if kind != "remove" {
				attribute := rapid.SampledFrom(d.Attributes).Draw(t, "attribute")
				op.Params["name"] = attribute.Name
				switch kind {
				case "write-attribute":
					op.Params["value"] = anyValue(t, attribute)
				case "map-put", "map-remove":
					op.Params["key"] = rapid.SampledFrom([]string{"k", "l", "m"}).Draw(t, "key")
				}
				if kind == "map-put" {
					op.Params["value"] = rapid.StringMatching("[a-c]").Draw(t, "value")
				}
			}
		}
		tree, _, _, _ = profiles.Apply(tree, op) // what is refused changes nothing
	}
	return tree
}

// survives reports whether what changed from one value to another is in a third.
func survives(from, to, in any) bool {
	if profiles.Equal(from, to) || profiles.Equal(to, in) {
		return true
	}
	x, fromOK := from.(map[string]any)
	y, toOK := to.(map[string]any)
	z, inOK := in.(map[string]any)
	if (!fromOK && from != nil) || (!toOK && to != nil) || !inOK && in != nil {
		return false
	}
	for _, m := range []map[string]any{x, y} {
		for key := range m {
			if !survives(x[key], y[key], z[key]) {
				return false
			}
		}
	}
	return true
}

func TestWhatIsTakenBackIsGoneAndWhatOthersChangedSinceStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := anyTree(t)
		failed := anyEdits(t, base)
		now := anyEdits(t, failed)
		merged, kept := profiles.TakeBack(base, failed, now)
		since := profiles.Diff(failed, now)
		about := func() string {
			return fmt.Sprintf("the change:\n%ssince:\n%smerged, from now:\n%skept: %v", profiles.Diff(base, failed), since, profiles.Diff(now, merged), kept)
		}
		for _, c := range since {
			ok := merged.Has(c.Address)
			switch c.Kind {
			case profiles.Removed:
				ok = !ok
			case profiles.Added:
				ok = ok && profiles.Equal(map[string]any(merged.Attributes(c.Address)), c.New)
			case profiles.Written:
				ok = ok && survives(c.Old, c.New, merged.Attribute(c.Address, c.Attribute))
			}
			if !ok {
				t.Fatalf("lost: %s\n%s", c, about())
			}
		}
		for _, c := range profiles.Diff(base, failed) {
			if !goneOrKept(c, since, merged) {
				t.Fatalf("not taken back: %s\n%s", c, about())
			}
		}
		if again, _ := profiles.TakeBack(base, failed, merged); !bytes.Equal(stored(t, again), stored(t, merged)) {
			t.Fatalf("taken back twice, it is something else: %s\n%s", profiles.Diff(merged, again), about())
		}
	})
}

// goneOrKept reports whether a change is not in a tree, unless somebody changed
// the same place since.
func goneOrKept(c profiles.Change, since profiles.ChangeSet, merged profiles.Tree) bool {
	touched := slices.ContainsFunc(since, func(s profiles.Change) bool {
		switch c.Kind {
		case profiles.Added:
			return s.Address.Under(c.Address)
		case profiles.Removed: // something is there again, or what it was in is gone
			return s.Kind != profiles.Written && (c.Address.Under(s.Address) || s.Address.Under(c.Address))
		}
		return s.Kind == profiles.Removed && c.Address.Under(s.Address) || s.Attribute == c.Attribute && slices.Equal(s.Address, c.Address)
	})
	switch {
	case touched:
		return true
	case c.Kind == profiles.Added:
		return !merged.Has(c.Address)
	case c.Kind == profiles.Removed:
		return merged.Has(c.Address) && profiles.Equal(map[string]any(merged.Attributes(c.Address)), c.Old)
	}
	return profiles.Equal(merged.Attribute(c.Address, c.Attribute), c.Old)
}

func TestWithNothingChangedSinceAllIsTakenBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := anyTree(t)
		failed := anyEdits(t, base)
		merged, kept := profiles.TakeBack(base, failed, failed)
		if d := profiles.Diff(base, merged); len(d)+len(kept) > 0 {
			t.Fatalf("left over: %s, kept %v", d, kept)
		}
	})
}

func TestWhatBothChangedStaysAsItWasChangedLastAndIsNamed(t *testing.T) {
	const at = `"address":"/profile=auth-server-clustered/subsystem=identity`
	for _, c := range []struct{ name, change, since, kept, now string }{
		{"the same attribute",
			`{"operation":"write-attribute",` + at + `","name":"web-context","value":"one"}`,
			`{"operation":"write-attribute",` + at + `","name":"web-context","value":"two"}`,
			"[/profile=auth-server-clustered/subsystem=identity web-context: was written again since]", `web-context: "auth" -> "two" (reload)`},
		{"another attribute",
			`{"operation":"write-attribute",` + at + `","name":"web-context","value":"one"}`,
			`{"operation":"write-attribute",` + at + `","name":"display-name","value":"two"}`,
			"[]", `display-name: undefined -> "two" (live)`},
		{"another key",
			`{"operation":"map-put",` + at + `/spi=x/provider=y","name":"properties","key":"a","value":"1"}`,
			`{"operation":"map-put",` + at + `/spi=x/provider=y","name":"properties","key":"b","value":"2"}`,
			"[]", `properties: undefined -> {"b" => "2"} (none)`},
		{"something below what the change added",
			`{"operation":"add",` + at + `/spi=new"}`,
			`{"operation":"add",` + at + `/spi=new/provider=p"}`,
			"[/profile=auth-server-clustered/subsystem=identity/spi=new: was changed since]", "/spi=new/provider=p {}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := domain(t)
			base, _, _ = apply(t, base, `{"operation":"add",`+at+`/spi=x/provider=y"}`)
			failed, _, _ := apply(t, base, c.change)
			now, _, _ := apply(t, failed, c.since)
			merged, kept := profiles.TakeBack(base, failed, now)
			if got := fmt.Sprint(kept); got != c.kept {
				t.Errorf("kept %s, want %s", got, c.kept)
			}
			if got := profiles.Diff(base, merged).String(); !bytes.Contains([]byte(got), []byte(c.now)) {
				t.Errorf("differs from before by %s, want %s", got, c.now)
			}
		})
	}
}
