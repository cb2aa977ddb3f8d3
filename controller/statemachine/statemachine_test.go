package statemachine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// entry draws a log entry: some are refused when they are applied.
func entry(t *rapid.T, depth int) *raftlog.Entry {
	e := &raftlog.Entry{Version: statemachine.Format, TimeUnixNs: rapid.Int64Range(0, 1<<60).Draw(t, "time"), Author: rapid.SampledFrom([]string{"anna", "ben"}).Draw(t, "author")}
	kinds := []string{"commit", "put", "delete", "ignore", "batch"}
	switch rapid.SampledFrom(kinds[:len(kinds)-depth]).Draw(t, "kind") {
	case "commit":
		name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "property")
		c := profiles.Change{Kind: profiles.Written, Address: profiles.Address{{Type: "system-property", Name: name}}, Attribute: "value", New: rapid.StringN(1, 4, 8).Draw(t, "value")}
		if rapid.Bool().Draw(t, "remove") {
			c = profiles.Change{Kind: profiles.Removed, Address: c.Address}
		}
		changes, err := json.Marshal(profiles.ChangeSet{c})
		if err != nil {
			t.Fatal(err)
		}
		e.Change = &raftlog.Entry_Commit{Commit: &raftlog.Commit{Base: rapid.Uint64Range(0, 12).Draw(t, "base"), Changes: changes}}
	case "put":
		e.Change = &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: rapid.SampledFrom([]string{"k", "l"}).Draw(t, "kind of record"), Key: rapid.SampledFrom([]string{"x", "y", ""}).Draw(t, "key"),
			Value: []byte(rapid.StringN(0, 4, 8).Draw(t, "value")), Expect: rapid.SampledFrom([]uint64{domain.Any, domain.Absent, 1, 2}).Draw(t, "expect")}}
	case "delete":
		e.Change = &raftlog.Entry_DeleteRecord{DeleteRecord: &raftlog.DeleteRecord{Kind: "k", Key: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "key"), Expect: rapid.SampledFrom([]uint64{domain.Any, 1, 2}).Draw(t, "expect")}}
	case "ignore":
		e.Version, e.Unknown = statemachine.Format+1, raftlog.Unknown_IGNORE
	case "batch":
		b := &raftlog.Batch{}
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			b.Entries = append(b.Entries, entry(t, 1))
		}
		e.Change = &raftlog.Entry_Batch{Batch: b}
	}
	return e
}

func log(t *rapid.T) [][]byte {
	var entries [][]byte
	for range rapid.IntRange(0, 40).Draw(t, "entries") {
		data, err := proto.Marshal(entry(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, data)
	}
	return entries
}

// written is a state in its one written form.
func written(t *rapid.T, m *statemachine.Machine) string {
	var out bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func apply(t *rapid.T, m *statemachine.Machine, entries [][]byte) { applyFrom(t, m, entries, 0) }

func applyFrom(t *rapid.T, m *statemachine.Machine, entries [][]byte, from int) {
	for i, data := range entries[from:] {
		if _, err := m.Apply(uint64(from+i+1), data); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSameLogGivesTheSameStateAppliedOrReplayed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := log(t)
		a, b := statemachine.New(), statemachine.New()
		apply(t, a, entries)
		apply(t, b, entries)
		if written(t, a) != written(t, b) {
			t.Fatal("two machines differ")
		}
		replayed, err := statemachine.Replay(domain.State{}, entries)
		if err != nil {
			t.Fatal(err)
		}
		if applied, _ := a.State(); !reflect.DeepEqual(replayed.History(), applied.History()) || replayed.Revision() != applied.Revision() {
			t.Fatal("the replay differs")
		}
	})
}

func TestASnapshotAndTheRestOfTheLogGiveTheSameState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := log(t)
		cut := rapid.IntRange(0, len(entries)).Draw(t, "cut")
		whole, first, second := statemachine.New(), statemachine.New(), statemachine.New()
		apply(t, whole, entries)
		apply(t, first, entries[:cut])
		if err := second.Restore(strings.NewReader(written(t, first))); err != nil {
			t.Fatal(err)
		}
		before, _ := first.Applied()
		if after, _ := second.Applied(); after != before {
			t.Fatalf("restored at entry %d, was at %d", after, before)
		}
		applyFrom(t, second, entries, cut)
		if written(t, whole) != written(t, second) {
			t.Fatal("the restored machine differs")
		}
	})
}

