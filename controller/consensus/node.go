package consensus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Leader names the node that leads, as far as this node knows.
type Leader struct {
	Name    string // "" while there is none
	Address string // of its replication port
}

// ErrUnknownOutcome marks the error of an Apply whose entry may or may not be
// committed: leadership was lost while it was on its way.
var ErrUnknownOutcome = errors.New("it may or may not have been done")

// ErrNotLeading marks the error of a call of which nothing was done: this node does
// not lead, or leads no more.
var ErrNotLeading = errors.New("it does not lead")

// notLeading is an error that ErrNotLeading marks; it says the same.
type notLeading struct{ error }

func (n notLeading) Unwrap() error        { return n.error }
func (n notLeading) Is(target error) bool { return target == ErrNotLeading }

// Apply replicates an entry and gives the machine's result once a majority has
// it on disk and this node has applied it. Only the leader can.
func (n *Node) Apply(entry []byte) (result any, index uint64, err error) {
	if !n.Leads() {
		return nil, 0, n.notLeading("cannot write")
	}
	began := n.clock.Now()
	future := n.raft.Apply(n.box.seal(entry), enqueueTimeout)
	if err := n.answer(future); err != nil {
		return nil, 0, n.writeProblem(err)
	}
	a, ok := future.Response().(applied)
	if !ok {
		return nil, 0, problem.Internal.Errorf("cannot write: the log gave no result")
	}
	n.committed(clock.Since(n.clock, began))
	return a.result, future.Index(), a.err
}

// answer waits for a future's. The raft library forgets, when it is shut down, entries
// that were committed and not applied here yet (seen in a history of the
// linearizability test).
func (n *Node) answer(f raft.Future) error {
	answer := make(chan error, 1)
	go func() { answer <- f.Error() }()
	select {
	case err := <-answer:
		return err
	case <-n.ended:
	}
	select {
	case err := <-answer:
		return err
	default:
		return raft.ErrRaftShutdown
	}
}

func (n *Node) writeProblem(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.notLeading("cannot write")
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, raft.ErrAbortedByRestore):
		return problem.Unavailable.Errorf("cannot confirm the write: this controller lost the lead: %w", ErrUnknownOutcome)
	}
	return problem.Internal.Errorf("cannot confirm the write: %w: %w", err, ErrUnknownOutcome)
}

func (n *Node) notLeading(what string) error {
	if l := n.Leader(); l.Name != "" && l.Name != n.name {
		return notLeading{problem.Unavailable.Errorf("%s: controller %s does not lead, %s does", what, n.name, l.Name)}
	}
	return notLeading{problem.WithHint(problem.Unavailable.Errorf("%s: no controller leads", what),
		"wait a moment; if it stays, a majority of the controllers is lost: see 'gatehouse controller recover'")}
}

// Leads reports whether this node leads and has applied all that earlier
// leaders acknowledged.
func (n *Node) Leads() bool {
	return n.raft.State() == raft.Leader && n.ready.Load() == n.raft.CurrentTerm()
}

// Read returns when the machine's state on this node holds every write that was
// acknowledged, by any node, before Read was called: what is then read from it
// is linearizable. Only the leader can. It costs one exchange of heartbeats with
// a majority and no disk write.
func (n *Node) Read() error {
	// The writes that this leader acknowledged are applied here, since it
	// acknowledges after applying; those of earlier leaders since its barrier.
	// What is left to prove is that it was still the leader after Read began, in
	// the same term.
	term := n.ready.Load()
	if !n.Leads() {
		return n.notLeading("cannot read")
	}
	if !n.verify() {
		return n.notLeading("cannot read")
	}
	if n.raft.CurrentTerm() != term {
		return n.notLeading("cannot read")
	}
	return n.Failure()
}

// verify asks a majority whether this node leads. The raft library forgets a
// question that it takes at the very moment the lead is lost (seen in a history
// of the linearizability test): no answer in time is a no.
func (n *Node) verify() bool { return n.settles(n.raft.VerifyLeader(), verifyTimeout) }

// settles reports whether a future came to a good end in time.
func (n *Node) settles(f raft.Future, limit time.Duration) bool {
	answer := make(chan error, 1)
	go func() { answer <- f.Error() }()
	timer := n.clock.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err == nil
	case <-timer.C:
		return false
	}
}

// Leader is who leads, as far as this node knows.
func (n *Node) Leader() Leader {
	address, id := n.raft.LeaderWithID()
	return Leader{Name: string(id), Address: string(address)}
}

// Lead calls lead each time this node has become leader and has applied all
// that earlier leaders acknowledged. lead's context ends with the leadership;
// lead then returns. Lead returns when ctx ends.
func (n *Node) Lead(ctx context.Context, lead func(ctx context.Context)) error {
	revoke := func() {}
	defer func() { revoke() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.Failed():
			return n.Failure()
		case leads := <-n.notify:
			n.ready.Store(0)
			revoke()
			revoke = func() {}
			if leads {
				revoke = n.establish(ctx, lead)
			}
		}
	}
}

// establish runs lead behind a barrier and gives the function that ends it and
// waits for its end.
func (n *Node) establish(ctx context.Context, lead func(ctx context.Context)) (revoke func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		term := n.raft.CurrentTerm()
		// Retried for as long as this node leads: a barrier fails only when the
		// lead is lost or the disk hangs.
		for !n.settles(n.raft.Barrier(enqueueTimeout), 2*enqueueTimeout) {
			if ctx.Err() != nil || n.raft.State() != raft.Leader {
				return
			}
		}
		n.ready.Store(term)
		n.log.Info().Uint64("term", term).Msg("this controller leads")
		n.watches.wake()
		lead(ctx)
	})
	return func() {
		cancel()
		done.Wait()
		n.log.Info().Msg("this controller leads no more")
		n.watches.wake()
	}
}

// Changed is closed when the leader or this node's part may have changed.
func (n *Node) Changed() <-chan struct{} { return n.watches.next() }

func (n *Node) observe() {
	events := make(chan raft.Observation, 16)
	// Not blocking: what counts is that something changed, not how often.
	n.raft.RegisterObserver(raft.NewObserver(events, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	}))
	go func() {
		for {
			select {
			case <-events:
				n.watches.wake()
			case <-n.watches.closed():
				return
			}
		}
	}()
}

// watches wakes those who wait for a change.
type watches struct {
	mu   sync.Mutex
	ch   chan struct{}
	done chan struct{}
}

func (w *watches) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

func (w *watches) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}

func (w *watches) closed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
	}
	return w.done
}

func (w *watches) close() {
	c := w.closed()
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-c:
	default:
		close(w.done)
	}
}
