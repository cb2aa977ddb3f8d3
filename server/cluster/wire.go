package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The first byte on a connection, after the TLS handshake, says what it is for.
const (
	forStream = 'S' // one exchange of memberlist's state
	forLink   = 'D' // calls both ways, and gossip messages
	forProof  = 'P' // nothing: that it answers says that the process lives
)

// handshakeLimit is the most time a peer has for the TLS handshake and its
// first byte, or waitFor where that is longer; generous, because a starting server
// is busy.
const handshakeLimit = 5 * time.Second

// nodeOf is the node name a certificate proves, or an error.
func nodeOf(cert *x509.Certificate) (string, error) {
	holder := certs.Holder(cert)
	u, err := url.Parse(holder)
	if err == nil && u.Scheme == "gatehouse" {
		// Split before unescaping: a name may contain an escaped slash.
		parts := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
		if len(parts) == 3 && parts[0] == "server" {
			host, err1 := url.PathUnescape(parts[1])
			server, err2 := url.PathUnescape(parts[2])
			if err1 == nil && err2 == nil && host != "" && server != "" {
				return NodeName(host, server), nil
			}
		}
	}
	return "", problem.Forbidden.Errorf("cannot let %q into the cluster: only holders of gatehouse:/server/<host>/<name> are members", holder)
}

// handshake makes a connection one whose far end has proven which node it is.
// It is mutualTLS but in tests whose time is virtual: there Go's race detector
// does not bear TLS.
type handshake interface {
	// toMember calls a member; check refuses a node that is not the one meant.
	toMember(ctx context.Context, raw net.Conn, check func(node string) error) (net.Conn, error)
	// fromMember learns which member calls.
	fromMember(ctx context.Context, raw net.Conn) (conn net.Conn, from string, err error)
}

// mutualTLS proves nodes by their certificates.
type mutualTLS struct {
	identity *certs.Identity
	server   *tls.Config
}

func newMutualTLS(identity *certs.Identity) mutualTLS {
	return mutualTLS{identity, identity.Server(true, func(cert *x509.Certificate) error {
		_, err := nodeOf(cert)
		return err
	})}
}

func (m mutualTLS) toMember(ctx context.Context, raw net.Conn, check func(node string) error) (net.Conn, error) {
	conn := tls.Client(raw, m.identity.Client(func(peer *x509.Certificate) error {
		node, err := nodeOf(peer)
		if err == nil {
			err = check(node)
		}
		return err
	}))
	return conn, conn.HandshakeContext(ctx)
}

func (m mutualTLS) fromMember(ctx context.Context, raw net.Conn) (net.Conn, string, error) {
	conn := tls.Server(raw, m.server)
	if err := conn.HandshakeContext(ctx); err != nil {
		return conn, "", err
	}
	from, err := nodeOf(conn.ConnectionState().PeerCertificates[0])
	return conn, from, err
}

// dial connects to addr for one purpose. With a name, nobody else may answer.
func (n *Node) dial(ctx context.Context, addr, name string, purpose byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, n.waitFor())
	defer cancel()
	raw, err := n.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := n.proof.toMember(ctx, raw, func(node string) error {
		if name != "" && node != name {
			return &otherNode{want: name, got: node}
		}
		return nil
	})
	if err == nil {
		_, err = conn.Write([]byte{purpose})
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// otherNode is the failure to reach a node because another one answers at its
// address: its process is gone.
type otherNode struct{ want, got string }

func (e *otherNode) Error() string {
	return "cannot reach " + e.want + ": its address is now that of " + e.got
}

// isGone reports whether a dial's error proves that the process is gone.
func isGone(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, new(*otherNode))
}

// accept serves the listener until it is closed.
func (n *Node) accept(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		raw, err := n.cfg.Listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely: let others end first.
			n.log.Error().Err(err).Msg("cannot accept a member's connection")
			t := n.clock().NewTimer(50 * time.Millisecond)
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
			continue
		}
		wg.Go(func() { n.welcome(ctx, raw) })
	}
}

// welcome learns who calls and what for, and serves them.
func (n *Node) welcome(ctx context.Context, raw net.Conn) {
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn, from, purpose, err := n.greet(ctx, raw)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			n.log.Warn().Err(err).Stringer("address", raw.RemoteAddr()).Msg("refused a connection to the cluster")
		}
		conn.Close()
		return
	}
	switch purpose {
	case forStream:
		stop() // memberlist closes it
		n.gossip.hand(ctx, conn)
	case forLink:
		n.plane.serve(ctx, conn, from)
	case forProof:
		conn.Close()
	default:
		n.log.Warn().Str("member", from).Msg("refused a connection of unknown purpose " + strconv.Itoa(int(purpose)))
		conn.Close()
	}
}

func (n *Node) greet(ctx context.Context, raw net.Conn) (conn net.Conn, from string, purpose byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(handshakeLimit, n.waitFor()))
	defer cancel()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	conn, from, err = n.proof.fromMember(ctx, raw)
	if err != nil {
		return conn, "", 0, err
	}
	var first [1]byte
	_, err = io.ReadFull(conn, first[:])
	return conn, from, first[0], err
}

// splitAddr parses host:port.
func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, problem.Invalid.Errorf("cannot use address %q: the port must be 1 to 65535", addr)
	}
	return host, port, nil
}
