package controller

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// sayAgain is how long a peer that cannot connect is not spoken of again: it tries
// every few seconds.
const sayAgain = 10 * time.Minute

// handshakes says why members of the domain cannot connect, which neither they nor
// we would learn else: TLS ends before anything can be said.
type handshakes struct {
	credentials.TransportCredentials
	said *said
	// held keeps the connection of a peer that is allowed, to end it when it is not.
	held func(net.Conn, *x509.Certificate) (net.Conn, error)
}

// said is who was spoken of, and when.
type said struct {
	clock clock.Clock
	log   zerolog.Logger
	mu    sync.Mutex
	at    map[string]time.Time
}

func newHandshakes(c credentials.TransportCredentials, held func(net.Conn, *x509.Certificate) (net.Conn, error), clk clock.Clock, log zerolog.Logger) handshakes {
	return handshakes{c, &said{clock: clk, log: log, at: map[string]time.Time{}}, held}
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.said, h.held}
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	unknown := x509.UnknownAuthorityError{}
	switch {
	case err == nil:
	case errors.As(err, &unknown) && unknown.Cert != nil:
		h.said.tell(raw, certs.Holder(unknown.Cert), "refused a peer: its certificate is of an authority that the domain does not trust; "+
			"if the authority was rotated while it was away, it must join again with a new token")
	case strings.Contains(err.Error(), "remote error: tls: bad certificate"):
		// Its name is not known: it left before it said it.
		h.said.tell(raw, "", "a peer does not trust the domain's authority; "+
			"if the authority was rotated while it was away, it must join again with a new token; a join token or command line that names the old fingerprint needs the new one")
	}
	if tls, ok := info.(credentials.TLSInfo); ok && err == nil && len(tls.State.PeerCertificates) > 0 {
		conn, err = h.held(conn, tls.State.PeerCertificates[0])
	}
	return conn, info, err
}

func (s *said) tell(raw net.Conn, holder, what string) {
	host, _, err := net.SplitHostPort(raw.RemoteAddr().String())
	if err != nil {
		host = raw.RemoteAddr().String()
	}
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, at := range s.at {
		if now.Sub(at) >= sayAgain {
			delete(s.at, who)
		}
	}
	if _, recently := s.at[host+holder]; recently {
		return
	}
	s.at[host+holder] = now
	s.log.Warn().Str("address", host).Str("holder", holder).Msg(what)
}
