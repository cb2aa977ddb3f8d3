package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// OperationLimit is the largest operation taken, bytes: an :apply carries a
// whole domain.toml, which for a domain of 200 hosts is below 1 MiB.
const OperationLimit = 8 << 20

// Config is what the interface is made of.
type Config struct {
	Model Model
	Users access.Store
	// Endings are the sessions that were ended, shared by all controllers of a
	// domain; nil keeps them in this process.
	Endings access.Endings
	// SessionKey signs session tokens, at least 32 bytes, the same at every
	// controller of a domain; nil makes one that is good at this process only.
	SessionKey []byte
	// Audit records every operation; nil records nothing.
	Audit *access.Audit
	// Metrics answers /metrics; nil leaves it out.
	Metrics prometheus.Gatherer
	// Healthy answers /health: nil, or why not. A nil function is healthy.
	Healthy func(ctx context.Context) error
	// Version of the product, for the OpenAPI document.
	Version string
	Clock   clock.Clock
	Log     zerolog.Logger
}

// Interface serves the management interface over a Model.
type Interface struct {
	config   Config
	sessions *access.Sessions
}

// New makes the interface; Serve, ServeLocal and HTTP put it on the wire.
func New(c Config) *Interface {
	return &Interface{config: c, sessions: access.NewSessions(c.Users, c.Endings, c.SessionKey, c.Clock)}
}

// Call is one operation as it came in.
type call struct {
	caller access.Caller
	via    string // "native", "http" or "console", for the audit log
	op     profiles.Operation
	// emit, if not nil, makes the call a Follow.
	emit func(event any) error
	// again leaves a read that succeeds out of the audit log, see Inside.
	again bool
}

// execute authorises, runs and audits one operation.
func (i *Interface) execute(ctx context.Context, c call) (Response, error) {
	tree := i.config.Model.Tree()
	c.op.Address = c.op.Address.Canonical()
	var err error
	if c.caller, err = access.Effective(c.caller, tree); err == nil {
		err = access.Authorize(c.caller, c.op, tree)
	}
	if err != nil {
		i.audit(c, tree, Response{}, err, "denied")
		return Response{}, err
	}
	response, err := i.run(ctx, c)
	if err == nil {
		// The tree after the operation: what it added has its place in it.
		response.Result, err = access.Filter(c.caller, c.op, i.config.Model.Tree(), response.Result)
	}
	outcome := "success"
	if err != nil {
		outcome = "failed"
	}
	i.audit(c, tree, response, err, outcome)
	return response, err
}

func (i *Interface) run(ctx context.Context, c call) (Response, error) {
	if own, ok := operations[c.op.Name]; ok && len(c.op.Address) == 0 {
		var err error
		if c.op.Params, err = i.config.Model.Tree().Mode().Parameters(c.op); err != nil {
			return Response{}, err
		}
		result, err := own(i, ctx, c.caller, c.op)
		return Response{Result: result}, err
	}
	if c.emit == nil {
		return i.config.Model.Execute(ctx, c.caller, c.op)
	}
	return i.config.Model.Follow(ctx, c.caller, c.op, func(event any) error {
		visible, err := access.Filter(c.caller, c.op, i.config.Model.Tree(), event)
		if err != nil || visible == nil {
			return err // or nothing of it is in the caller's scope
		}
		return c.emit(visible)
	})
}

// audit records a call as the model wants it: access=audit may leave reads out,
// or everything but what was denied.
func (i *Interface) audit(c call, tree profiles.Tree, r Response, err error, outcome string) {
	if outcome != "denied" && (!access.Audited(c.op, tree) || c.again && err == nil && c.op.ReadOnly()) {
		return
	}
	e := access.Event{
		User: c.caller.Name, Mechanism: c.caller.Mechanism, Remote: c.caller.Remote, Access: c.via,
		Outcome: outcome, ReadOnly: c.op.ReadOnly(), Operation: access.MaskOperation(c.op, tree.Mode()), Revision: r.Revision,
	}
	if err != nil {
		e.Failure = err.Error()
	}
	i.config.Audit.DirectBy(tree)
	i.config.Audit.Record(e)
}

// refuse audits a call whose caller is not known.
func (i *Interface) refuse(remote, via string, err error) {
	i.config.Audit.Record(access.Event{Remote: remote, Access: via, Outcome: "denied", Failure: err.Error()})
	i.config.Log.Warn().Str("remote", remote).Err(err).Msg("management caller refused")
}

// decode reads an operation.
func decode(data []byte) (profiles.Operation, error) {
	if len(data) > OperationLimit {
		return profiles.Operation{}, problem.TooLarge.Errorf("cannot take an operation of %d bytes: the limit is %d", len(data), OperationLimit)
	}
	var op profiles.Operation
	err := json.Unmarshal(data, &op)
	if err != nil && problem.KindOf(err) == problem.Internal {
		err = problem.Invalid.Errorf("cannot read the operation: %w", err)
	}
	return op, err
}

// encode writes a response or a failure as one JSON object.
func encode(r Response, err error) ([]byte, error) {
	body := map[string]any{}
	headers := r.Headers
	if err == nil {
		body["outcome"] = "success"
		if r.Result != nil {
			body["result"] = r.Result
		}
	} else {
		body["outcome"] = "failed"
		body["failure-description"] = err.Error()
		body["failure-kind"] = problem.KindOf(err).String()
		body["rolled-back"] = true
		var elsewhere NotLeader
		if errors.As(err, &elsewhere) {
			headers = map[string]any{"leader": elsewhere.Leader}
		}
	}
	if r.Revision != 0 {
		body["revision"] = r.Revision
	}
	if len(headers) > 0 {
		body["response-headers"] = headers
	}
	data, encodeErr := json.Marshal(body)
	if encodeErr != nil {
		return nil, problem.Internal.Errorf("cannot encode the response: %w", encodeErr)
	}
	return data, nil
}

// marshalEvent wraps an event, so that it cannot be taken for the response
// that ends the stream.
func marshalEvent(event any) ([]byte, error) {
	data, err := json.Marshal(map[string]any{"event": event})
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encode an event: %w", err)
	}
	return data, nil
}
