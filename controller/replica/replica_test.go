package replica_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/consensus/consensustest"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// another leads; it counts what it is asked for, and takes nothing.
type another struct{ asked int }

var errNotTaken = errors.New("not taken")

func (a *another) Propose(context.Context, []byte) (uint64, error) { a.asked++; return 0, errNotTaken }
func (a *another) ReadIndex(context.Context) (uint64, error)       { return 0, errNotTaken }

func open(t *testing.T, leader replica.Leader) *replica.Replica {
	t.Helper()
	machine := statemachine.New()
	var network consensustest.Network
	node, err := consensus.Open(consensus.Config{Name: "c1", Dir: t.TempDir(), Transport: network.Transport("c1"),
		Machine: replica.Adapt(machine), Key: bytes.Repeat([]byte{7}, consensus.KeySize), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	return replica.New(node, machine, leader, clock.Real())
}

// A leader that was deposed while it worked must not write through the next one what
// that has refused, or undone, since.
func TestWhatOnlyALeaderMayWriteIsHandedToNobody(t *testing.T) {
	var leader another
	r := open(t, &leader)
	if err := r.PutAsLeader("kind", "key", nil, domain.Any); !errors.Is(err, consensus.ErrNotLeading) || leader.asked != 0 {
		t.Errorf("%v, asked %d times", err, leader.asked)
	}
	if err := r.Put(t.Context(), "kind", "key", nil, domain.Any); !errors.Is(err, errNotTaken) || leader.asked != 1 {
		t.Errorf("another write: %v, asked %d times", err, leader.asked)
	}
}

func TestALeaderWritesByItself(t *testing.T) {
	r := open(t, &another{})
	if err := r.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	leads, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Lead(ctx, func(ctx context.Context) { close(leads); <-ctx.Done() }) }()
	defer func() { cancel(); <-done }()
	select {
	case <-leads:
	case <-clock.Real().NewTimer(time.Minute).C:
		t.Fatal("it does not lead")
	}
	newer := r.Newer()
	if err := r.PutAsLeader("kind", "key", []byte("value"), domain.Absent); err != nil {
		t.Fatal(err)
	}
	<-newer
	if rec, ok := r.Record("kind", "key"); !ok || string(rec.Value) != "value" {
		t.Errorf("%v: %s", ok, rec.Value)
	}
}
