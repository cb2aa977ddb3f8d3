package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Identity is what a process shows its peers: a key, a certificate and the
// authorities that it and they are signed by. It can be renewed, and its
// authorities changed, while in use and is safe for concurrent use.
type Identity struct {
	now      func() time.Time
	changing sync.Mutex
	state    atomic.Pointer[identity]
}

// identity is one state of an Identity; it is never changed.
type identity struct {
	certificate tls.Certificate
	previous    *tls.Certificate // of an authority that does not issue any more, or nil
	roots       *x509.CertPool
	authorities []*x509.Certificate // the issuing one first
}

// NewIdentity makes an identity from a key, its certificate and the certificates
// of the authorities that it trusts, the issuing one first, the latter two as
// PEM. The time source is what certificates are checked against.
func NewIdentity(key Key, certPEM, authoritiesPEM []byte, now func() time.Time) (*Identity, error) {
	id := &Identity{now: now}
	return id, id.Renew(key, certPEM, authoritiesPEM)
}

// Renew replaces key, certificate and authorities; connections made from then on
// use them. A certificate of an authority that is still trusted, and is not the
// new one's, is kept for peers that trust no other.
func (id *Identity) Renew(key Key, certPEM, authoritiesPEM []byte) error {
	certificate, err := pair(key, certPEM)
	if err != nil {
		return err
	}
	authorities, err := ParseCertificates(authoritiesPEM)
	if err != nil {
		return err
	}
	id.changing.Lock()
	defer id.changing.Unlock()
	var previous *tls.Certificate
	if old := id.state.Load(); old != nil {
		previous = old.previous
		if issuer(old.certificate.Leaf, authorities) != issuer(certificate.Leaf, authorities) {
			previous = &old.certificate
		}
	}
	id.state.Store(newState(certificate, previous, authorities))
	return nil
}

// pair is a certificate (PEM) with its key.
func pair(key Key, certPEM []byte) (tls.Certificate, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	if !key.private.PublicKey.Equal(cert.PublicKey) {
		return tls.Certificate{}, problem.Invalid.Errorf("cannot use certificate of %s: it does not belong to the key", Holder(cert))
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key.private, Leaf: cert}, nil
}

// ErrUnknownAuthority is in the error of a dialler whose peer shows a certificate
// of an authority that it does not trust.
var ErrUnknownAuthority = errors.New("unknown authority")

// Holder is the URI this identity's certificate names.
func (id *Identity) Holder() string { return Holder(id.state.Load().certificate.Leaf) }

// Authority is the certificate of the authority that issues now.
func (id *Identity) Authority() *x509.Certificate { return id.state.Load().authorities[0] }

// RenewAt is when two thirds of the certificate's life have passed.
func (id *Identity) RenewAt() time.Time {
	leaf := id.state.Load().certificate.Leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) * 2 / 3)
}

// Expires is when the certificate's life ends.
func (id *Identity) Expires() time.Time { return id.state.Load().certificate.Leaf.NotAfter }

// Holder is the URI that a certificate names, or "".
func Holder(cert *x509.Certificate) string {
	if len(cert.URIs) != 1 {
		return ""
	}
	return cert.URIs[0].String()
}

// URI makes the name of a holder from its parts: URI("host", "master") is
// gatehouse:/host/master.
func URI(parts ...string) *url.URL {
	path := ""
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	u, err := url.Parse("gatehouse:" + path)
	if err != nil { // cannot be: every part is escaped
		return &url.URL{Scheme: "gatehouse", Path: path}
	}
	return u
}

// Allow decides whether a peer with this verified certificate may talk to us.
// A nil Allow lets in every holder of the authority's certificates.
type Allow func(peer *x509.Certificate) error

