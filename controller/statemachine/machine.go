// Package statemachine owns how one entry of the replicated log changes the
// domain: decoding it, applying it, and the form of a snapshot. Applied to the
// same entries, every controller comes to the same state.
//
// It must not know raft, read a clock, draw random numbers or do I/O of its own:
// all that is in the entry. See DESIGN.md for the argument.
package statemachine

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// Format is the newest format of entries and snapshots that this version
// understands. An entry of a newer format is skipped or stops the node, as the
// entry itself says.
const Format = 1

// Machine holds the state. Apply and Restore are called by one goroutine at a
// time; State by any.
type Machine struct {
	mu      sync.Mutex
	state   domain.State
	applied uint64 // the index of the last entry
	changed chan struct{}
}

// New makes a Machine with an empty domain.
func New() *Machine { return &Machine{changed: make(chan struct{})} }

// State is the newest state, and a channel that is closed when there is a newer
// one.
func (m *Machine) State() (domain.State, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.changed
}

// Applied is the index of the last entry that was applied, and a channel that is
// closed when there is a later one.
func (m *Machine) Applied() (uint64, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied, m.changed
}

func (m *Machine) set(s domain.State, index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.applied = s, max(m.applied, index)
	close(m.changed)
	m.changed = make(chan struct{})
}

// Result is what came of an entry.
type Result struct {
	// Revision is the revision that a commit made; 0 for other entries.
	Revision uint64
	// Err is why the entry was refused: its precondition did not hold any more.
	// The state is as before.
	Err error
}

// Apply applies the entry. The result is a Result. An error means that this
// node is too old for the entry, or that the entry is damaged: going on without
// it would make this node's state differ from the others'.
func (m *Machine) Apply(index uint64, data []byte) (any, error) {
	before, _ := m.State()
	next, result, err := Step(before, data)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot apply entry %d: %w", index, err)
	}
	if result.Err != nil {
		next = before
	}
	m.set(next, index)
	return result, nil
}

// Replay applies entries to a state, offline, as Apply would have.
func Replay(s domain.State, entries [][]byte) (domain.State, error) {
	for i, data := range entries {
		next, result, err := Step(s, data)
		if err != nil {
			return s, problem.Internal.Errorf("cannot replay entry %d: %w", i, err)
		}
		if result.Err == nil {
			s = next
		}
	}
	return s, nil
}

// Step is the state machine: one entry, one change, or none.
func Step(s domain.State, data []byte) (domain.State, Result, error) {
	var e raftlog.Entry
	if err := proto.Unmarshal(data, &e); err != nil {
		return s, Result{}, problem.Internal.Errorf("it is damaged: %w", err)
	}
	return step(s, &e)
}

func step(s domain.State, e *raftlog.Entry) (domain.State, Result, error) {
	if e.Version > Format || e.Change == nil {
		if e.Unknown == raftlog.Unknown_IGNORE {
			return s, Result{}, nil
		}
		return s, Result{}, problem.Unsupported.Errorf("it has format %d and this controller knows formats up to %d: update it", e.Version, Format)
	}
	switch c := e.Change.(type) {
	case *raftlog.Entry_Commit:
		next, err := s.Commit(domain.Change{
			Base: c.Commit.Base, Time: time.Unix(0, e.TimeUnixNs).UTC(), Author: e.Author,
			Comment: c.Commit.Comment, Operation: c.Commit.Operation, Changes: c.Commit.Changes,
		})
		return next, Result{Revision: next.Revision(), Err: err}, nil
	case *raftlog.Entry_PutRecord:
		next, _, err := s.PutRecord(c.PutRecord.Kind, c.PutRecord.Key, c.PutRecord.Value, c.PutRecord.Expect)
		return next, Result{Err: err}, nil
	case *raftlog.Entry_DeleteRecord:
		next, err := s.DeleteRecord(c.DeleteRecord.Kind, c.DeleteRecord.Key, c.DeleteRecord.Expect)
		return next, Result{Err: err}, nil
	case *raftlog.Entry_Batch:
		return batch(s, c.Batch.Entries)
	}
	return s, Result{}, problem.Internal.Errorf("its kind %T has no meaning here", e.Change)
}

// batch applies its entries all or none.
func batch(s domain.State, entries []*raftlog.Entry) (domain.State, Result, error) {
	var sum Result
	next := s
	for _, e := range entries {
		var r Result
		var err error
		if next, r, err = step(next, e); err != nil || r.Err != nil {
			return s, r, err
		}
		sum.Revision = max(sum.Revision, r.Revision)
	}
	return next, sum, nil
}
