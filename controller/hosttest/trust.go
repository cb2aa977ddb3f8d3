package hosttest

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// trust takes in which authorities count, renews where another issues, and tells
// both, of the host and of its servers, which show no certificate.
func (a *Agent) trust(t *hostlink.Trust) {
	a.renewing.Lock()
	defer a.renewing.Unlock()
	if a.identity.Trust(t.Authorities) != nil {
		return
	}
	a.tellTrust()
	if !a.identity.Outdated() {
		return
	}
	key, err := certs.NewKey()
	if err != nil {
		return
	}
	request, err := key.Request()
	if err != nil {
		return
	}
	a.mu.Lock()
	conn := a.conn
	a.mu.Unlock()
	c, err := hostlink.NewHostLinkClient(conn).Sign(context.Background(), &hostlink.SignRequest{CertificateRequest: request})
	if err != nil {
		return // the link broke; the next one brings the trust again
	}
	if a.identity.Renew(key, c.Certificate, a.identity.Preferred(c.Certificate, c.Authority)) == nil {
		a.tellTrust()
	}
}

func (a *Agent) tellTrust() {
	a.send(&hostlink.Report{Report: &hostlink.Report_Trusted{Trusted: &hostlink.Trusted{Authorities: a.identity.Trusted(), Issuer: a.identity.Issuer()}}})
}

// Issuer is the fingerprint of the authority whose certificate the host shows.
func (a *Agent) Issuer() string { return a.identity.Issuer() }
