package controllerlink

import (
	"context"
	"crypto/x509"
	"slices"
	"sync"

	"github.com/xdg-go/scram"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// Token is what lets a host join: the secret it shares with the domain, and
// the fingerprint of the domain's authority, by which a false controller is
// told from a true one.
type Token struct {
	Host        string
	Secret      string
	Fingerprint string // as certs.Fingerprint
}

// minIterations of SCRAM: fewer would let a false controller guess the secret
// from what it sees (RFC 7677, section 4).
const minIterations = 4096

// ParseToken reads a token's text. Errors never show the text.
func ParseToken(text string) (Token, error) {
	t, err := hostlink.ReadJoinToken(text)
	if err != nil {
		return Token{}, problem.Invalid.Errorf("cannot read the join token: %w", err)
	}
	return Token{Host: t.Name, Secret: t.Secret, Fingerprint: t.Fingerprint}, nil
}

// Encode is the token's text; it holds the secret.
func (t Token) Encode() string {
	return hostlink.JoinToken{Name: t.Host, Secret: t.Secret, Fingerprint: t.Fingerprint}.Encode()
}

// String hides the secret.
func (t Token) String() string { return "join token of host " + t.Host }

// join authenticates the host with the secret, both ways, and gets its first
// certificate.
func (l *Link) join(ctx context.Context, address string) (*certs.Identity, error) {
	if l.config.Join == nil {
		return nil, problem.WithHint(problem.Unauthorized.Errorf("cannot join the domain at %s: host %q has no valid certificate and no join token", address, l.config.Host),
			"make a token with gatehouse add-user --host %s on a controller", l.config.Host)
	}
	if l.config.Join.Host != l.config.Host {
		return nil, problem.Invalid.Errorf("cannot join the domain: the join token is of host %q, this host is %q", l.config.Join.Host, l.config.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	var seen struct {
		sync.Mutex
		authority *x509.Certificate
		err       error
	}
	pinned := certs.Pinned(l.config.Join.Fingerprint, l.config.Clock.Now, func(a *x509.Certificate) {
		seen.Lock()
		defer seen.Unlock()
		seen.authority = a
	})
	verify := pinned.VerifyConnection
	pinned.VerifyConnection = func(cs tlsState) error {
		err := verify(cs)
		seen.Lock()
		defer seen.Unlock()
		seen.err = err
		return err
	}
	conn, err := grpc.NewClient(target(address), grpc.WithTransportCredentials(credentials.NewTLS(pinned)))
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot join the domain at %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	key, issued, err := l.converse(ctx, conn)
	seen.Lock()
	defer seen.Unlock()
	if err != nil {
		if seen.err != nil { // gRPC tells it as "unavailable"
			err = seen.err
		}
		return nil, problem.KindOf(err).Errorf("cannot join the domain at %s as host %q: %w", address, l.config.Host, problem.FromGRPC(err))
	}
	certificate, authorities, err := l.checked(issued, seen.authority)
	if err != nil {
		return nil, err
	}
	id, err := certs.NewIdentity(key, certificate, authorities, l.config.Clock.Now)
	if err != nil {
		return nil, err
	}
	if id.Holder() != holderOf(l.config.Host) {
		return nil, notOurs(l.config.Host, id.Holder())
	}
	if err := l.saveIdentity(key, certificate, authorities, l.config.Join.Fingerprint); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.identity = id
	l.mu.Unlock()
	l.config.Log.Info().Str("host", l.config.Host).Str("controller", address).Msg("joined the domain")
	if l.config.Trusts != nil {
		l.config.Trusts(id.Authorities())
	}
	return id, nil
}

// checked gives what was issued, with the authorities that the controller trusts:
// the pinned one is among them, or alone where the answer does not say so.
func (l *Link) checked(issued *hostlink.Certificate, pinned *x509.Certificate) (certificate, authorities []byte, err error) {
	list, err := certs.ParseCertificates(issued.GetAuthority())
	if err != nil || !slices.ContainsFunc(list, pinned.Equal) {
		list = []*x509.Certificate{pinned}
	}
	leaf, err := certs.ParseCertificate(issued.GetCertificate())
	if err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(list, func(a *x509.Certificate) bool { return leaf.CheckSignatureFrom(a) == nil }) {
		return nil, nil, problem.Unauthorized.Errorf("cannot join the domain as host %q: the certificate it got is of none of the domain's authorities", l.config.Host)
	}
	return issued.GetCertificate(), certs.EncodeCertificates(list), nil
}

// converse runs the Join call: SCRAM-SHA-256 (RFC 5802, RFC 7677), then the
// certificate.
func (l *Link) converse(ctx context.Context, conn *grpc.ClientConn) (certs.Key, *hostlink.Certificate, error) {
	key, err := certs.NewKey()
	if err != nil {
		return key, nil, err
	}
	request, err := key.Request()
	if err != nil {
		return key, nil, err
	}
	client, err := scram.SHA256.NewClient(l.config.Join.Host, l.config.Join.Secret, "")
	if err != nil {
		return key, nil, err
	}
	talk := client.WithMinIterations(minIterations).NewConversation()
	first, err := talk.Step("")
	if err != nil {
		return key, nil, err
	}
	stream, err := hostlink.NewHostLinkClient(conn).Join(ctx)
	if err != nil {
		return key, nil, err
	}
	err = stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Start{Start: &hostlink.JoinStart{
		Host: l.config.Host, Installation: l.config.Installation, CertificateRequest: request, Scram: first,
	}}})
	for err == nil {
		var in *hostlink.JoinMessage
		if in, err = stream.Recv(); err != nil {
			break
		}
		switch m := in.GetMessage().(type) {
		case *hostlink.JoinMessage_Scram:
			var answer string
			if answer, err = talk.Step(m.Scram); err != nil {
				return key, nil, problem.Unauthorized.Errorf("the secret that host and domain share does not agree: %w", err)
			}
			if answer != "" {
				err = stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: answer}})
			}
		case *hostlink.JoinMessage_Certificate:
			if !talk.Valid() {
				return key, nil, problem.Unauthorized.Errorf("the controller has not shown that it knows the secret")
			}
			return key, m.Certificate, nil
		default:
			return key, nil, problem.Invalid.Errorf("the controller answered with an unknown message")
		}
	}
	if status, recvErr := stream.Recv(); status == nil && recvErr != nil && problem.KindOf(err) == problem.Internal {
		err = recvErr // a failed Send says only EOF; Recv says why
	}
	return key, nil, err
}
