package domain_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

var day = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// commit applies an operation to the model as the next revision.
func commit(t interface{ Fatal(...any) }, s domain.State, op profiles.Operation) domain.State {
	_, changes, _, err := profiles.Apply(s.Tree(), op)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Commit(domain.Change{Base: s.Revision(), Time: day, Author: "anna", Comment: op.Name, Changes: text})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func property(name, value string) profiles.Operation {
	return profiles.Operation{Name: "add", Address: profiles.Address{{Type: "system-property", Name: name}}, Params: map[string]any{"value": value}}
}

// walk makes some revisions: properties come, change and go.
func walk(t *rapid.T) (domain.State, []profiles.Tree) {
	var s domain.State
	trees := []profiles.Tree{s.Tree()}
	for range rapid.IntRange(1, 12).Draw(t, "revisions") {
		name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
		value := fmt.Sprint(len(trees))
		at := profiles.Address{{Type: "system-property", Name: name}}
		op := property(name, value)
		if s.Tree().Has(at) {
			op = profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": "value", "value": value}}
			if rapid.Bool().Draw(t, "remove") {
				op = profiles.Operation{Name: "remove", Address: at}
			}
		}
		s = commit(t, s, op)
		trees = append(trees, s.Tree())
	}
	return s, trees
}

func TestEveryRevisionCanBeReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, trees := walk(t)
		for n, want := range trees {
			got, err := s.At(uint64(n))
			if err != nil || len(profiles.Diff(got, want)) != 0 {
				t.Fatalf("revision %d: %v, differs by %s", n, err, profiles.Diff(got, want))
			}
		}
		if history := s.History(); len(history) != len(trees)-1 || history[len(history)-1].Number != s.Revision() {
			t.Fatalf("history %+v", history)
		}
	})
}

func TestADiffLeadsFromOneRevisionToTheOtherAndItsInverseBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, trees := walk(t)
		from := rapid.IntRange(0, len(trees)-1).Draw(t, "from")
		to := rapid.IntRange(0, len(trees)-1).Draw(t, "to")
		cs, err := s.Diff(uint64(from), uint64(to))
		if err != nil {
			t.Fatal(err)
		}
		if d := profiles.Diff(cs.Patch(trees[from]), trees[to]); len(d) != 0 {
			t.Fatalf("from %d to %d: %s is missing", from, to, d)
		}
		if d := profiles.Diff(domain.Inverse(cs).Patch(trees[to]), trees[from]); len(d) != 0 {
			t.Fatalf("back from %d to %d: %s is missing", to, from, d)
		}
	})
}

func TestAChangeThatWasDecidedOnAnOlderRevisionIsRefused(t *testing.T) {
	s := commit(t, domain.State{}, property("a", "1"))
	if _, err := s.Commit(domain.Change{Base: 0, Changes: []byte("[]")}); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "revision 1") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Commit(domain.Change{Base: 1, Changes: []byte("{")}); err == nil {
		t.Error("unreadable changes were committed")
	}
	if s.Revision() != 1 || len(s.History()) != 1 {
		t.Errorf("a refused change left revision %d", s.Revision())
	}
}

func TestRevisionsThatAreNotKeptAreSaidSo(t *testing.T) {
	s := commit(t, domain.State{}, property("a", "1"))
	for _, n := range []uint64{2, 99} {
		if _, err := s.At(n); !problem.Is(err, problem.NotFound) || !strings.Contains(err.Error(), "0 to 1 are kept") {
			t.Errorf("revision %d: %v", n, err)
		}
	}
}

func TestAStateIsNeverChangedByTheNextOne(t *testing.T) {
	a := commit(t, domain.State{}, property("a", "1"))
	// Two states grow from one; neither is seen in the other.
	b := commit(t, a, property("b", "1"))
	c := commit(t, a, property("c", "1"))
	for name, s := range map[string]domain.State{"a": a, "a b": b, "a c": c} {
		if got := strings.Join(s.Tree().Names(nil, "system-property"), " "); got != name {
			t.Errorf("%q has become %q", name, got)
		}
	}
	if len(a.History()) != 1 || b.History()[1].Comment != "add" || string(b.History()[1].Changes) == string(c.History()[1].Changes) {
		t.Error("histories share what is not theirs")
	}
	with, _, err := a.PutRecord("k", "1", []byte("v"), domain.Any)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Record("k", "1"); ok {
		t.Error("a record appeared in the state before")
	}
	if r, ok := with.Record("k", "1"); !ok || string(r.Value) != "v" {
		t.Errorf("the record is %+v", r)
	}
}

func TestRecordsAreComparedAndSetByVersionsThatAreNeverUsedTwice(t *testing.T) {
	var s domain.State
	put := func(value string, expect uint64) (domain.Record, error) {
		next, r, err := s.PutRecord("k", "x", []byte(value), expect)
		s = next
		return r, err
	}
	first, err := put("1", domain.Absent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put("2", domain.Absent); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second one: %v", err)
	}
	if s, err = s.DeleteRecord("k", "x", first.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := put("3", first.Version); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("one that is gone: %v", err)
	}
	again, err := put("4", domain.Any)
	if err != nil || again.Version <= first.Version {
		t.Errorf("version %d after %d: %v", again.Version, first.Version, err)
	}
	if _, err := put("5", first.Version); !problem.Is(err, problem.Conflict) {
		t.Errorf("a record made anew was taken for the old one: %v", err)
	}
	if _, err := s.DeleteRecord("k", "never", domain.Any); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
	if _, _, err := s.PutRecord("", "x", nil, domain.Any); err == nil {
		t.Error("a record without a kind was stored")
	}
}

func TestRecordsAreListedByKey(t *testing.T) {
	var s domain.State
	for _, key := range []string{"b", "c", "a"} {
		var err error
		if s, _, err = s.PutRecord("k", key, nil, domain.Any); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for r := range s.Records("k") {
		keys = append(keys, r.Key)
	}
	if !slices.Equal(keys, []string{"a", "b", "c"}) {
		t.Errorf("keys %v", keys)
	}
}

func TestAStateIsTheSameTakenApartAndPutTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, trees := walk(t)
		for i := range rapid.IntRange(0, 5).Draw(t, "records") {
			var err error
			if s, _, err = s.PutRecord("k", fmt.Sprint(i), []byte{byte(i)}, domain.Any); err != nil {
				t.Fatal(err)
			}
		}
		parts, err := s.Parts()
		if err != nil {
			t.Fatal(err)
		}
		back, err := domain.Assemble(parts, slices.Collect(parts.Records))
		if err != nil {
			t.Fatal(err)
		}
		for n := range trees {
			got, err := back.At(uint64(n))
			if err != nil || len(profiles.Diff(got, trees[n])) != 0 {
				t.Fatalf("revision %d: %v", n, err)
			}
		}
		_, a, _ := s.PutRecord("k", "next", nil, domain.Any)
		_, b, _ := back.PutRecord("k", "next", nil, domain.Any)
		if a.Version != b.Version || back.Revision() != s.Revision() {
			t.Fatalf("versions go on with %d, not %d", b.Version, a.Version)
		}
	})
}
