package consensus

import (
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// fsm gives raft's entries, opened, to the machine. After a failure it applies
// nothing more: a state with a hole in it must never be served or snapshotted.
type fsm struct {
	machine Machine
	box     *box

	mu     sync.Mutex
	err    error
	failed chan struct{}
}

func newFSM(m Machine, b *box) *fsm { return &fsm{machine: m, box: b, failed: make(chan struct{})} }

// applied is what raft hands from the fsm to the caller of Apply.
type applied struct {
	result any
	err    error
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
	if err := f.failure(); err != nil {
		return applied{err: err}
	}
	entry, err := f.box.open(l.Data)
	if err != nil {
		return applied{err: f.fail(err)}
	}
	result, err := f.machine.Apply(l.Index, entry)
	if err != nil {
		return applied{err: f.fail(err)}
	}
	return applied{result: result}
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.failure(); err != nil {
		return nil, err
	}
	s, err := f.machine.Snapshot()
	return &snapshot{s, f.box}, err
}

// Restore implements raft.FSM.
func (f *fsm) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	r, err := f.box.openStream(rc)
	if err != nil {
		return err
	}
	return f.machine.Restore(r)
}

func (f *fsm) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = problem.Internal.Errorf("cannot go on applying the replicated log: %w", err)
		close(f.failed)
	}
	return f.err
}

func (f *fsm) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

type snapshot struct {
	state Snapshot
	box   *box
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(out raft.SnapshotSink) error {
	err := s.write(out)
	if err != nil {
		return firstOf(err, out.Cancel())
	}
	return out.Close()
}

func (s *snapshot) write(out io.Writer) error {
	w, err := s.box.sealStream(out)
	if err != nil {
		return err
	}
	if _, err := s.state.WriteTo(w); err != nil {
		return err
	}
	return w.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}
