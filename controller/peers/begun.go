package peers

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// ErrNoLeader is in the error of a call of which certainly nothing was done: no
// controller leads at the moment, the one that did cannot be reached, or the one
// that was asked leads no more. The caller may wait a moment and repeat it.
var ErrNoLeader = errors.New("no controller leads")

// NotBegun puts ErrNoLeader into an error without changing what it says.
func NotBegun(err error) error { return notBegun{err} }

type notBegun struct{ error }

func (n notBegun) Unwrap() error        { return n.error }
func (n notBegun) Is(target error) bool { return target == ErrNoLeader }

// notBegunKey is in the trailer of a call of which nothing was done. Controllers
// that do not know it take the error as it is.
const notBegunKey = "gatehouse-not-begun"

// trailer says in a call's trailer when nothing was done.
func trailer(err error) metadata.MD {
	if errors.Is(err, ErrNoLeader) {
		return metadata.Pairs(notBegunKey, "true")
	}
	return nil
}

// call is what is known of how far a call came.
type call struct {
	sent atomic.Bool // something of it went out
	end  metadata.MD // its trailer
}

type callKey struct{}

// watched is ctx for a call over a connection of Dial.
func (c *call) watched(ctx context.Context) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// failed is a call's error, as a problem.
func (c *call) failed(err error) error {
	if err = problem.FromGRPC(err); err != nil && (!c.sent.Load() || len(c.end.Get(notBegunKey)) > 0) {
		return NotBegun(err)
	}
	return err
}

// sending notes of each call that it went out. It is a stats.Handler.
type sending struct{}

// HandleRPC implements stats.Handler.
func (sending) HandleRPC(ctx context.Context, s stats.RPCStats) {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return
	}
	switch s.(type) {
	case *stats.Begin: // again only after the peer has said that it did not take it
		c.sent.Store(false)
	case *stats.OutHeader:
		c.sent.Store(true)
	}
}

// TagRPC implements stats.Handler.
func (sending) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (sending) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (sending) HandleConn(context.Context, stats.ConnStats) {}
