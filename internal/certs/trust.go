package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// An authority can be replaced while its holders work: for a while they trust two
// and hold a certificate of each. Which of the two a peer can check, it says
// itself: a dialler names the authorities that it trusts in its ALPN list (RFC
// 7301; names that a server does not know are ignored), a listener in its
// certificate request (RFC 8446, section 4.2.4). Peers that say nothing are shown
// the older one, which everybody trusts.

// ParseCertificates reads all certificates of a PEM text, of which there must be
// one at least. Of several authorities the first is the one that issues.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, problem.Invalid.Errorf("cannot read certificates: want PEM blocks CERTIFICATE, got %q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read certificate: %w", err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, problem.Invalid.Errorf("cannot read certificate: no PEM block CERTIFICATE")
	}
	return list, nil
}

// EncodeCertificates is what ParseCertificates reads.
func EncodeCertificates(list []*x509.Certificate) []byte {
	var text []byte
	for _, c := range list {
		text = append(text, EncodeCertificate(c.Raw)...)
	}
	return text
}

// Fingerprints are those of several authorities.
func Fingerprints(list []*x509.Certificate) []string {
	all := make([]string, len(list))
	for i, c := range list {
		all[i] = Fingerprint(c)
	}
	return all
}

// Trust replaces the authorities (PEM, the issuing one first) whose certificates
// this identity accepts. A certificate that it still holds of one that is not
// among them is shown no more.
func (id *Identity) Trust(authoritiesPEM []byte) error {
	authorities, err := ParseCertificates(authoritiesPEM)
	if err != nil {
		return err
	}
	id.changing.Lock()
	defer id.changing.Unlock()
	old := id.state.Load()
	id.state.Store(newState(old.certificate, old.previous, authorities))
	return nil
}

// Keep adds a certificate of an older authority, and its key, for peers that
// trust no newer one yet.
func (id *Identity) Keep(key Key, certPEM []byte) error {
	previous, err := pair(key, certPEM)
	if err != nil {
		return err
	}
	id.changing.Lock()
	defer id.changing.Unlock()
	old := id.state.Load()
	id.state.Store(newState(old.certificate, &previous, old.authorities))
	return nil
}

// Trusted are the fingerprints of the authorities that are trusted, the issuing
// one first.
func (id *Identity) Trusted() []string { return Fingerprints(id.state.Load().authorities) }

// Authorities are the authorities that are trusted, as PEM, the issuing one first.
func (id *Identity) Authorities() []byte { return EncodeCertificates(id.state.Load().authorities) }

// Issuer is the fingerprint of the trusted authority that issued the certificate;
// "" when none did.
func (id *Identity) Issuer() string {
	s := id.state.Load()
	if i := issuer(s.certificate.Leaf, s.authorities); i >= 0 {
		return Fingerprint(s.authorities[i])
	}
	return ""
}

// Outdated reports that the certificate is not of the authority that issues: it is
// to be renewed now.
func (id *Identity) Outdated() bool {
	s := id.state.Load()
	return issuer(s.certificate.Leaf, s.authorities) != 0
}

// Due reports that the certificate is to be renewed: two thirds of its life have
// passed, or it is outdated.
func (id *Identity) Due() bool { return id.Outdated() || !id.now().Before(id.RenewAt()) }

// Preferred gives the authorities (PEM) to renew with: those that are trusted
// already where one of them issued the certificate, as an answer may be older than
// what was told since; else those of the answer.
func (id *Identity) Preferred(certPEM, answered []byte) []byte {
	leaf, err := ParseCertificate(certPEM)
	if s := id.state.Load(); err == nil && issuer(leaf, s.authorities) >= 0 {
		return EncodeCertificates(s.authorities)
	}
	return answered
}

// newState keeps previous only where it is of use: it is of another authority than
// the certificate, and one that is trusted.
func newState(certificate tls.Certificate, previous *tls.Certificate, authorities []*x509.Certificate) *identity {
	roots := x509.NewCertPool()
	for _, a := range authorities {
		roots.AddCert(a)
	}
	if previous != nil {
		of := issuer(previous.Leaf, authorities)
		if of < 0 || of == issuer(certificate.Leaf, authorities) {
			previous = nil
		}
	}
	return &identity{certificate: certificate, previous: previous, roots: roots, authorities: authorities}
}

// issuer is the place of the authority that issued a certificate, or -1.
func issuer(leaf *x509.Certificate, authorities []*x509.Certificate) int {
	return slices.IndexFunc(authorities, func(a *x509.Certificate) bool { return leaf.CheckSignatureFrom(a) == nil })
}

// shown chooses the certificate for a peer that trusts the named authorities; it
// names none when it does not say.
func (s *identity) shown(trusts []string, now time.Time) tls.Certificate {
	if s.previous == nil || now.After(s.previous.Leaf.NotAfter) {
		return s.certificate
	}
	said := slices.ContainsFunc(trusts, func(name string) bool { return strings.HasPrefix(name, hintPrefix) })
	names := func(leaf *x509.Certificate) bool {
		i := issuer(leaf, s.authorities)
		return i >= 0 && slices.Contains(trusts, hint(Fingerprint(s.authorities[i])))
	}
	if said && (names(s.certificate.Leaf) || !names(s.previous.Leaf)) {
		return s.certificate
	}
	return *s.previous
}

// answering chooses the certificate for a listener that asks for one.
func (s *identity) answering(asked *tls.CertificateRequestInfo, now time.Time) *tls.Certificate {
	if s.previous != nil && now.Before(s.previous.Leaf.NotAfter) &&
		asked.SupportsCertificate(&s.certificate) != nil && asked.SupportsCertificate(s.previous) == nil {
		return s.previous
	}
	return &s.certificate
}

// withChain adds the authorities to a certificate, its own first.
func (s *identity) withChain(c tls.Certificate) tls.Certificate {
	own := issuer(c.Leaf, s.authorities)
	chain := [][]byte{c.Certificate[0]}
	if own >= 0 {
		chain = append(chain, s.authorities[own].Raw)
	}
	for i, a := range s.authorities {
		if i != own {
			chain = append(chain, a.Raw)
		}
	}
	c.Certificate = chain
	return c
}

// hintPrefix begins the ALPN names that say whom a dialler trusts; 32 hex digits
// of the authority's fingerprint follow.
const hintPrefix = "gatehouse-trusts/"

func hint(fingerprint string) string {
	digits := strings.TrimPrefix(fingerprint, "sha256:")
	return hintPrefix + digits[:min(len(digits), 32)]
}

// WithHints gives the ALPN list of a dialler that speaks protocols and trusts
// authorities by these fingerprints.
func WithHints(protocols []string, fingerprints ...string) []string {
	list := slices.Clone(protocols)
	for _, f := range fingerprints {
		list = append(list, hint(f))
	}
	return list
}
