package publisher

import (
	"fmt"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func fullHost(t testing.TB, servers int) profiles.Tree {
	tree, err := profiles.ParseTOML("default", profiles.DefaultTOML(profiles.Domain))
	if err != nil {
		t.Fatal(err)
	}
	steps := []profiles.Operation{{Name: "add", Address: profiles.Address{{Type: "host", Name: "h"}}}}
	for i := range servers {
		steps = append(steps, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "host", Name: "h"}, {Type: "server-config", Name: fmt.Sprint("s", i)}},
			Params: map[string]any{"group": "auth-server-group", "port-offset": int64(100 * i)}})
	}
	tree, _, _, err = profiles.Apply(tree, profiles.Composite(steps...))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func BenchmarkTheSnapshotOfAHost(b *testing.B) {
	tree := fullHost(b, 10)
	s, err := build(tree, "h", 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes", len(s.wire.Content))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := build(tree, "h", 1); err != nil {
			b.Fatal(err)
		}
	}
}
