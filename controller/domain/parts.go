package domain

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Parts is a State taken apart, for a snapshot.
type Parts struct {
	Revision uint64
	Sequence uint64 // the last version given to a record
	Tree     json.RawMessage
	History  []Revision
	Records  iter.Seq[Record]
}

// Parts takes the state apart.
func (s State) Parts() (Parts, error) {
	tree, err := json.Marshal(s.model.tree)
	if err != nil {
		return Parts{}, problem.Internal.Errorf("cannot take the model apart: %w", err)
	}
	return Parts{
		Revision: s.model.revision,
		Sequence: s.sequence,
		Tree:     tree,
		History:  s.model.history,
		Records: func(yield func(Record) bool) {
			for _, kind := range slices.Sorted(maps.Keys(s.records)) {
				for r := range s.Records(kind) {
					if !yield(r) {
						return
					}
				}
			}
		},
	}, nil
}

// Assemble puts a State together from its parts; records stands for
// Parts.Records.
func Assemble(p Parts, records []Record) (State, error) {
	s := State{model: model{revision: p.Revision, history: p.History}, sequence: p.Sequence}
	if err := json.Unmarshal(p.Tree, &s.model.tree); err != nil {
		return State{}, problem.Internal.Errorf("cannot read the model: %w", err)
	}
	if n := len(p.History); n > 0 && p.History[n-1].Number != p.Revision {
		return State{}, problem.Internal.Errorf("cannot read the history: it ends with revision %d, not %d", p.History[n-1].Number, p.Revision)
	}
	for _, r := range records {
		if s.records == nil {
			s.records = map[string]map[string]Record{}
		}
		if s.records[r.Kind] == nil {
			s.records[r.Kind] = map[string]Record{}
		}
		s.records[r.Kind][r.Key] = r
	}
	return s, nil
}
