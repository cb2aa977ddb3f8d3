// Package client is the Go client of the management API: of a domain's
// controllers, or of a standalone server. It owns connections, login, failover
// between controllers and the decision which calls may be repeated. It must
// not know what an operation means beyond whether it only reads.
package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
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

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// DefaultPort is the management port, used when an address names none. It
// carries HTTP and gRPC.
const DefaultPort = "9990"

// connectTimeout bounds one attempt to reach one controller: a TCP and a TLS
// handshake over a slow link are well below it, and with three controllers, two
// of them gone, a call still starts within the 2 s that a lost leader may cost.
const connectTimeout = 900 * time.Millisecond

// A connection that is silent is probed after keepaliveTime and given up
// keepaliveTimeout later, so that a stream being followed notices a dead peer.
const (
	keepaliveTime    = 20 * time.Second
	keepaliveTimeout = 5 * time.Second
)

// messageLimit is the largest response taken, bytes: a whole domain of a
// thousand hosts is a few MiB.
const messageLimit = 64 << 20

// Config says where the controllers are and who calls.
type Config struct {
	// Addresses are tried in this order: "host:port", "host", or the path of a
	// Unix socket: with a slash in it, or after "unix:".
	Addresses []string
	// Fingerprint of the domain's authority, "sha256:...", or CAFile, a PEM file
	// with its certificate: one of them for every address but a Unix socket.
	Fingerprint string
	CAFile      string
	// Identity, if not nil, is shown and trusted instead: the call of a member
	// of the domain.
	Identity *certs.Identity
	// User and Password log in with SCRAM-SHA-256. Unix sockets need neither.
	// Password is asked once, when a login needs it.
	User     string
	Password func() (string, error)
	Clock    clock.Clock
}

// Client is a connection to the management API. It is safe for concurrent use.
type Client struct {
	config Config
	tls    *tls.Config // nil when only Unix sockets are dialled

	mu       sync.Mutex
	current  *link
	password string // once asked
}

// link is the connection to one address.
type link struct {
	address string // as configured
	conn    *grpc.ClientConn
	stub    management.ManagementClient

	mu    sync.Mutex
	token string // of the session; "" before the login and on Unix sockets
}

// Dial makes a client and reaches the first controller that answers. It fails
// with Unauthorized when the login is refused, with Unavailable when none
// answers; the error then names every address with its reason.
func Dial(ctx context.Context, c Config) (*Client, error) {
	if len(c.Addresses) == 0 {
		return nil, problem.Invalid.Errorf("cannot connect: no controller address is given")
	}
	cl := &Client{config: c}
	var err error
	if cl.tls, err = trust(c); err != nil {
		return nil, err
	}
	_, err = cl.link(ctx)
	return cl, err
}

// trust makes the TLS configuration, or nil when no address needs one.
func trust(c Config) (*tls.Config, error) {
	remote := ""
	for _, a := range c.Addresses {
		if _, unix := socketPath(a); !unix {
			remote = a
		}
	}
	switch {
	case remote == "":
		return nil, nil
	case c.Identity != nil:
		return c.Identity.Client(nil), nil
	case c.Fingerprint != "":
		return certs.Pinned(c.Fingerprint, c.Clock.Now, nil), nil
	case c.CAFile == "":
		return nil, problem.Invalid.Errorf(
			"cannot connect to %s: its authority is not known; give the authority's fingerprint (sha256:...) or its certificate file", remote)
	}
	data, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the authority's certificate: %w", err)
	}
	list, err := certs.ParseCertificates(data)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the authority's certificate of %s: %w", c.CAFile, err)
	}
	return anchored(list, c.Clock), nil
}

// anchored trusts holders of certificates that one of the authorities signed.
func anchored(authorities []*x509.Certificate, c clock.Clock) *tls.Config {
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: certs.WithHints([]string{"h2"}, certs.Fingerprints(authorities)...),
		// Peers are named by URIs, not by DNS: VerifyConnection is the whole check.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			if err != nil {
				return problem.Unauthorized.Errorf("cannot trust the controller: it is not of the given authority: %w", err)
			}
			return nil
		},
	}
}

// socketPath gives the path of a Unix socket's address.
func socketPath(address string) (string, bool) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return path, true
	}
	return address, strings.Contains(address, "/")
}

// Address is the controller that the client talks to at the moment, as it was
// configured; "" when it talks to none.
func (c *Client) Address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return ""
	}
	return c.current.address
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil
	}
	err := c.current.conn.Close()
	c.current = nil
	return err
}

// link gives a connection that is up and logged in: the current one, or the
// first address that answers.
func (c *Client) link(ctx context.Context) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		if c.current.conn.GetState() == connectivity.Ready {
			return c.current, nil
		}
		c.dropLocked()
	}
	var reasons []string
	var last error
	for _, address := range c.config.Addresses {
		l, err := c.open(ctx, address)
		if err == nil {
			c.current = l
			return l, nil
		}
		if problem.Is(err, problem.Unauthorized) || problem.Is(err, problem.Invalid) {
			return nil, err // another controller would say the same
		}
		last = err
		reasons = append(reasons, err.Error())
	}
	if len(reasons) == 1 {
		return nil, last
	}
	return nil, problem.Unavailable.Errorf("cannot reach any controller: %s", strings.Join(reasons, "; "))
}

// prefer makes address the one to be tried first: the leader, by a hint.
func (c *Client) prefer(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []string{address}
	for _, a := range c.config.Addresses {
		if a != address {
			list = append(list, a)
		}
	}
	c.config.Addresses = list
	c.dropLocked()
}

// drop gives a link up and lets the next address go first.
func (c *Client) drop(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l {
		return
	}
	c.dropLocked()
	if a := c.config.Addresses; len(a) > 1 && a[0] == l.address {
		c.config.Addresses = append(append([]string{}, a[1:]...), a[0])
	}
}

func (c *Client) dropLocked() {
	if c.current != nil {
		_ = c.current.conn.Close() // nothing is sent on it any more
		c.current = nil
	}
}

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
	if err = l.ready(ctx, local, handshake); err == nil && !local && c.config.Identity == nil {
		err = c.login(ctx, l)
	}
	if err != nil {
		_ = conn.Close() // never used
		return nil, err
	}
	return l, nil
}

// ready waits until the connection is up or has failed once.
func (l *link) ready(ctx context.Context, local bool, handshake *handshakeFailure) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
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
