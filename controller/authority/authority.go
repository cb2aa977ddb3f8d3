// Package authority owns who belongs to the domain: its certificate authority,
// the secrets with which hosts and controllers join, the certificates they and
// their servers get, and what was revoked.
//
// It must not know raft, the management model or what a host runs. It keeps its
// state in records of the replicated domain, which every controller can read, so
// every controller can admit, sign and refuse.
package authority

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/url"
	"regexp"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The kinds of record that this package owns.
const (
	KindAuthority  = "authority"  // key "current"
	KindVerifier   = "verifier"   // key "<role>/<name>": how that one joins
	KindRevocation = "revocation" // key: the holder's URI
)

const current = "current"

// Records is the replicated store.
type Records interface {
	Record(kind, key string) (domain.Record, bool)
	// Put stores if expect holds (domain.Any, domain.Absent or a version).
	Put(ctx context.Context, kind, key string, value []byte, expect uint64) error
	Delete(ctx context.Context, kind, key string, expect uint64) error
	// Fresh returns when all that was acknowledged before can be read here.
	Fresh(ctx context.Context) error
}

// Presence says which hosts are connected to the domain now.
type Presence interface {
	// Installation is the installation that a connected host runs from.
	Installation(host string) (id string, connected bool)
}

// Config says what an Authority needs; every field is required.
type Config struct {
	Records  Records
	Presence Presence
	Clock    clock.Clock
}

// Authority admits, signs and revokes.
type Authority struct {
	records  Records
	presence Presence
	clock    clock.Clock
}

// New makes an Authority.
func New(cfg Config) *Authority {
	return &Authority{records: cfg.Records, presence: cfg.Presence, clock: cfg.Clock}
}

// Install makes ca the domain's authority, if it has none yet.
func (a *Authority) Install(ctx context.Context, ca *certs.Authority) error {
	if _, ok := a.records.Record(KindAuthority, current); ok {
		return nil
	}
	var s stored
	var err error
	if s.Certificate, s.Key, err = ca.Marshal(); err != nil {
		return err
	}
	s.Decoy = make([]byte, 32)
	rand.Read(s.Decoy)
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return a.records.Put(ctx, KindAuthority, current, value, domain.Absent)
}

// NewCertificateAuthority makes an authority for a domain. Each has a name of its
// own: peers tell by it which of two a listener accepts.
func NewCertificateAuthority(now time.Time) (*certs.Authority, error) {
	return certs.NewAuthority("Gatehouse domain "+rand.Text()[:8], now)
}

// Fingerprint identifies the domain's authority: the one that issues.
func (a *Authority) Fingerprint() (string, error) {
	r, err := a.Rotation()
	if err != nil {
		return "", err
	}
	return certs.Fingerprint(r.Issuing), nil
}

// Sign issues a certificate (PEM) to holder for a request (DER) and gives the
// authorities that are trusted (PEM, the issuing one first) beside it. The caller
// has decided that it may be so.
func (a *Authority) Sign(request []byte, holder *url.URL) (certificate, authorities []byte, err error) {
	s, _, err := a.read()
	if err != nil {
		return nil, nil, err
	}
	ca, err := certs.ParseAuthority(s.Certificate, s.Key)
	if err != nil {
		return nil, nil, err
	}
	authorities = certs.EncodeCertificate(ca.Certificate.Raw)
	if s.Other != nil {
		authorities = append(authorities, s.Other.Certificate...)
	}
	certificate, err = ca.Sign(request, holder, a.clock.Now())
	return certificate, authorities, err
}

// Names of holders.
func Host(name string) *url.URL           { return certs.URI("host", name) }
func Server(host, server string) *url.URL { return certs.URI("server", host, server) }
func Controller(name string) *url.URL     { return certs.URI("controller", name) }

// HolderName gives the name in a certificate of the role "host" or
// "controller", or false.
func HolderName(role string, cert *x509.Certificate) (string, bool) {
	if cert == nil {
		return "", false
	}
	prefix := certs.URI(role).String() + "/"
	holder := certs.Holder(cert)
	if len(holder) <= len(prefix) || holder[:len(prefix)] != prefix {
		return "", false
	}
	name, err := url.PathUnescape(holder[len(prefix):])
	return name, err == nil && validName.MatchString(name)
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// CheckName refuses what cannot be the name of a host or controller.
func CheckName(what, name string) error {
	if !validName.MatchString(name) {
		return problem.Invalid.Errorf("cannot use %q as the name of a %s: want 1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit", name, what)
	}
	return nil
}