// Changes are valid here, as the leader decides them: the difference between
// the newest tree and another.
func TestEveryRevisionCanBeReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s domain.State
		trees := []profiles.Tree{s.Tree()}
		for range rapid.IntRange(0, 20).Draw(t, "revisions") {
			changes, err := json.Marshal(profiles.Diff(s.Tree(), anyTree(t)))
			if err != nil {
				t.Fatal(err)
			}
			if s, err = s.Commit(domain.Change{Base: s.Revision(), Changes: changes}); err != nil {
				t.Fatal(err)
			}
			trees = append(trees, s.Tree())
		}
		for revision, want := range trees {
			got, err := s.At(uint64(revision))
			if err != nil {
				t.Fatal(err)
			}
			if d := profiles.Diff(want, got); len(d) > 0 {
				t.Fatalf("revision %d differs from what it was:\n%s", revision, d)
			}
		}
	})
}

// anyTree draws a small tree, two levels deep.
func anyTree(t *rapid.T) profiles.Tree {
	var tree profiles.Tree
	for range rapid.IntRange(0, 6).Draw(t, "resources") {
		a := profiles.Address{{Type: "profile", Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "profile")}}
		if rapid.Bool().Draw(t, "deep") {
			a = a.Child("subsystem", rapid.SampledFrom([]string{"identity", "http"}).Draw(t, "subsystem"))
		}
		tree = profiles.ChangeSet{{Kind: profiles.Written, Address: a, Attribute: "x", New: rapid.SampledFrom([]any{nil, "1", int64(2)}).Draw(t, "value")}}.Patch(tree)
	}
	return tree
}

func TestARefusedBatchLeavesNothingBehind(t *testing.T) {
	put := func(key string, expect uint64) *raftlog.Entry {
		return &raftlog.Entry{Version: statemachine.Format, Change: &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: "k", Key: key, Expect: expect}}}
	}
	data, err := proto.Marshal(&raftlog.Entry{Version: statemachine.Format, Change: &raftlog.Entry_Batch{Batch: &raftlog.Batch{Entries: []*raftlog.Entry{put("x", domain.Absent), put("y", 77)}}}})
	if err != nil {
		t.Fatal(err)
	}
	m := statemachine.New()
	result, err := m.Apply(1, data)
	if err != nil || !problem.Is(result.(statemachine.Result).Err, problem.Conflict) {
		t.Errorf("got %v, %v", result, err)
	}
	if s, _ := m.State(); reflect.DeepEqual(s, domain.State{}) == false {
		t.Error("the first part of the batch is there")
	}
}

func TestAnUnknownEntryStopsOrIsSkippedAsItSays(t *testing.T) {
	for unknown, stops := range map[raftlog.Unknown]bool{raftlog.Unknown_STOP: true, raftlog.Unknown_IGNORE: false} {
		data, err := proto.Marshal(&raftlog.Entry{Version: statemachine.Format + 1, Unknown: unknown})
		if err != nil {
			t.Fatal(err)
		}
		_, err = statemachine.New().Apply(1, data)
		if stops != problem.Is(err, problem.Internal) || stops && !strings.Contains(err.Error(), "update it") {
			t.Errorf("%s: %v", unknown, err)
		}
	}
}

func TestACutOrForeignSnapshotIsRefused(t *testing.T) {
	m := statemachine.New()
	for i := range 5 {
		data, err := proto.Marshal(&raftlog.Entry{Version: statemachine.Format, Change: &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: "k", Key: fmt.Sprint(i)}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(uint64(i+1), data); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	for n := range out.Len() {
		if _, _, err := statemachine.Read(bytes.NewReader(out.Bytes()[:n])); err == nil {
			t.Fatalf("a snapshot cut after %d of %d bytes was read", n, out.Len())
		}
	}
}
