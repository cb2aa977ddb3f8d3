package authority

import (
	"context"
	"encoding/json"

	"github.com/xdg-go/scram"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// JoinStream is the controller's end of a conversation that ends with a
// certificate: proto/hostlink Join, and proto/peerlink Enrol.
type JoinStream interface {
	Send(*hostlink.JoinMessage) error
	Recv() (*hostlink.JoinMessage, error)
	Context() context.Context
}

// Join authenticates one that joins in a role and gives it a certificate:
// SCRAM-SHA-256 (RFC 5802, 7677), which proves the secret to us and ours to it
// without sending it. It returns the name that joined.
func (a *Authority) Join(role string, stream JoinStream) (name string, err error) {
	first, err := stream.Recv()
	if err != nil {
		return "", err
	}
	start := first.GetStart()
	if start == nil {
		return "", problem.Invalid.Errorf("cannot join: the first message does not say who is joining")
	}
	name = start.Host
	// It may have been invited, or given another token, just now through another
	// controller. When no leader can be asked, a secret that is known here will do.
	behind := a.records.Fresh(stream.Context())
	if err := a.authenticate(role, start, stream); err != nil {
		if behind != nil && problem.Is(err, problem.Unauthorized) {
			err = problem.WithHint(
				problem.Unavailable.Errorf("cannot tell whether %s %q may join: its name or secret is not known at this controller, which may be behind: %w", role, name, behind),
				"try again when a controller leads, or at another controller")
		}
		return name, err
	}
	if other, connected := a.presence.Installation(name); role == RoleHost && connected && other != start.Installation {
		return name, problem.WithHint(
			problem.Conflict.Errorf("cannot join as %s %q: another installation of that name is connected", role, name),
			"give this one a name of its own, or stop the other first")
	}
	certificate, authority, err := a.Sign(start.CertificateRequest, certs.URI(role, name))
	if err != nil {
		return name, err
	}
	return name, stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Certificate{
		Certificate: &hostlink.Certificate{Certificate: certificate, Authority: authority},
	}})
}

func (a *Authority) authenticate(role string, start *hostlink.JoinStart, stream JoinStream) error {
	server, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		return a.credentials(role, user), nil
	})
	if err != nil {
		return err
	}
	talk := server.NewConversation()
	answer, err := talk.Step(start.Scram)
	if err != nil {
		return problem.Invalid.Errorf("cannot join as %s %q: its first SCRAM message is malformed", role, start.Host)
	}
	if err := sendScram(stream, answer); err != nil {
		return err
	}
	next, err := stream.Recv()
	if err != nil {
		return err
	}
	answer, err = talk.Step(next.GetScram())
	// One message for every reason, so that names cannot be tried out.
	if err != nil || !talk.Valid() || talk.Username() != start.Host || !a.Invited(role, start.Host) {
		return problem.WithHint(
			problem.Unauthorized.Errorf("cannot join as %s %q: the name is unknown or the secret is wrong", role, start.Host),
			"make a new join token with 'gatehouse add-user --%s %s' on a controller", role, start.Host)
	}
	return sendScram(stream, answer)
}

func (a *Authority) credentials(role, name string) scram.StoredCredentials {
	r, ok := a.records.Record(KindVerifier, role+"/"+name)
	var v verifier
	if !ok || json.Unmarshal(r.Value, &v) != nil {
		return a.fake(role, name)
	}
	return v.credentials()
}

func sendScram(stream JoinStream, text string) error {
	return stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: text}})
}
