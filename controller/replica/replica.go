// Package replica joins the log and the state machine into one thing to read
// and to write: the domain as this controller has it. Writes go through the
// leader, wherever it is; linearizable reads only the leader serves.
//
// It must not know what operators ask for, nor what hosts do.
package replica

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// Leader hands entries to the leader when this controller is not it.
type Leader interface {
	// Propose gives the revision that a commit made.
	Propose(ctx context.Context, entry []byte) (revision uint64, err error)
	// ReadIndex is the leader's Index.
	ReadIndex(ctx context.Context) (uint64, error)
}

// Replica is the domain on this controller. It is safe for concurrent use.
type Replica struct {
	*consensus.Node
	machine *statemachine.Machine
	leader  Leader
	clock   clock.Clock
}

// New makes a Replica of a node and the machine that it applies to.
func New(node *consensus.Node, machine *statemachine.Machine, leader Leader, c clock.Clock) *Replica {
	return &Replica{Node: node, machine: machine, leader: leader, clock: c}
}

// Adapt makes a state machine fit for consensus.
func Adapt(m *statemachine.Machine) consensus.Machine { return adapter{m} }

type adapter struct{ m *statemachine.Machine }

func (a adapter) Apply(index uint64, entry []byte) (any, error) { return a.m.Apply(index, entry) }
func (a adapter) Snapshot() (consensus.Snapshot, error)         { return a.m.Snapshot(), nil }
func (a adapter) Restore(r io.Reader) error                     { return a.m.Restore(r) }

// catchUp bounds how long a follower waits for what the leader has applied: it
// learns of it with the next exchange of heartbeats.
const catchUp = 5 * time.Second

// Fresh returns when this controller's state holds every write that was
// acknowledged, by any controller, before Fresh was called: what is then read
// from it is linearizable.
func (r *Replica) Fresh(ctx context.Context) error {
	if r.Leads() {
		return r.Read()
	}
	index, err := r.leader.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return r.reach(ctx, index)
}

// Index is the place in the log that this controller has applied, at a moment
// when it certainly led.
func (r *Replica) Index() (uint64, error) {
	if err := r.Read(); err != nil {
		return 0, err
	}
	index, _ := r.machine.Applied()
	return index, nil
}

// reach waits until this controller has applied the entry at an index.
func (r *Replica) reach(ctx context.Context, index uint64) error {
	timer := r.clock.NewTimer(catchUp)
	defer timer.Stop()
	for {
		applied, changed := r.machine.Applied()
		if applied >= index {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return problem.Unavailable.Errorf("cannot read: this controller is %d entries behind the leader", index-applied)
		case <-ctx.Done():
			return problem.Timeout.Errorf("cannot read: %w", ctx.Err())
		}
	}
}

// State is the newest state this controller has applied and a channel that is
// closed when there is a newer one. It may be behind the leader's.
func (r *Replica) State() (domain.State, <-chan struct{}) { return r.machine.State() }

// Newer is State's channel.
func (r *Replica) Newer() <-chan struct{} {
	_, newer := r.machine.State()
	return newer
}

// Model implements publisher.Source.
func (r *Replica) Model() (profiles.Tree, uint64, <-chan struct{}) {
	s, newer := r.machine.State()
	return s.Tree(), s.Revision(), newer
}

// Record implements authority.Records.
func (r *Replica) Record(kind, key string) (domain.Record, bool) {
	s, _ := r.machine.State()
	return s.Record(kind, key)
}

// Records lists the records of a kind, by key.
func (r *Replica) Records(kind string) []domain.Record {
	s, _ := r.machine.State()
	var list []domain.Record
	for rec := range s.Records(kind) {
		list = append(list, rec)
	}
	return list
}

// Put stores a record if expect holds.
func (r *Replica) Put(ctx context.Context, kind, key string, value []byte, expect uint64) error {
	_, err := r.Propose(ctx, &raftlog.Entry{Change: &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: kind, Key: key, Value: value, Expect: expect}}})
	return err
}

// PutAsLeader is Put on the controller that leads, by itself: what a leader that was
// deposed meanwhile would write is not handed to the next one. consensus.ErrNotLeading
// is then in the error.
func (r *Replica) PutAsLeader(kind, key string, value []byte, expect uint64) error {
	data, err := proto.Marshal(r.Entry("", &raftlog.Entry{Change: &raftlog.Entry_PutRecord{PutRecord: &raftlog.PutRecord{Kind: kind, Key: key, Value: value, Expect: expect}}}))
	if err != nil {
		return problem.Internal.Errorf("cannot encode a log entry: %w", err)
	}
	_, err = r.Write(data)
	return err
}

// Delete removes a record if expect holds.
func (r *Replica) Delete(ctx context.Context, kind, key string, expect uint64) error {
	_, err := r.Propose(ctx, &raftlog.Entry{Change: &raftlog.Entry_DeleteRecord{DeleteRecord: &raftlog.DeleteRecord{Kind: kind, Key: key, Expect: expect}}})
	return err
}

// Entry decides an entry's format, time and author.
func (r *Replica) Entry(author string, e *raftlog.Entry) *raftlog.Entry {
	e.Version, e.TimeUnixNs, e.Author = statemachine.Format, r.clock.Now().UnixNano(), author
	return e
}

// Propose decides the entry's format and time and writes it. It returns once a
// majority has it on disk and the leader has applied it.
func (r *Replica) Propose(ctx context.Context, e *raftlog.Entry) (revision uint64, err error) {
	data, err := proto.Marshal(r.Entry(e.Author, e))
	if err != nil {
		return 0, problem.Internal.Errorf("cannot encode a log entry: %w", err)
	}
	if r.Leads() {
		if revision, err = r.Write(data); !errors.Is(err, consensus.ErrNotLeading) {
			return revision, err
		}
		// Another leads since: nothing was written yet.
	}
	if revision, err = r.leader.Propose(ctx, data); err != nil {
		return 0, err
	}
	if err := r.Fresh(ctx); err != nil { // its author reads it here next
		return revision, problem.KindOf(err).Errorf("cannot see the write here, which another controller took: %w: %w", err, consensus.ErrUnknownOutcome)
	}
	return revision, nil
}

// Write puts an encoded entry into the log, here. Only the leader can.
func (r *Replica) Write(entry []byte) (revision uint64, err error) {
	out, _, err := r.Apply(entry)
	if err != nil {
		return 0, err
	}
	result, ok := out.(statemachine.Result)
	if !ok {
		return 0, problem.Internal.Errorf("cannot write: the log gave no result")
	}
	return result.Revision, result.Err
}
