package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/proto/management"
)

// stopGrace is how long calls that run may go on when the server stops; those
// that follow something would never end by themselves.
const stopGrace = 2 * time.Second

// Clients probe a silent connection every 20 s (see client); more often than
// probeFloor is taken for abuse.
const probeFloor = 10 * time.Second

// Options are what a gRPC server needs to carry the management service.
func Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(OperationLimit + 1<<10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: probeFloor, PermitWithoutStream: true}),
	}
}

// Register adds the management service to a gRPC server that other services
// share; the server must use TLS or access.PeerCredentials.
func (i *Interface) Register(s grpc.ServiceRegistrar) {
	management.RegisterManagementServer(s, &native{i: i})
}

// Serve serves gRPC over TLS on a listener until ctx ends.
func (i *Interface) Serve(ctx context.Context, l net.Listener, c *tls.Config) error {
	return i.serve(ctx, l, credentials.NewTLS(c))
}

// ServeLocal serves gRPC on a Unix socket, mode 0600, until ctx ends. A socket
// that a dead process left is replaced; one that answers is refused.
func (i *Interface) ServeLocal(ctx context.Context, path string) error {
	l, err := ListenLocal(path)
	if err != nil {
		return err
	}
	return i.ServeOn(ctx, l)
}

// ServeOn is ServeLocal on a socket that ListenLocal made.
func (i *Interface) ServeOn(ctx context.Context, l net.Listener) error {
	return i.serve(ctx, l, access.PeerCredentials())
}

// longestSocket is what the kernel takes as a socket's path, in bytes (unix(7));
// of a longer one it says "invalid argument".
const longestSocket = 107

// ListenLocal makes the Unix socket that ServeLocal serves on.
func ListenLocal(path string) (net.Listener, error) {
	if len(path) > longestSocket {
		return nil, problem.WithHint(problem.Invalid.Errorf("cannot listen on the management socket %s: its path has %d bytes, a socket's may have %d", path, len(path), longestSocket),
			"use a folder with a shorter path")
	}
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close() // it was only a question
		return nil, problem.Conflict.Errorf("cannot listen on %s: another process serves it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Internal.Errorf("cannot replace the socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot listen on the management socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(problem.Internal.Errorf("cannot guard the management socket: %w", err), l.Close())
	}
	return l, nil
}

func (i *Interface) serve(ctx context.Context, l net.Listener, c credentials.TransportCredentials) error {
	s := grpc.NewServer(append(Options(), grpc.Creds(c))...)
	i.Register(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopped := make(chan struct{})
	go func() { s.GracefulStop(); close(stopped) }()
	timer := i.config.Clock.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.C:
		s.Stop()
		<-stopped
	}
	<-served
	return ctx.Err()
}

// native is the gRPC service.
type native struct {
	management.UnimplementedManagementServer
	i *Interface
}

// Login is one SCRAM conversation, which ends with a session.
func (n *native) Login(stream management.Management_LoginServer) error {
	remote := remoteOf(stream.Context())
	if _, local := localPeer(stream.Context()); local {
		return problem.ToGRPC(problem.Invalid.Errorf("cannot log in on the local socket: its callers are known by their user id"))
	}
	login, err := n.i.sessions.Login(stream.Context())
	if err != nil {
		return problem.ToGRPC(err)
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		answer, done, err := login.Step(message.GetScram())
		if err != nil {
			n.i.refuse(remote, "native", err)
			return problem.ToGRPC(err)
		}
		err = stream.Send(&management.LoginMessage{Message: &management.LoginMessage_Scram{Scram: answer}})
		if err != nil || !done {
			if err != nil {
				return err
			}
			continue
		}
		token, expires := login.Token()
		return stream.Send(&management.LoginMessage{Message: &management.LoginMessage_Session{
			Session: &management.Session{Token: token, Expires: expires.Unix()},
		}})
	}
}

// Execute runs one operation. What fails inside the model is a response whose
// outcome is failed; only an unknown caller is a gRPC error.
func (n *native) Execute(ctx context.Context, r *management.ExecuteRequest) (*management.ExecuteResponse, error) {
	caller, err := n.caller(ctx)
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	data, err := n.answer(ctx, call{caller: caller, via: "native"}, r.GetOperation())
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	return &management.ExecuteResponse{Response: data}, nil
}

// Follow runs one operation and sends its events, then its response.
func (n *native) Follow(r *management.ExecuteRequest, stream management.Management_FollowServer) error {
	caller, err := n.caller(stream.Context())
	if err != nil {
		return problem.ToGRPC(err)
	}
	send := func(data []byte) error { return stream.Send(&management.FollowResponse{Event: data}) }
	c := call{caller: caller, via: "native", emit: func(event any) error {
		data, err := marshalEvent(event)
		if err != nil {
			return err
		}
		return send(data)
	}}
	data, err := n.answer(stream.Context(), c, r.GetOperation())
	if err != nil {
		return problem.ToGRPC(err)
	}
	return send(data)
}

func (n *native) answer(ctx context.Context, c call, operation []byte) ([]byte, error) {
	var err error
	var response Response
	if c.op, err = decode(operation); err == nil {
		response, err = n.i.execute(ctx, c)
	}
	return encode(response, err)
}

// caller tells who calls: by the kernel on the local socket, by the session's
// token elsewhere.
func (n *native) caller(ctx context.Context) (access.Caller, error) {
	remote := remoteOf(ctx)
	caller, err := n.authenticate(ctx)
	if err != nil {
		n.i.refuse(remote, "native", err)
		return access.Caller{}, err
	}
	if caller.Mechanism != access.Local {
		caller.Remote = remote
	}
	return caller, nil
}

func (n *native) authenticate(ctx context.Context) (access.Caller, error) {
	if info, local := localPeer(ctx); local {
		return info.Caller()
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return access.Caller{}, problem.Unauthorized.Errorf("cannot execute without a login: call Login first and send its token")
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return access.Caller{}, problem.Unauthorized.Errorf("cannot use the metadata authorization: want a Bearer token")
	}
	return n.i.sessions.Bearer(ctx, token)
}

func localPeer(ctx context.Context) (access.PeerInfo, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return access.PeerInfo{}, false
	}
	info, ok := p.AuthInfo.(access.PeerInfo)
	return info, ok
}

func remoteOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	return p.Addr.String()
}
