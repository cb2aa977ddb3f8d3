package client

import (
	"context"
	"crypto/tls"
	"net"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// HostPort is an address with its port, as connections are made to it; "" for a
// Unix socket.
func HostPort(address string) string {
	if _, local := socketPath(address); local {
		return ""
	}
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), DefaultPort)
}

// Authority asks a controller for the fingerprint of its authority, "sha256:...":
// known where its certificate is of that one, which it still may be while the
// authority is rotated; else the one that its certificate is of. Nothing is trusted
// by that: whoever asks compares it, and then connects with it as
// Config.Fingerprint.
func Authority(ctx context.Context, address, known string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	protocols := []string{"h2"}
	if known != "" {
		protocols = certs.WithHints(protocols, known)
	}
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols, InsecureSkipVerify: true}} // nothing is sent on it
	conn, err := dialer.DialContext(ctx, "tcp", HostPort(address))
	if err != nil {
		return "", problem.Unavailable.Errorf("cannot connect to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	for _, authority := range shown[1:] {
		if authority.IsCA && shown[0].CheckSignatureFrom(authority) == nil {
			return certs.Fingerprint(authority), nil
		}
	}
	return "", problem.Unauthorized.Errorf("cannot connect to %s: it shows no authority of its certificate", address)
}
