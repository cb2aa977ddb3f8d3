package operations_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/consensus/consensustest"
	"github.com/gatehouse-idp/gatehouse/controller/operations"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// ensemble is controllers in memory, their logs on disk, whose network breaks.
type ensemble struct {
	t       *testing.T
	dir     string
	network consensustest.Network

	mu    sync.Mutex
	nodes map[string]*node
	cut   map[string]bool
}

type node struct {
	name string
	desk *operations.Desk
	rep  *replica.Replica
	stop func()
}

var names = []string{"c1", "c2", "c3"}

func newEnsemble(t *testing.T) *ensemble {
	e := &ensemble{t: t, dir: t.TempDir(), nodes: map[string]*node{}, cut: map[string]bool{}}
	t.Cleanup(func() {
		for _, name := range names {
			e.kill(name)
		}
	})
	first := e.start("c1")
	if err := first.rep.Bootstrap(); err != nil {
		t.Fatal(err)
	}
	op := profiles.Operation{Name: "add", Address: register, Params: map[string]any{"value": "0"}}
	e.until("the register is there", func() bool {
		_, err := first.desk.Execute(context.Background(), access.LocalSuperUser(), op)
		return err == nil || first.desk.Tree().Has(register)
	})
	for _, name := range names[1:] {
		e.start(name)
		// Whoever leads: a busy machine may depose a leader at any time.
		e.until(name+" is a member", func() bool {
			return slices.ContainsFunc(names, func(leader string) bool {
				n := e.node(leader)
				return n != nil && n.rep.Leads() && n.rep.Add(name, name) == nil
			})
		})
	}
	return e
}

func (e *ensemble) start(name string) *node {
	machine := statemachine.New()
	raft, err := consensus.Open(consensus.Config{Name: name, Dir: filepath.Join(e.dir, name), Transport: e.network.Transport(name),
		Machine: replica.Adapt(machine), Key: bytes.Repeat([]byte{7}, consensus.KeySize), Log: zerolog.Nop(),
		Compact: consensus.Compaction{Interval: 200 * time.Millisecond, Threshold: 32, Trailing: 16}})
	if err != nil {
		e.t.Error(err)
		return nil
	}
	n := &node{name: name}
	way := wayToLeader{e, n}
	n.rep = replica.New(raft, machine, way, clock.Real())
	pub := publisher.New(publisher.Config{Source: n.rep, Knows: func(string) bool { return true }, Clock: clock.Real(), Log: zerolog.Nop()})
	auth := authority.New(authority.Config{Records: n.rep, Presence: pub, Clock: clock.Real()})
	n.desk = operations.New(operations.Config{Replica: n.rep, Leader: way, Authority: auth, Publisher: pub, Clock: clock.Real(), Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.rep.Lead(ctx, func(ctx context.Context) { <-ctx.Done() })
	}()
	n.stop = func() { cancel(); <-done; _ = n.rep.Close() }
	e.mu.Lock()
	defer e.mu.Unlock()
	e.nodes[name] = n
	return n
}

func (e *ensemble) kill(name string) {
	e.mu.Lock()
	n := e.nodes[name]
	delete(e.nodes, name)
	e.mu.Unlock()
	if n != nil {
		n.stop()
	}
}

func (e *ensemble) node(name string) *node {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nodes[name]
}

func (e *ensemble) setCut(name string, cut bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nodes[name] == nil || e.cut[name] == cut {
		return
	}
	if e.cut[name] = cut; cut {
		e.network.Isolate(name)
	} else {
		e.network.Heal(name)
	}
}

func (e *ensemble) until(what string, ok func() bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !ok() {
		if clock.Sleep(ctx, clock.Real(), 5*time.Millisecond) != nil {
			e.t.Fatalf("waited in vain until %s", what)
		}
	}
}

// wayToLeader reaches the leader as far as the network lets it.
type wayToLeader struct {
	e    *ensemble
	from *node
}

func (w wayToLeader) leader() (*node, error) {
	name := w.from.rep.Leader().Name
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if n := w.e.nodes[name]; n != nil && n != w.from && !w.e.cut[name] && !w.e.cut[w.from.name] {
		return n, nil
	}
	return nil, problem.Unavailable.Errorf("no way to the leader %q", name)
}

func (w wayToLeader) Propose(_ context.Context, entry []byte) (uint64, error) {
	n, err := w.leader()
	if err != nil {
		return 0, err
	}
	return n.rep.Write(entry)
}

func (w wayToLeader) ReadIndex(context.Context) (uint64, error) {
	n, err := w.leader()
	if err != nil {
		return 0, err
	}
	return n.rep.Index()
}

func (w wayToLeader) Execute(ctx context.Context, caller, op []byte) ([]byte, error) {
	n, err := w.leader()
	if err != nil {
		return nil, err
	}
	return n.desk.ExecuteFor(ctx, caller, op)
}

func (w wayToLeader) Follow(context.Context, []byte, []byte, func(json.RawMessage) error) ([]byte, error) {
	return nil, problem.Unsupported.Errorf("not in this test")
}

func (w wayToLeader) Join(context.Context, peers.Newcomer) error { return nil }

// register is the one value of the model that the clients read and write.
var register = profiles.Address{{Type: "system-property", Name: "register"}}

type input struct {
	write bool
	value string
}

// registerModel is a register: what a read must see.
var registerModel = porcupine.Model{
	Init: func() any { return "0" },
	Step: func(state, in, out any) (bool, any) {
		if i := in.(input); i.write {
			return true, i.value
		}
		return out == state, state
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprint(in, " ", out) },
}

// history runs clients while faults happen, and gives what they saw.
func (e *ensemble) history(r *rand.Rand, length time.Duration) ([]porcupine.Operation, map[uint64]string) {
	began := clock.Real().Now()
	now := func() int64 { return int64(clock.Since(clock.Real(), began)) }
	var mu sync.Mutex
	var ops []porcupine.Operation
	acknowledged := map[uint64]string{}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var clients sync.WaitGroup
	for client := range 5 {
		choose := rand.New(rand.NewPCG(r.Uint64(), uint64(client)))
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				n := e.node(names[choose.IntN(len(names))])
				if n == nil {
					continue
				}
				in := input{write: choose.IntN(2) == 0, value: fmt.Sprintf("%d-%d", client, i)}
				call := now()
				out, revision, err := n.do(in)
				op := porcupine.Operation{ClientId: client, Input: in, Call: call, Output: out, Return: now()}
				mu.Lock()
				switch {
				case err == nil:
					ops = append(ops, op)
					if in.write {
						acknowledged[revision] = in.value
					}
				case in.write && errors.Is(err, consensus.ErrUnknownOutcome):
					op.Return = int64(time.Hour) // it may take effect at any time
					ops = append(ops, op)
				}
				mu.Unlock()
				_ = clock.Sleep(ctx, clock.Real(), time.Duration(choose.IntN(10))*time.Millisecond)
			}
		})
	}
	e.disturb(ctx, r)
	clients.Wait()
	return ops, acknowledged
}

