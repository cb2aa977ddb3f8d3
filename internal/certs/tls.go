package certs

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Identity is what a process shows its peers: a key, a certificate and the
// authority that it and they are signed by. It can be renewed while in use and
// is safe for concurrent use.
type Identity struct {
	now   func() time.Time
	state atomic.Pointer[identity]
}

type identity struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	authority   *x509.Certificate
}

// NewIdentity makes an identity from a key, its certificate and the
// authority's certificate, the latter two as PEM. The time source is what
// certificates are checked against.
func NewIdentity(key Key, certPEM, authorityPEM []byte, now func() time.Time) (*Identity, error) {
	id := &Identity{now: now}
	return id, id.Renew(key, certPEM, authorityPEM)
}

// Renew replaces key and certificate; connections made from then on use them.
func (id *Identity) Renew(key Key, certPEM, authorityPEM []byte) error {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return err
	}
	authority, err := ParseCertificate(authorityPEM)
	if err != nil {
		return err
	}
	if !key.private.PublicKey.Equal(cert.PublicKey) {
		return problem.Invalid.Errorf("cannot use certificate of %s: it does not belong to the key", Holder(cert))
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	id.state.Store(&identity{
		certificate: tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key.private, Leaf: cert},
		roots:       roots,
		authority:   authority,
	})
	return nil
}

// Holder is the URI this identity's certificate names.
func (id *Identity) Holder() string { return Holder(id.state.Load().certificate.Leaf) }

// Authority is the certificate of the identity's authority.
func (id *Identity) Authority() *x509.Certificate { return id.state.Load().authority }

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
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s := id.state.Load()
			return &tls.Config{
				MinVersion:       tls.VersionTLS13,
				Time:             id.now,
				Certificates:     []tls.Certificate{s.certificate},
				ClientCAs:        s.roots,
				ClientAuth:       auth,
				NextProtos:       []string{"h2", "http/1.1"},
				VerifyConnection: verify(allow),
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
		NextProtos: []string{"h2"},
		// The peer's name is the URI in its certificate, not a DNS name:
		// VerifyConnection below does the whole of the check.
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := id.state.Load().certificate
			return &c, nil
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
		NextProtos:         []string{"h2"},
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
			return problem.Unauthorized.Errorf("cannot trust the controller: it is not of the authority %s that the join token names", fingerprint)
		},
	}
}

// ServerWithChain is Server, and shows the authority's certificate too, so that
// a Pinned dialler can find it.
func (id *Identity) ServerWithChain(required bool, allow Allow) *tls.Config {
	cfg := id.Server(required, allow)
	inner := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(hello)
		if err != nil {
			return nil, err
		}
		s := id.state.Load()
		withChain := s.certificate
		withChain.Certificate = [][]byte{s.certificate.Certificate[0], s.authority.Raw}
		c.Certificates = []tls.Certificate{withChain}
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
		return problem.Unauthorized.Errorf("cannot trust the peer %q: %w", Holder(leaf), err)
	}
	if allow != nil {
		return allow(leaf)
	}
	return nil
}
