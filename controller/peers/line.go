package peers

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// line is a connection to a controller that leads, or led. Calls that are on it
// when another leads are answered all the same: only the one who was asked knows
// what came of them.
type line struct {
	conn    *grpc.ClientConn
	address string
	calls   int // on it; guarded by the client
	// left ends when the line is the client's no more: it is closed after its last call.
	left  context.Context
	leave context.CancelFunc
}

// to gives the connection to an address, made when it is first used, with a call on
// it.
func (c *Client) to(address string) (*line, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == nil || c.line.address != address {
		conn, err := Dial(address, c.identity, c.allow)
		if err != nil {
			return nil, err
		}
		c.leave()
		c.line = &line{conn: conn, address: address}
		c.line.left, c.line.leave = context.WithCancel(context.Background())
	}
	c.line.calls++
	return c.line, nil
}

// over says that a call on a connection is over.
func (c *Client) over(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.calls--
	l.end()
}

// forget makes the next call connect anew, if this is the present connection.
func (c *Client) forget(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == l {
		c.leave()
	}
}

// leave gives the present connection up; c.mu is held.
func (c *Client) leave() {
	if c.line != nil {
		c.line.leave()
		c.line.end()
		c.line = nil
	}
}

// end closes a connection that nobody needs; the client's mutex is held.
func (l *line) end() {
	if l.left.Err() != nil && l.calls == 0 {
		_ = l.conn.Close() // nothing is on it
	}
}

// Close ends the client's connection, and what is on it.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == nil {
		return nil
	}
	c.line.leave()
	return c.line.conn.Close()
}

// A connection to the leader may take reachWithin, on a machine that is very
// busy. Meanwhile it is looked every reachPause whether another leads: one whose
// machine is gone does not even refuse.
const (
	reachWithin = 5 * time.Second
	reachPause  = 100 * time.Millisecond
)

// connected waits until there is a connection, and reports whether there is. One
// that failed is not used again: gRPC would wait before it tries.
func (c *Client) connected(ctx context.Context, l *line) bool {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	l.conn.Connect()
	for ctx.Err() == nil {
		switch state := l.conn.GetState(); state {
		case connectivity.Ready:
			return true
		case connectivity.TransientFailure, connectivity.Shutdown:
			c.forget(l)
			return false
		default:
			pause, done := context.WithTimeout(ctx, reachPause)
			l.conn.WaitForStateChange(pause, state)
			done()
		}
		if _, now := c.directory.LeaderPlace(); now.Native != l.address {
			return false
		}
	}
	return false
}
