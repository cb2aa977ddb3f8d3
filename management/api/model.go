// Package api serves the management interface: it decodes an operation,
// authorises its caller, calls the Model and encodes the answer, the same for
// gRPC and HTTP. It must not know how the Model keeps its configuration, nor
// what an operation does beyond what its resource description says.
package api

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Model is the management model that the interface is served over: a
// controller's replicated one, or a standalone server's own file. Errors carry
// a problem.Kind; a refused operation has changed nothing.
type Model interface {
	// Execute runs one operation as its caller, who was authorised already.
	// Reads are linearizable unless the header allow-stale is set.
	Execute(ctx context.Context, caller access.Caller, op profiles.Operation) (Response, error)
	// Follow is Execute for an operation whose answer is a stream; emit is
	// called with each event, anything that encodes to JSON, one at a time. An
	// error of emit ends the operation's stream, not what it started.
	Follow(ctx context.Context, caller access.Caller, op profiles.Operation, emit func(event any) error) (Response, error)
	// Tree is the configuration as this node knows it now; it may be stale.
	// Authorisation, masking and the OpenAPI document are computed from it.
	Tree() profiles.Tree
}

// Response is the answer to an operation that succeeded.
type Response struct {
	// Result is anything that encodes to JSON; nil when there is nothing to say.
	Result any
	// Revision is the domain's revision that the operation made or read; 0 when
	// it has none.
	Revision uint64
	// Headers are the response headers, for example
	// "operation-requires-reload": true, "process-state": "reload-required".
	Headers map[string]any
}

// NotLeader is the error of a node that cannot serve the operation itself nor
// forward it. Nothing was executed, so a client may repeat it at Leader.
type NotLeader struct {
	// Leader is the management address of the leader, host:port; "" when there
	// is none at the moment.
	Leader string
	// Cause, if not nil, says more.
	Cause error
}

// Error says where the leader is.
func (e NotLeader) Error() string {
	if e.Cause != nil {
		return e.Cause.Error()
	}
	if e.Leader == "" {
		return "cannot execute the operation: the domain has no leader at the moment"
	}
	return "cannot execute the operation here: the leader is " + e.Leader
}

// Unwrap gives the error its kind.
func (e NotLeader) Unwrap() error {
	if e.Cause != nil {
		return e.Cause
	}
	return problem.Unavailable.Errorf("not the leader")
}
