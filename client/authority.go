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

// Authority asks a controller for the fingerprint of the authority that it shows,
// "sha256:...". Nothing is trusted by that: whoever asks compares it, and then
// connects with it as Config.Fingerprint.
func Authority(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, InsecureSkipVerify: true}} // nothing is sent on it
	conn, err := dialer.DialContext(ctx, "tcp", HostPort(address))
	if err != nil {
		return "", problem.Unavailable.Errorf("cannot connect to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	authority := shown[len(shown)-1]
	if !authority.IsCA {
		return "", problem.Unauthorized.Errorf("cannot connect to %s: it shows no authority", address)
	}
	return certs.Fingerprint(authority), nil
}
