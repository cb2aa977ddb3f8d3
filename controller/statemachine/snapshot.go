package statemachine

import (
	"bufio"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// Snapshot is a captured state. It costs nothing to capture: states are
// immutable.
type Snapshot struct {
	state   domain.State
	applied uint64 // the index of the last entry in it
}

// Snapshot captures the state.
func (m *Machine) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Snapshot{m.state, m.applied}
}

// WriteTo streams the snapshot, one item at a time.
func (s Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &itemWriter{w: w}
	parts, err := s.state.Parts()
	if err != nil {
		return 0, err
	}
	out.put(&raftlog.Item{Item: &raftlog.Item_State{State: &raftlog.State{Version: Format, Revision: parts.Revision, Sequence: parts.Sequence, Applied: s.applied}}})
	out.put(&raftlog.Item{Item: &raftlog.Item_Tree{Tree: parts.Tree}})
	for _, r := range parts.History {
		out.put(&raftlog.Item{Item: &raftlog.Item_Revision{Revision: &raftlog.Revision{
			Number: r.Number, TimeUnixNs: r.Time.UnixNano(), Author: r.Author, Comment: r.Comment, Operation: r.Operation, Changes: r.Changes,
		}}})
	}
	for r := range parts.Records {
		out.put(&raftlog.Item{Item: &raftlog.Item_Record{Record: &raftlog.Record{Kind: r.Kind, Key: r.Key, Value: r.Value, Version: r.Version}}})
	}
	out.put(&raftlog.Item{Item: &raftlog.Item_End{End: out.items}})
	return out.bytes, out.err
}

type itemWriter struct {
	w     io.Writer
	items uint64
	bytes int64
	err   error
}

func (o *itemWriter) put(i *raftlog.Item) {
	if o.err != nil {
		return
	}
	n, err := protodelim.MarshalTo(o.w, i)
	o.bytes, o.err = o.bytes+int64(n), err
	o.items++
}

// Restore replaces the state by that of a snapshot, or leaves it when the
// snapshot cannot be read to its end.
func (m *Machine) Restore(r io.Reader) error {
	s, applied, err := Read(r)
	if err != nil {
		return err
	}
	m.set(s, applied)
	return nil
}

// maxItem bounds one item of a snapshot: the tree of the largest domain is a few
// megabytes.
const maxItem = 1 << 30

// Read gives the state that a snapshot captured and the index of the last entry
// in it.
func Read(r io.Reader) (s domain.State, applied uint64, err error) {
	in := bufio.NewReader(r)
	var parts domain.Parts
	var records []domain.Record
	for items := uint64(0); ; items++ {
		var i raftlog.Item
		if err := (protodelim.UnmarshalOptions{MaxSize: maxItem}).UnmarshalFrom(in, &i); err != nil {
			return s, 0, problem.Internal.Errorf("cannot read the snapshot: item %d: %w", items, err)
		}
		switch v := i.Item.(type) {
		case *raftlog.Item_State:
			if v.State.Version > Format {
				return s, 0, problem.Unsupported.Errorf("cannot read the snapshot: it has format %d and this controller knows formats up to %d: update it", v.State.Version, Format)
			}
			parts.Revision, parts.Sequence, applied = v.State.Revision, v.State.Sequence, v.State.Applied
		case *raftlog.Item_Tree:
			parts.Tree = v.Tree
		case *raftlog.Item_Revision:
			parts.History = append(parts.History, domain.Revision{
				Number: v.Revision.Number, Time: time.Unix(0, v.Revision.TimeUnixNs).UTC(), Author: v.Revision.Author,
				Comment: v.Revision.Comment, Operation: v.Revision.Operation, Changes: v.Revision.Changes,
			})
		case *raftlog.Item_Record:
			records = append(records, domain.Record{Kind: v.Record.Kind, Key: v.Record.Key, Value: v.Record.Value, Version: v.Record.Version})
		case *raftlog.Item_End:
			if v.End != items {
				return s, 0, problem.Internal.Errorf("cannot read the snapshot: it has %d items and should have %d", items, v.End)
			}
			s, err = domain.Assemble(parts, records)
			return s, applied, err
		default:
			return s, 0, problem.Internal.Errorf("cannot read the snapshot: item %d has no meaning here", items)
		}
	}
}
