package consensus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// TLS is the transport between controllers: mutual TLS on a port of its own,
// which admits controllers of the domain and nobody else. advertise is the
// address at which the others reach the listener. allow, if not nil, can refuse
// a controller, for example one whose certificate was revoked. The connections that
// others made are held in standing.
func TLS(listener net.Listener, advertise string, identity *certs.Identity, allow certs.Allow, standing *certs.Standing, log zerolog.Logger) Transport {
	admit := func(peer *x509.Certificate) error {
		if !strings.HasPrefix(certs.Holder(peer), certs.URI("controller").String()+"/") {
			return problem.Forbidden.Errorf("cannot replicate with %s: it is no controller", certs.Holder(peer))
		}
		if allow != nil {
			return allow(peer)
		}
		return nil
	}
	layer := &layer{
		Listener:  standing.Listener(listener, identity.Server(true, admit), admit),
		advertise: address(advertise),
		dialling: newDialling(func(ctx context.Context, to string) (net.Conn, error) {
			// Made for each connection: it says whom we trust at that moment.
			dialer := &tls.Dialer{Config: identity.Client(admit)}
			return dialer.DialContext(ctx, "tcp", to)
		}),
	}
	t := &beating{NetworkTransport: overNetwork(layer, log)}
	return Transport{Raft: t, Close: func() error {
		t.beats.end()
		return t.Close()
	}}
}

// overNetwork is raft's transport. Each follower is sent one part of the log after the
// other, not the next before it has answered. Raft v1.7.3 hangs in its pipeline when a
// follower refuses a part while another is being sent (pipelineDecode has ended, and
// netPipeline.AppendEntries waits for it): that follower then gets nothing any more
// until this controller is killed, which cannot even stop. What is appended meanwhile
// goes together in the next part, up to 64 entries, so little is lost.
func overNetwork(layer raft.StreamLayer, log zerolog.Logger) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer,
		// One for the log, one for heartbeats, one for votes and snapshots.
		MaxPool:                 3,
		MaxRPCsInFlight:         1,
		Timeout:                 transportTimeout,
		Logger:                  bridge(log),
		MsgpackUseNewTimeFormat: true,
	})
}

// beating is a transport whose heartbeats have an end. The library takes them on
// the connection's own goroutine, for which its shutdown does not wait: one that
// comes at that moment would find the log closed, and panics.
type beating struct {
	*raft.NetworkTransport
	beats beats
}

var _ raft.WithPreVote = (*beating)(nil) // which the library finds at run time

// SetHeartbeatHandler implements raft.Transport.
func (b *beating) SetHeartbeatHandler(take func(raft.RPC)) {
	b.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) { b.beats.during(func() { take(rpc) }) })
}

// beats is what is done on heartbeats until it is ended.
type beats struct {
	mu    sync.RWMutex
	ended bool
}

func (b *beats) during(do func()) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.ended { // else the transport closes, and answers nobody
		do()
	}
}

// end waits for those that are under way; none follows.
func (b *beats) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// layer is raft's stream layer over TLS.
type layer struct {
	net.Listener
	advertise address
	dialling  *dialling
}

// Dial implements raft.StreamLayer.
func (l *layer) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.dialling.connect(string(to), timeout)
}

// Close implements raft.StreamLayer.
func (l *layer) Close() error {
	l.dialling.close()
	return l.Listener.Close()
}

// Addr is the address that others know.
func (l *layer) Addr() net.Addr { return l.advertise }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