func (n *node) do(in input) (out any, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	op := profiles.Operation{Name: "read-attribute", Address: register, Params: map[string]any{"name": "value"}}
	if in.write {
		op.Name, op.Params["value"] = "write-attribute", in.value
	}
	response, err := n.desk.Execute(ctx, access.LocalSuperUser(), op)
	if raw, ok := response.Result.(json.RawMessage); ok && err == nil {
		var text string
		err = json.Unmarshal(raw, &text)
		return text, response.Revision, err
	}
	return response.Result, response.Revision, err
}

// disturb kills, restarts, cuts off and heals controllers, mostly the leader.
func (e *ensemble) disturb(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		_ = clock.Sleep(ctx, clock.Real(), time.Duration(100+r.IntN(300))*time.Millisecond)
		victim := names[r.IntN(len(names))]
		for _, name := range names {
			if n := e.node(name); n != nil && n.rep.Leads() && r.IntN(3) > 0 {
				victim = name
			}
		}
		if r.IntN(2) == 0 {
			e.kill(victim)
			_ = clock.Sleep(ctx, clock.Real(), time.Duration(r.IntN(900))*time.Millisecond)
			e.start(victim)
		} else {
			e.setCut(victim, true)
			_ = clock.Sleep(ctx, clock.Real(), time.Duration(r.IntN(1200))*time.Millisecond)
			e.setCut(victim, false)
		}
	}
}

// Promise 1 of DESIGN.md, section 6: operations are linearizable and no
// acknowledged revision is lost, while leaders are killed, restarted and cut off.
func TestOperationsAreLinearizableWhileControllersFail(t *testing.T) {
	histories, length := 3, 3*time.Second
	if n, err := strconv.Atoi(os.Getenv("GATEHOUSE_HISTORIES")); err == nil {
		histories = n
	}
	for i := range histories {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			e := newEnsemble(t)
			ops, acknowledged := e.history(rand.New(rand.NewPCG(seed, 0)), length)
			if result := porcupine.CheckOperationsTimeout(registerModel, ops, time.Minute); result != porcupine.Ok {
				t.Errorf("history of %d operations: %s", len(ops), result)
			}
			e.keepsAll(acknowledged)
			t.Logf("%d operations, %d acknowledged writes", len(ops), len(acknowledged))
		})
	}
}

// keepsAll checks that every acknowledged revision is in the history as it was
// acknowledged.
func (e *ensemble) keepsAll(acknowledged map[uint64]string) {
	e.t.Helper()
	state := func() (map[uint64]string, error) {
		n := e.node("c1")
		if err := n.rep.Fresh(context.Background()); err != nil {
			return nil, err
		}
		s, _ := n.rep.State()
		kept := map[uint64]string{}
		for _, r := range s.History() {
			cs, err := r.ChangeSet()
			if err != nil {
				return nil, err
			}
			for _, c := range cs {
				kept[r.Number], _ = c.New.(string)
			}
		}
		return kept, nil
	}
	var kept map[uint64]string
	e.until("the controllers are back", func() (ok bool) {
		var err error
		kept, err = state()
		return err == nil
	})
	for revision, value := range acknowledged {
		if kept[revision] != value {
			e.t.Errorf("revision %d was acknowledged with %q and is %q", revision, value, kept[revision])
		}
	}
}
