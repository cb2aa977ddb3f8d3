package consensus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
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
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer,
		// One for the pipeline, one for heartbeats, one for votes and snapshots.
		MaxPool:                 3,
		Timeout:                 transportTimeout,
		Logger:                  bridge(log),
		MsgpackUseNewTimeFormat: true,
	})
	return Transport{Raft: t, Close: t.Close}
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
