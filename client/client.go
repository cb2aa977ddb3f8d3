// Package client is the Go client of the management API: of a domain's
// controllers, or of a standalone server. It owns connections, login, failover
// between controllers and the decision which calls may be repeated. It must
// not know what an operation means beyond whether it only reads.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// DefaultPort is the management port, used when an address names none. It
// carries HTTP and gRPC.
const DefaultPort = "9990"

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

// link gives a connection that is up and logged in: the current one, or that of
// the first address that answers.
func (c *Client) link(ctx context.Context) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		if c.current.conn.GetState() == connectivity.Ready {
			return c.current, nil
		}
		c.dropLocked()
	}
	l, err := c.reach(ctx)
	if err == nil {
		c.current = l
	}
	return l, err
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
