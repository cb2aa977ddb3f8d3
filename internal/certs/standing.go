package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
)

// Standing are the connections whose peers were allowed when they were made: what
// is revoked later ends them. It is safe for concurrent use; its zero value is
// empty.
type Standing struct {
	mu    sync.Mutex
	conns map[net.Conn]*x509.Certificate
}

// Review closes the connections of peers that are not allowed any more; those who
// use one learn of it by their next read or write.
func (s *Standing) Review(allow Allow) {
	s.mu.Lock()
	var refused []net.Conn
	for conn, peer := range s.conns {
		if allow(peer) != nil {
			refused = append(refused, conn)
		}
	}
	s.mu.Unlock()
	for _, conn := range refused {
		conn.Close()
	}
}

// Hold adds a connection whose handshake is done, with the certificate that its
// peer showed. The caller goes on with the connection that Hold returns, and
// refuses the peer if it is not allowed: it may have been reviewed for the last
// time before it was held.
func (s *Standing) Hold(conn net.Conn, peer *x509.Certificate, allow Allow) (net.Conn, error) {
	h := &held{conn, s}
	s.add(h, peer)
	if err := allow(peer); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Listener makes a listener of TLS that holds its connections. Their handshake is
// at the first read.
func (s *Standing) Listener(inner net.Listener, config *tls.Config, allow Allow) net.Listener {
	return &listener{inner, config, allow, s}
}

func (s *Standing) add(conn net.Conn, peer *x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[net.Conn]*x509.Certificate{}
	}
	s.conns[conn] = peer
}

func (s *Standing) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// held is a connection that is forgotten when it is closed.
type held struct {
	net.Conn
	in *Standing
}

func (h *held) Close() error {
	h.in.forget(h)
	return h.Conn.Close()
}

type listener struct {
	net.Listener
	config *tls.Config
	allow  Allow
	in     *Standing
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &accepted{Conn: tls.Server(raw, l.config), by: l}, nil
}

// accepted is a connection that is held from its first read until it is closed.
// Whoever reads closes it in the end.
type accepted struct {
	*tls.Conn
	by     *listener
	begin  sync.Once
	refuse error
}

func (a *accepted) Read(p []byte) (int, error) {
	a.begin.Do(a.shake)
	if a.refuse != nil {
		return 0, a.refuse
	}
	return a.Conn.Read(p)
}

func (a *accepted) shake() {
	if a.refuse = a.Handshake(); a.refuse != nil {
		return
	}
	if peers := a.ConnectionState().PeerCertificates; len(peers) > 0 {
		a.by.in.add(a, peers[0])
		a.refuse = a.by.allow(peers[0])
	}
}

func (a *accepted) Close() error {
	a.by.in.forget(a)
	return a.Conn.Close()
}
