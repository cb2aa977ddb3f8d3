package authority

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// revocation refuses a holder's certificates up to a time of issue. Those issued
// later, to a holder that was invited again, are good.
type revocation struct {
	IssuedUntil time.Time `json:"issued-until"`
}

// Revoke refuses all certificates that a holder has now, and those of a host's
// servers with the host's.
func (a *Authority) Revoke(ctx context.Context, holder *url.URL) error {
	value, err := json.Marshal(revocation{IssuedUntil: a.clock.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return a.records.Put(ctx, KindRevocation, holder.String(), value, domain.Any)
}

// Allow refuses a peer whose certificate was revoked; it is a certs.Allow.
func (a *Authority) Allow(peer *x509.Certificate) error {
	holder := certs.Holder(peer)
	names := []string{holder}
	if rest, ok := strings.CutPrefix(holder, certs.URI("server").String()+"/"); ok {
		host, _, _ := strings.Cut(rest, "/")
		names = append(names, certs.URI("host").String()+"/"+host)
	}
	return a.good(Issued(peer), holder, names...)
}

// Issued is when the domain's authority issued a certificate.
func Issued(cert *x509.Certificate) time.Time { return cert.NotBefore.Add(certs.Backdate) }

// AllowIssued is Allow for a certificate that somebody else saw.
func (a *Authority) AllowIssued(holder *url.URL, issued time.Time) error {
	return a.good(issued, holder.String(), holder.String())
}

// good refuses a holder's certificate by its time of issue: it was revoked for one
// of the names that it goes by.
func (a *Authority) good(issued time.Time, holder string, names ...string) error {
	for _, name := range names {
		r, ok := a.records.Record(KindRevocation, name)
		var v revocation
		if !ok {
			continue
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return problem.Internal.Errorf("cannot read the revocation of %s: %w", name, err)
		}
		if !issued.After(v.IssuedUntil) {
			return problem.Forbidden.Errorf("cannot trust %s: its certificate was revoked", holder)
		}
	}
	return nil
}
