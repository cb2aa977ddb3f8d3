package peers

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// Domain is what the leader does for other controllers.
type Domain interface {
	// Join makes a controller a member, unless its certificate was revoked.
	Join(ctx context.Context, n Newcomer) error
	// Write puts an entry into the log. ErrNoLeader is in the error when it certainly
	// did not come there.
	Write(entry []byte) (revision uint64, err error)
	// ExecuteFor and FollowFor run an operation (JSON) as a caller (JSON).
	// ErrNoLeader is in the error when nothing was done.
	ExecuteFor(ctx context.Context, caller, operation []byte) (response []byte, err error)
	FollowFor(ctx context.Context, caller, operation []byte, emit func(event []byte) error) (response []byte, err error)
	// Index is the place in the log that this controller, leading, has applied.
	Index() (uint64, error)
	// Leads reports whether this controller leads.
	Leads() bool
}

// Server answers other controllers.
type Server struct {
	peerlink.UnimplementedPeerLinkServer
	Domain    Domain
	Authority *authority.Authority
	Publisher *publisher.Publisher
	LogKey    []byte // seals the replicated log
	// Papers gives this controller's own files of a support bundle, by name.
	Papers func() (map[string][]byte, error)
	// MaySign is an error while this controller may know an older authority only.
	MaySign func(context.Context) error
}

// Enrol implements peerlink.PeerLinkServer.
func (s *Server) Enrol(stream grpc.BidiStreamingServer[hostlink.JoinMessage, hostlink.JoinMessage]) error {
	err := s.MaySign(stream.Context())
	if err == nil {
		_, err = s.Authority.Join(authority.RoleController, stream)
	}
	return problem.ToGRPC(err)
}

// Key implements peerlink.PeerLinkServer.
func (s *Server) Key(ctx context.Context, _ *peerlink.KeyRequest) (*peerlink.KeyResponse, error) {
	if _, err := s.controller(ctx); err != nil {
		return nil, problem.ToGRPC(err)
	}
	return &peerlink.KeyResponse{Key: s.LogKey}, nil
}

// Join implements peerlink.PeerLinkServer.
func (s *Server) Join(ctx context.Context, r *peerlink.JoinRequest) (*peerlink.JoinResponse, error) {
	name, cert, err := Caller(ctx, authority.RoleController)
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	n := Newcomer{Name: name, At: Place{Replication: r.Replication, Native: r.Native}, Issued: authority.Issued(cert)}
	if r.Controller != "" && r.Controller != name {
		n.Name, n.Issued = r.Controller, time.Unix(r.Issued, 0)
	}
	return &peerlink.JoinResponse{}, problem.ToGRPC(s.Domain.Join(ctx, n))
}

// Propose implements peerlink.PeerLinkServer.
func (s *Server) Propose(ctx context.Context, p *peerlink.Proposal) (*peerlink.ProposalResult, error) {
	if _, err := s.controller(ctx); err != nil {
		return nil, problem.ToGRPC(err)
	}
	revision, err := s.Domain.Write(p.Entry)
	if err != nil {
		_ = grpc.SetTrailer(ctx, trailer(err)) // fails outside of a call only
		return nil, problem.ToGRPC(err)
	}
	result, err := json.Marshal(proposed{Revision: revision})
	return &peerlink.ProposalResult{Result: result}, err
}

// ReadIndex implements peerlink.PeerLinkServer.
func (s *Server) ReadIndex(ctx context.Context, _ *peerlink.ReadIndexRequest) (*peerlink.ReadIndexResponse, error) {
	if _, err := s.controller(ctx); err != nil {
		return nil, problem.ToGRPC(err)
	}
	index, err := s.Domain.Index()
	return &peerlink.ReadIndexResponse{Index: index}, problem.ToGRPC(err)
}

// Execute implements peerlink.PeerLinkServer.
func (s *Server) Execute(ctx context.Context, f *peerlink.Forward) (*peerlink.ForwardResponse, error) {
	if _, err := s.controller(ctx); err != nil {
		return nil, problem.ToGRPC(err)
	}
	response, err := s.Domain.ExecuteFor(ctx, f.Caller, f.Operation)
	_ = grpc.SetTrailer(ctx, trailer(err)) // fails outside of a call only
	return &peerlink.ForwardResponse{Response: response}, problem.ToGRPC(err)
}

// Follow implements peerlink.PeerLinkServer.
func (s *Server) Follow(f *peerlink.Forward, stream grpc.ServerStreamingServer[peerlink.ForwardResponse]) error {
	if _, err := s.controller(stream.Context()); err != nil {
		return problem.ToGRPC(err)
	}
	response, err := s.Domain.FollowFor(stream.Context(), f.Caller, f.Operation, func(event []byte) error {
		return stream.Send(&peerlink.ForwardResponse{Event: event})
	})
	if err != nil {
		stream.SetTrailer(trailer(err))
		return problem.ToGRPC(err)
	}
	return stream.Send(&peerlink.ForwardResponse{Response: response})
}

// Support implements peerlink.PeerLinkServer.
func (s *Server) Support(ctx context.Context, _ *peerlink.SupportRequest) (*peerlink.SupportResponse, error) {
	_, err := s.controller(ctx)
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	files, err := s.Papers()
	return &peerlink.SupportResponse{Files: files}, problem.ToGRPC(err)
}

// Relay implements peerlink.PeerLinkServer.
func (s *Server) Relay(stream grpc.BidiStreamingServer[peerlink.RelayReport, peerlink.RelayInstruction]) error {
	name, err := s.controller(stream.Context())
	if err == nil && !s.Domain.Leads() {
		err = problem.Unavailable.Errorf("cannot take the relay: this controller does not lead")
	}
	if err != nil {
		return problem.ToGRPC(err)
	}
	return problem.ToGRPC(s.Publisher.ServeRelay(name, stream))
}

// controller is the calling controller's name, or the refusal of a caller that
// is none.
func (s *Server) controller(ctx context.Context) (string, error) {
	name, cert, err := Caller(ctx, authority.RoleController)
	if err != nil {
		return "", err
	}
	return name, s.Authority.Allow(cert)
}

// Caller is the name of a caller that showed a certificate of a role, and the
// certificate.
func Caller(ctx context.Context, role string) (string, *x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if ok {
		if tls, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(tls.State.VerifiedChains) > 0 {
			cert := tls.State.PeerCertificates[0]
			if name, ok := authority.HolderName(role, cert); ok {
				return name, cert, nil
			}
		}
	}
	return "", nil, problem.Unauthorized.Errorf("cannot serve this call: it needs the certificate of a %s of the domain", role)
}
