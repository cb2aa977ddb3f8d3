package client

import (
	"cmp"
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// nextAfter is how long one controller may be silent before the next is tried
// too: with three controllers, two of them gone, a call still starts within the
// 2 s that a lost leader may cost. It is not given up then: reachLimit is how
// long a busy machine, or the one at a slow link's end, may take to answer.
const (
	nextAfter  = 900 * time.Millisecond
	reachLimit = 10 * time.Second
)

// attempt is what became of one address.
type attempt struct {
	of   int // its place in the list
	link *link
	err  error
}

// reach gives a connection to the first address that answers, logged in. The
// next one is tried when the last has failed or is silent; nobody is given up
// for being slow while none has answered.
func (c *Client) reach(ctx context.Context) (*link, error) {
	addresses := c.config.Addresses
	reaching, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	attempts, over := make(chan attempt), make(chan struct{})
	defer close(over)
	reasons := make([]string, len(addresses))
	var last error
	for tried, failed := 0, 0; failed < len(addresses); {
		if tried < len(addresses) {
			go c.try(reaching, attempt{of: tried}, addresses[tried], attempts, over)
			tried++
		}
		a, told := c.soon(attempts, tried < len(addresses))
		if !told {
			continue
		}
		if a.err == nil {
			a.err = c.identify(ctx, a.link)
		}
		switch {
		case a.err == nil:
			return a.link, nil
		case problem.Is(a.err, problem.Unauthorized) || problem.Is(a.err, problem.Invalid):
			return nil, a.err // another controller would say the same
		}
		last, reasons[a.of] = a.err, a.err.Error()
		failed++
	}
	if len(addresses) == 1 {
		return nil, last
	}
	return nil, problem.Unavailable.Errorf("cannot reach any controller: %s", strings.Join(reasons, "; "))
}

// soon waits for an attempt to end, and only for a while where there are more
// addresses to be tried.
func (c *Client) soon(attempts <-chan attempt, more bool) (a attempt, told bool) {
	if !more {
		return <-attempts, true
	}
	silent := c.config.Clock.NewTimer(nextAfter)
	defer silent.Stop()
	select {
	case a = <-attempts:
		return a, true
	case <-silent.C:
		return attempt{}, false
	}
}

// try opens the connection to one address, for nothing when it is over by then.
func (c *Client) try(ctx context.Context, a attempt, address string, attempts chan<- attempt, over <-chan struct{}) {
	a.link, a.err = c.open(ctx, address)
	select {
	case attempts <- a:
	case <-over:
		if a.err == nil {
			_ = a.link.conn.Close() // another was first
		}
	}
}

// identify logs in, where one has to. A link that is refused is closed.
func (c *Client) identify(ctx context.Context, l *link) error {
	if _, local := socketPath(l.address); local || c.config.Identity != nil {
		return nil
	}
	err := c.login(ctx, l)
	if err != nil {
		_ = l.conn.Close() // it is not used
	}
	return err
}

// open gives a connection that is up, to one address.
func (c *Client) open(ctx context.Context, address string) (*link, error) {
	handshake := &handshakeFailure{}
	var creds credentials.TransportCredentials = noting{credentials.NewTLS(c.tls), handshake}
	target := "passthrough:///" + HostPort(address)
	path, local := socketPath(address)
	if local {
		creds, target = insecure.NewCredentials(), "unix:"+path
	}
	conn, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(creds),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageLimit)),
		grpc.WithNoProxy(),
	)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot connect to %q: %w", address, err)
	}
	l := &link{address: address, conn: conn, stub: management.NewManagementClient(conn)}
	if err = l.ready(ctx, local, handshake); err != nil {
		_ = conn.Close() // never used
		return nil, err
	}
	return l, nil
}

// ready waits until the connection is up or has failed once.
func (l *link) ready(ctx context.Context, local bool, handshake *handshakeFailure) error {
	l.conn.Connect()
	for {
		state := l.conn.GetState()
		if state == connectivity.Ready {
			return nil
		}
		if state == connectivity.TransientFailure || !l.conn.WaitForStateChange(ctx, state) {
			break
		}
	}
	if path, _ := socketPath(l.address); local {
		if _, err := os.Stat(path); err != nil {
			return problem.Unavailable.Errorf("cannot connect to the controller: nothing runs at the socket %s", path)
		}
		return problem.Unavailable.Errorf("cannot connect to the controller at the socket %s: nobody answers", path)
	}
	if failure := handshake.get(); failure != nil {
		kind := problem.KindOf(failure)
		if kind != problem.Unauthorized {
			kind = problem.Unavailable
		}
		return kind.Errorf("cannot connect to %s: %w", l.address, failure)
	}
	return problem.Unavailable.Errorf("cannot connect to %s: %s", l.address, cmp.Or(contextText(ctx), "nobody listens there"))
}

func contextText(ctx context.Context) string {
	if ctx.Err() != nil {
		return "no answer in time"
	}
	return ""
}

// handshakeFailure is why the last TLS handshake failed.
type handshakeFailure struct {
	mu  sync.Mutex
	err error
}

func (f *handshakeFailure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *handshakeFailure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// noting keeps the reason of a failed handshake, which gRPC only logs.
type noting struct {
	credentials.TransportCredentials
	failure *handshakeFailure
}

func (n noting) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		n.failure.set(err)
	}
	return conn, info, err
}

func (n noting) Clone() credentials.TransportCredentials {
	return noting{n.TransportCredentials.Clone(), n.failure}
}
