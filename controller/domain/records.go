package domain

import (
	"iter"
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Record is one piece of state beside the model, named by kind and key. Its
// version grows with each write and is never used twice, also not after the
// record was deleted and made anew.
type Record struct {
	Kind    string `json:"kind"`
	Key     string `json:"key"`
	Value   []byte `json:"value"`
	Version uint64 `json:"version"`
}

// Expectations of a write. Any other number is the version that the record must
// have.
const (
	Any    uint64 = 0       // whatever is there
	Absent uint64 = 1 << 63 // the record must not exist
)

// Record gives a record. Its value must not be changed.
func (s State) Record(kind, key string) (Record, bool) {
	r, ok := s.records[kind][key]
	return r, ok
}

// Records gives the records of a kind, by key.
func (s State) Records(kind string) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, key := range slices.Sorted(maps.Keys(s.records[kind])) {
			if !yield(s.records[kind][key]) {
				return
			}
		}
	}
}

// PutRecord stores a record if expect holds.
func (s State) PutRecord(kind, key string, value []byte, expect uint64) (State, Record, error) {
	if kind == "" || key == "" {
		return s, Record{}, problem.Invalid.Errorf("cannot store record %q/%q: kind and key are required", kind, key)
	}
	if err := s.expected(kind, key, expect); err != nil {
		return s, Record{}, err
	}
	s.sequence++
	r := Record{Kind: kind, Key: key, Value: slices.Clone(value), Version: s.sequence}
	of := maps.Clone(s.records[kind])
	if of == nil {
		of = map[string]Record{}
	}
	of[key] = r
	return s.withKind(kind, of), r, nil
}

// DeleteRecord removes a record if expect holds. Removing what is not there is
// no problem unless a version was expected.
func (s State) DeleteRecord(kind, key string, expect uint64) (State, error) {
	if err := s.expected(kind, key, expect); err != nil {
		return s, err
	}
	if _, ok := s.Record(kind, key); !ok {
		return s, nil
	}
	of := maps.Clone(s.records[kind])
	delete(of, key)
	s.sequence++
	return s.withKind(kind, of), nil
}

func (s State) withKind(kind string, of map[string]Record) State {
	all := maps.Clone(s.records)
	if all == nil {
		all = map[string]map[string]Record{}
	}
	if all[kind] = of; len(of) == 0 {
		delete(all, kind)
	}
	s.records = all
	return s
}

func (s State) expected(kind, key string, expect uint64) error {
	r, ok := s.Record(kind, key)
	switch {
	case expect == Any, expect == Absent && !ok, ok && r.Version == expect:
		return nil
	case expect == Absent:
		return problem.Conflict.Errorf("cannot store %s %q: it exists already", kind, key)
	case !ok:
		return problem.Conflict.Errorf("cannot change %s %q: it is gone", kind, key)
	}
	return problem.Conflict.Errorf("cannot change %s %q: it was changed meanwhile", kind, key)
}