// Server is the TLS configuration of a listener. With required, peers must
// show a certificate of the authority that allow accepts; without, they may.
func (id *Identity) Server(required bool, allow Allow) *tls.Config {
	auth := tls.VerifyClientCertIfGiven
	if required {
		auth = tls.RequireAndVerifyClientCert
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			s := id.state.Load()
			return &tls.Config{
				MinVersion:       tls.VersionTLS13,
				Time:             id.now,
				Certificates:     []tls.Certificate{s.shown(hello.SupportedProtos, id.now())},
				ClientCAs:        s.roots,
				ClientAuth:       auth,
				NextProtos:       []string{"h2", "http/1.1"},
				VerifyConnection: verify(allow),
				// Nobody could use a ticket: its key is this connection's own.
				SessionTicketsDisabled: true,
			}, nil
		},
		// Used by gRPC to see that there is a certificate.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := id.state.Load().certificate
			return &c, nil
		},
	}
}

// Client is the TLS configuration of a dialler: it shows our certificate and
// talks only to holders of the authority's certificates that allow accepts.
func (id *Identity) Client(allow Allow) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: WithHints([]string{"h2"}, id.Trusted()...),
		// The peer's name is the URI in its certificate, not a DNS name:
		// VerifyConnection below does the whole of the check.
		InsecureSkipVerify: true,
		GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.state.Load().answering(asked, id.now()), nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			s := id.state.Load()
			return verifyServer(cs, s.roots, id.now(), allow)
		},
	}
}

// Pinned is the TLS configuration of a dialler that has no certificate yet and
// knows the authority by its fingerprint only: the peer must show a chain that
// ends in that authority. accept, if not nil, receives the authority.
func Pinned(fingerprint string, now func() time.Time, accept func(authority *x509.Certificate)) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         WithHints([]string{"h2"}, fingerprint),
		InsecureSkipVerify: true, // checked below, against the pinned authority
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, cert := range cs.PeerCertificates {
				if Fingerprint(cert) != fingerprint {
					continue
				}
				roots := x509.NewCertPool()
				roots.AddCert(cert)
				if err := verifyServer(cs, roots, now(), nil); err != nil {
					return err
				}
				if accept != nil {
					accept(cert)
				}
				return nil
			}
			return problem.WithHint(
				problem.Unauthorized.Errorf("cannot trust the controller: it is not of the authority %s that the join token or the caller names%s", fingerprint, others(cs.PeerCertificates)),
				"when the domain's authority was rotated since, take a new join token (:add-host) or the new fingerprint, from a controller's own machine")
		},
	}
}

// others names the authorities that a peer shows instead of the one looked for.
func others(chain []*x509.Certificate) string {
	text := ""
	for _, c := range chain {
		if c.IsCA {
			text += ", it shows " + Fingerprint(c)
		}
	}
	return text
}

// ServerWithChain is Server, and shows the authorities' certificates too, so that
// a Pinned dialler can find its own.
func (id *Identity) ServerWithChain(required bool, allow Allow) *tls.Config {
	cfg := id.Server(required, allow)
	inner := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(hello)
		if err != nil {
			return nil, err
		}
		c.Certificates[0] = id.state.Load().withChain(c.Certificates[0])
		return c, nil
	}
	return cfg
}

func verify(allow Allow) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if allow == nil || len(cs.VerifiedChains) == 0 {
			return nil
		}
		return allow(cs.PeerCertificates[0])
	}
}

func verifyServer(cs tls.ConnectionState, roots *x509.CertPool, now time.Time, allow Allow) error {
	if len(cs.PeerCertificates) == 0 {
		return problem.Unauthorized.Errorf("cannot trust the peer: it shows no certificate")
	}
	leaf := cs.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			return problem.WithHint(
				problem.Unauthorized.Errorf("cannot trust the peer %q: its certificate is of no authority that is trusted here: %w", Holder(leaf), ErrUnknownAuthority),
				"when the domain's authority was rotated while one of the two was away, that one must join again with a new token")
		}
		return problem.Unauthorized.Errorf("cannot trust the peer %q: %w", Holder(leaf), err)
	}
	if allow != nil {
		return allow(leaf)
	}
	return nil
}
