// Package operations carries out what operators ask of a domain: it is the
// controllers' management/api.Model. Operations on the configuration go to the
// nouns (profiles) and become revisions; those on hosts, servers, controllers,
// history and rollouts are carried out here. On a follower they are handed to
// the leader.
//
// It must not know how an operation came in or whether its caller may: both
// were decided before. It does no raft and no streams of its own.
package operations

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/rollout"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Leader is the leader as another controller reaches it; operations and callers
// are JSON.
type Leader interface {
	Execute(ctx context.Context, caller, operation []byte) (response []byte, err error)
	Follow(ctx context.Context, caller, operation []byte, emit func(event json.RawMessage) error) (response []byte, err error)
	Join(ctx context.Context, n peers.Newcomer) error
}

// Config says what a Desk needs; every field but Papers is required.
type Config struct {
	Replica   *replica.Replica
	Leader    Leader
	Authority *authority.Authority
	Publisher *publisher.Publisher
	// Papers gives a controller's own files of a support bundle, by name.
	Papers func(ctx context.Context, controller string) (map[string][]byte, error)
	Clock  clock.Clock
	Log    zerolog.Logger
}

// Desk carries out operations. It is safe for concurrent use.
type Desk struct {
	replica   *replica.Replica
	leader    Leader
	authority *authority.Authority
	publisher *publisher.Publisher
	engine    *rollout.Engine
	papers    func(ctx context.Context, controller string) (map[string][]byte, error)
	clock     clock.Clock
	log       zerolog.Logger

	// deciding is held while a change is decided and written: the next one is
	// decided on what it made.
	deciding sync.Mutex
	// joining is held while a controller becomes a member, or is one no more.
	joining sync.Mutex
}

// New makes a Desk.
func New(cfg Config) *Desk {
	d := &Desk{replica: cfg.Replica, leader: cfg.Leader, authority: cfg.Authority, publisher: cfg.Publisher, papers: cfg.Papers, clock: cfg.Clock, log: cfg.Log}
	d.engine = rollout.New(rollout.Config{Hosts: cfg.Publisher, Records: cfg.Replica, Restorer: d, Clock: cfg.Clock, Log: cfg.Log})
	return d
}

// Rollouts carries out rollouts until ctx ends. Only the leader calls it.
func (d *Desk) Rollouts(ctx context.Context) { d.engine.Run(ctx) }

// Tree implements api.Model.
func (d *Desk) Tree() profiles.Tree {
	s, _ := d.replica.State()
	return s.Tree()
}

// request is one operation on its way through the Desk.
type request struct {
	caller access.Caller
	op     profiles.Operation
	// emit, if not nil, takes the events of an operation that streams.
	emit func(event any) error
}

// Execute implements api.Model.
func (d *Desk) Execute(ctx context.Context, caller access.Caller, op profiles.Operation) (api.Response, error) {
	return d.run(ctx, request{caller: caller, op: op})
}

// Follow implements api.Model.
func (d *Desk) Follow(ctx context.Context, caller access.Caller, op profiles.Operation, emit func(event any) error) (api.Response, error) {
	return d.run(ctx, request{caller: caller, op: op, emit: emit})
}

// run carries the operation out here or on the leader.
func (d *Desk) run(ctx context.Context, r request) (api.Response, error) {
	r.op.Address = r.op.Address.Canonical()
	switch leads := d.replica.Leads(); {
	case r.op.ReadOnly() && r.flag("allow-stale"):
	case leads || r.op.ReadOnly() && ofModel(r.op):
		if err := d.replica.Fresh(ctx); err != nil {
			if problem.Is(err, problem.Unavailable) {
				err = api.NotLeader{Cause: err} // nothing was begun
			}
			return api.Response{}, err
		}
	default:
		return d.forward(ctx, r)
	}
	return d.carryOut(ctx, r)
}

// ofModel reports whether an operation concerns the model alone, which every
// controller has; what runs, and rollouts, only the leader sees whole.
func ofModel(op profiles.Operation) bool {
	return !runs(op) || op.Name == "history" || op.Name == "diff" || op.Name == "read-config-as-toml"
}

