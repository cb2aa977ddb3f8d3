package peers

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
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

// A connection to the leader may take reachWithin, on a machine that is very
// busy. Meanwhile it is looked every reachPause whether another leads: one whose
// machine is gone does not even refuse.
const (
	reachWithin = 5 * time.Second
	reachPause  = 100 * time.Millisecond
)

// connected waits until there is a connection, and reports whether there is. One
// that failed is not used again: gRPC would wait before it tries.
func (c *Client) connected(ctx context.Context, conn *grpc.ClientConn, at Place) bool {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	conn.Connect()
	for ctx.Err() == nil {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return true
		case connectivity.TransientFailure, connectivity.Shutdown:
			c.forget(conn)
			return false
		default:
			pause, done := context.WithTimeout(ctx, reachPause)
			conn.WaitForStateChange(pause, state)
			done()
		}
		if _, now := c.directory.LeaderPlace(); now.Native != at.Native {
			return false
		}
	}
	return false
}

// forget closes a connection, if it is the present one.
func (c *Client) forget(conn *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.conn, c.address = nil, ""
		_ = conn.Close() // nothing is on it
	}
}
