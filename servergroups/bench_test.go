package servergroups_test

import (
	"strconv"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// One host of ten servers, as a controller makes it at each revision.
func BenchmarkSnapshotAndChecksum(b *testing.B) {
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		b.Fatal(err)
	}
	host := profiles.Address{{Type: "host", Name: "h"}}
	steps := []profiles.Operation{{Name: "add", Address: host}}
	for s := range 10 {
		steps = append(steps, profiles.Operation{Name: "add", Address: host.Child("server-config", strconv.Itoa(s)),
			Params: map[string]any{"group": "auth-server-group", "port-offset": int64(s * 10)}})
	}
	if tree, _, _, err = profiles.Apply(tree, profiles.Composite(steps...)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := servergroups.Snapshot(tree, "h", 1)
		if err != nil {
			b.Fatal(err)
		}
		if s.Checksum() == "" {
			b.Fatal("no checksum")
		}
	}
}

// What an agent does for each of its servers.
func BenchmarkResolve(b *testing.B) {
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		b.Fatal(err)
	}
	host := profiles.Address{{Type: "host", Name: "h"}}
	tree, _, _, err = profiles.Apply(tree, profiles.Composite(profiles.Operation{Name: "add", Address: host},
		profiles.Operation{Name: "add", Address: host.Child("server-config", "s"), Params: map[string]any{"group": "auth-server-group"}}))
	if err != nil {
		b.Fatal(err)
	}
	s, err := servergroups.Snapshot(tree, "h", 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Resolve("s", servergroups.Lookup{}); err != nil {
			b.Fatal(err)
		}
	}
}
