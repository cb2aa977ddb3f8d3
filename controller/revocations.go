package controller

import (
	"context"
	"crypto/x509"
	"net"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
)

// allow refuses revoked certificates. It is asked before the authority is there
// to answer, as the log's own transport comes first; who connects then is reviewed
// later.
func (p *parts) allow(peer *x509.Certificate) error {
	if a := p.revoking.Load(); a != nil {
		return a.Allow(peer)
	}
	return nil
}

// hold keeps the connection of another controller among those that end when its
// certificate is revoked. A host's link is the publisher's, which tells the host
// why it ends.
func (p *parts) hold(conn net.Conn, peer *x509.Certificate) (net.Conn, error) {
	if _, is := authority.HolderName(authority.RoleController, peer); !is {
		return conn, nil
	}
	return p.standing.Hold(conn, peer, p.allow)
}

// keepRevocations ends the connections of controllers and the links of hosts whose
// certificate is revoked, wherever and whenever that was done: the leader that did
// it may not have known yet that they are connected here.
func (p *parts) keepRevocations(ctx context.Context) error {
	var seen uint64
	for {
		_, newer := p.replica.State()
		var newest uint64
		for _, r := range p.replica.Records(authority.KindRevocation) {
			newest = max(newest, r.Version)
		}
		if newest != seen {
			seen = newest
			p.standing.Review(p.allow)
			p.publisher.Recheck()
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return nil
		}
	}
}