// forward hands the operation to the leader.
func (d *Desk) forward(ctx context.Context, r request) (response api.Response, err error) {
	caller, err := json.Marshal(r.caller)
	if err != nil {
		return response, err
	}
	op, err := json.Marshal(r.op)
	if err != nil {
		return response, err
	}
	var answer []byte
	if r.emit == nil {
		answer, err = d.leader.Execute(ctx, caller, op)
	} else {
		answer, err = d.leader.Follow(ctx, caller, op, func(event json.RawMessage) error { return r.emit(event) })
	}
	if errors.Is(err, peers.ErrNoLeader) {
		// Nothing was begun: the caller may wait for the new leader and repeat it.
		return response, api.NotLeader{Cause: err}
	}
	if err != nil {
		return response, err
	}
	var w wire
	if err := json.Unmarshal(answer, &w); err != nil {
		return response, problem.Internal.Errorf("cannot read the leader's answer: %w", err)
	}
	response = api.Response{Revision: w.Revision, Headers: w.Headers}
	if err := d.replica.Fresh(ctx); err != nil { // its author may read it here next
		d.log.Debug().Err(err).Msg("answered before the answer's revision was here")
	}
	if len(w.Result) > 0 {
		response.Result = w.Result
	}
	return response, nil
}

// wire is an api.Response between controllers.
type wire struct {
	Result   json.RawMessage `json:"result,omitempty"`
	Revision uint64          `json:"revision,omitempty"`
	Headers  map[string]any  `json:"headers,omitempty"`
}

// ExecuteFor implements peers.Domain.
func (d *Desk) ExecuteFor(ctx context.Context, caller, operation []byte) ([]byte, error) {
	return d.serve(ctx, caller, operation, nil)
}

// FollowFor implements peers.Domain.
func (d *Desk) FollowFor(ctx context.Context, caller, operation []byte, emit func(event []byte) error) ([]byte, error) {
	return d.serve(ctx, caller, operation, func(event any) error {
		text, err := json.Marshal(event)
		if err != nil {
			return problem.Internal.Errorf("cannot encode an event: %w", err)
		}
		return emit(text)
	})
}

// serve runs what another controller handed on. It is not handed on again: two
// controllers that take each other for the leader would never end.
func (d *Desk) serve(ctx context.Context, caller, operation []byte, emit func(any) error) ([]byte, error) {
	r := request{emit: emit}
	if err := json.Unmarshal(caller, &r.caller); err != nil {
		return nil, problem.Invalid.Errorf("cannot read who calls: %w", err)
	}
	if err := json.Unmarshal(operation, &r.op); err != nil {
		return nil, err
	}
	if err := d.replica.Read(); err != nil {
		return nil, peers.NotBegun(err)
	}
	response, err := d.carryOut(ctx, r)
	if err != nil {
		return nil, err
	}
	w := wire{Revision: response.Revision, Headers: response.Headers}
	if response.Result != nil {
		if w.Result, err = json.Marshal(response.Result); err != nil {
			return nil, problem.Internal.Errorf("cannot encode the answer: %w", err)
		}
	}
	return json.Marshal(w)
}

// text is a parameter that is a text; "" when it is not there.
func (r request) text(name string) string {
	s, _ := r.op.Params[name].(string)
	return s
}

// number is a parameter that is a number, or otherwise.
func (r request) number(name string, otherwise int64) int64 {
	if n, ok := r.op.Params[name].(int64); ok {
		return n
	}
	return otherwise
}

// flag is a header or parameter that is true.
func (r request) flag(name string) bool {
	return r.op.Headers[name] == true || r.op.Params[name] == true || r.op.Headers[name] == "true"
}

// required is a parameter that must be there.
func (r request) required(name, example string) (string, error) {
	if s := r.text(name); s != "" {
		return s, nil
	}
	return "", problem.Invalid.Errorf("cannot run %s: parameter %s is missing (for example :%s(%s=%s))", r.op.Name, name, r.op.Name, name, example)
}

// timeout is the operation's own limit: parameter timeout in seconds (WildFly's
// meaning), or otherwise.
func (r request) timeout(otherwise time.Duration) time.Duration {
	if n := r.number("timeout", 0); n > 0 {
		return time.Duration(n) * time.Second
	}
	return otherwise
}
