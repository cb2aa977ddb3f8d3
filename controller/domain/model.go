package domain

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// historyKept is how many revisions can be listed, compared and reverted to.
// Older ones are forgotten. A revision takes its changes and little more: about
// 1 KB, so 10 MB in all.
const historyKept = 10_000

// Revision is one committed change of the model.
type Revision struct {
	Number    uint64          `json:"revision"`
	Time      time.Time       `json:"time"`
	Author    string          `json:"author"`
	Comment   string          `json:"comment,omitempty"`
	Operation json.RawMessage `json:"operation,omitempty"` // as it was asked for, secrets masked
	Changes   json.RawMessage `json:"changes"`             // profiles.ChangeSet
}

// ChangeSet decodes the revision's changes.
func (r Revision) ChangeSet() (profiles.ChangeSet, error) {
	var cs profiles.ChangeSet
	if err := json.Unmarshal(r.Changes, &cs); err != nil {
		return nil, problem.Internal.Errorf("cannot read the changes of revision %d: %w", r.Number, err)
	}
	return cs, nil
}

// model is the management model and how it came about.
type model struct {
	tree     profiles.Tree
	revision uint64
	// history ends with the newest revision and has no gaps. It is copied by each
	// commit (1 MB at the most): two states may grow from one.
	history []Revision
}

// Change is a decided change of the model: everything that it needs is in it.
type Change struct {
	// Base is the revision that it was decided on.
	Base      uint64
	Time      time.Time
	Author    string
	Comment   string
	Operation json.RawMessage
	Changes   json.RawMessage // profiles.ChangeSet, valid on Base
}

// Tree is the newest model.
func (s State) Tree() profiles.Tree { return s.model.tree }

// Revision is the number of the newest revision; 0 before the first.
func (s State) Revision() uint64 { return s.model.revision }

// Commit makes the next revision, if the newest is still the change's base.
func (s State) Commit(c Change) (State, error) {
	if c.Base != s.model.revision {
		return s, problem.Conflict.Errorf("cannot commit a change of revision %d: the domain is at revision %d", c.Base, s.model.revision)
	}
	r := Revision{Number: c.Base + 1, Time: c.Time, Author: c.Author, Comment: c.Comment, Operation: c.Operation, Changes: c.Changes}
	cs, err := r.ChangeSet()
	if err != nil {
		return s, err
	}
	s.model.tree = cs.Patch(s.model.tree)
	s.model.revision = r.Number
	s.model.history = appendBounded(s.model.history, r)
	return s, nil
}

func appendBounded(h []Revision, r Revision) []Revision {
	if len(h) >= historyKept {
		h = h[len(h)-historyKept+1:]
	}
	return append(slices.Clone(h), r)
}

// History lists the revisions kept, oldest first. It must not be changed.
func (s State) History() []Revision { return s.model.history }

// At is the model as it was at a revision.
func (s State) At(revision uint64) (profiles.Tree, error) {
	if err := s.kept(revision); err != nil {
		return profiles.Tree{}, err
	}
	tree := s.model.tree
	for i := len(s.model.history) - 1; i >= 0 && s.model.history[i].Number > revision; i-- {
		cs, err := s.model.history[i].ChangeSet()
		if err != nil {
			return tree, err
		}
		tree = Inverse(cs).Patch(tree)
	}
	return tree, nil
}

// Diff gives the changes that lead from one revision to another.
func (s State) Diff(from, to uint64) (profiles.ChangeSet, error) {
	a, err := s.At(from)
	if err != nil {
		return nil, err
	}
	b, err := s.At(to)
	if err != nil {
		return nil, err
	}
	return profiles.Diff(a, b), nil
}

func (s State) kept(revision uint64) error {
	oldest := s.model.revision - uint64(len(s.model.history))
	if revision < oldest || revision > s.model.revision {
		return problem.NotFound.Errorf("cannot find revision %d: revisions %d to %d are kept", revision, oldest, s.model.revision)
	}
	return nil
}

// Inverse is the changes that undo cs.
func Inverse(cs profiles.ChangeSet) profiles.ChangeSet {
	out := make(profiles.ChangeSet, 0, len(cs))
	for _, c := range slices.Backward(cs) {
		c.Old, c.New = c.New, c.Old
		switch c.Kind {
		case profiles.Added:
			c.Kind = profiles.Removed
		case profiles.Removed:
			c.Kind = profiles.Added
		}
		out = append(out, c)
	}
	return out
}
