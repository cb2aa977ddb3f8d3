package client

import (
	"context"
	"errors"
	"io"

	"github.com/xdg-go/scram"
	"google.golang.org/grpc/metadata"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// login opens a session on a link with SCRAM-SHA-256 (RFC 5802): the password
// is not sent, and the controller proves that it knows the user's verifier.
func (c *Client) login(ctx context.Context, l *link) error {
	if c.config.User == "" {
		return problem.Unauthorized.Errorf("cannot log in to %s: no user is given; only the controller's own socket needs none", l.address)
	}
	if c.password == "" && c.config.Password != nil {
		var err error
		if c.password, err = c.config.Password(); err != nil {
			return err
		}
	}
	user, err := scram.SHA256.NewClient(c.config.User, c.password, "")
	if err != nil {
		return problem.Invalid.Errorf("cannot log in as %q: %w", c.config.User, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.stub.Login(ctx)
	if err != nil {
		return problem.FromGRPC(err)
	}
	conversation := user.NewConversation()
	answer := ""
	for {
		if !conversation.Done() {
			text, err := conversation.Step(answer)
			if err != nil {
				return problem.Unauthorized.Errorf("cannot log in to %s as %q: %w", l.address, c.config.User, err)
			}
			// The last step only checks the server's proof and sends nothing.
			if text != "" {
				err = stream.Send(&management.LoginMessage{Message: &management.LoginMessage_Scram{Scram: text}})
				if err != nil && !errors.Is(err, io.EOF) {
					return problem.FromGRPC(err)
				}
			}
		}
		message, err := stream.Recv()
		if err != nil {
			return problem.FromGRPC(err)
		}
		if session := message.GetSession(); session != nil {
			if !conversation.Valid() {
				return problem.Unauthorized.Errorf("cannot trust %s: it did not prove that it knows %q", l.address, c.config.User)
			}
			l.setToken(session.GetToken())
			return nil
		}
		answer = message.GetScram()
	}
}

func (l *link) setToken(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = token
}

func (l *link) hasToken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.token != ""
}

// authorized adds the session's token to a call.
func (l *link) authorized(ctx context.Context) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+l.token)
}
