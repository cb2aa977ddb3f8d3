package peers

import (
	"context"
	"errors"
	"time"

	"github.com/xdg-go/scram"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// Enrolled is what a new controller gets.
type Enrolled struct {
	Certificate []byte // PEM
	Authority   []byte // PEM
	LogKey      []byte
}

// Enrol makes this process a controller of an existing domain: it proves the
// token's secret to one of the controllers at the addresses and gets a
// certificate for key; with it, the key of the replicated log.
func Enrol(ctx context.Context, addresses []string, token authority.Token, key certs.Key, now func() time.Time) (Enrolled, error) {
	var errs []error
	for _, address := range addresses {
		e, err := enrol(ctx, address, token, key, now)
		if err == nil {
			return e, nil
		}
		errs = append(errs, problem.KindOf(err).Errorf("at %s: %w", address, err))
	}
	return Enrolled{}, problem.Unavailable.Errorf("cannot enrol as controller %s: %w", token.Name, errors.Join(errs...))
}

func enrol(ctx context.Context, address string, token authority.Token, key certs.Key, now func() time.Time) (e Enrolled, err error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(certs.Pinned(token.Fingerprint, now, nil))))
	if err != nil {
		return e, err
	}
	defer conn.Close()
	certificate, err := prove(ctx, peerlink.NewPeerLinkClient(conn), token, key)
	if err != nil {
		return e, problem.FromGRPC(err)
	}
	e.Certificate, e.Authority = certificate.Certificate, certificate.Authority
	identity, err := certs.NewIdentity(key, e.Certificate, e.Authority, now)
	if err != nil {
		return e, err
	}
	member, err := Dial(address, identity, nil)
	if err != nil {
		return e, err
	}
	defer member.Close()
	answer, err := peerlink.NewPeerLinkClient(member).Key(ctx, &peerlink.KeyRequest{})
	e.LogKey = answer.GetKey()
	return e, problem.FromGRPC(err)
}

// prove is the joining end of authority.Join.
func prove(ctx context.Context, c peerlink.PeerLinkClient, token authority.Token, key certs.Key) (*hostlink.Certificate, error) {
	request, err := key.Request()
	if err != nil {
		return nil, err
	}
	client, err := scram.SHA256.NewClient(token.Name, token.Secret, "")
	if err != nil {
		return nil, err
	}
	talk := client.NewConversation()
	first, err := talk.Step("")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Enrol(ctx)
	if err != nil {
		return nil, err
	}
	next := &hostlink.JoinMessage{Message: &hostlink.JoinMessage_Start{Start: &hostlink.JoinStart{Host: token.Name, CertificateRequest: request, Scram: first}}}
	for {
		if err := stream.Send(next); err != nil {
			return nil, receiveError(stream, err)
		}
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		text, err := talk.Step(m.GetScram())
		if err != nil {
			return nil, problem.Unauthorized.Errorf("the controller does not know the secret either: %w", err)
		}
		if talk.Done() {
			break
		}
		next = &hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: text}}
	}
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetCertificate() == nil {
		return nil, problem.Internal.Errorf("the controller sent no certificate")
	}
	return m.GetCertificate(), nil
}

// receiveError gives the status with which the other end closed the stream: a
// failed Send only says that it did.
func receiveError(stream grpc.BidiStreamingClient[hostlink.JoinMessage, hostlink.JoinMessage], err error) error {
	if _, real := stream.Recv(); real != nil {
		return real
	}
	return err
}
