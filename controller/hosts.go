package controller

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// hosts answers host agents: it finds out who calls and hands the call on.
type hosts struct {
	hostlink.UnimplementedHostLinkServer
	authority *authority.Authority
	publisher *publisher.Publisher
	maySign   func(context.Context) error
	log       zerolog.Logger
}

// Join implements hostlink.HostLinkServer.
func (h *hosts) Join(stream grpc.BidiStreamingServer[hostlink.JoinMessage, hostlink.JoinMessage]) error {
	if err := h.maySign(stream.Context()); err != nil {
		return problem.ToGRPC(err)
	}
	name, err := h.authority.Join(authority.RoleHost, stream)
	if err != nil {
		h.log.Warn().Err(err).Str("host", name).Msg("host refused")
		return problem.ToGRPC(err)
	}
	h.log.Info().Str("host", name).Msg("host joined")
	return nil
}

// Connect implements hostlink.HostLinkServer.
func (h *hosts) Connect(stream grpc.BidiStreamingServer[hostlink.Report, hostlink.Instruction]) error {
	name, certificate, err := peers.Caller(stream.Context(), authority.RoleHost)
	if err != nil {
		return problem.ToGRPC(err)
	}
	err = h.publisher.Serve(name, stream, func() error { return h.authority.Allow(certificate) })
	if problem.Is(err, problem.Conflict) || problem.Is(err, problem.Invalid) {
		h.log.Warn().Err(err).Str("host", name).Msg("host's link refused")
	}
	return toStatus(err)
}

// toStatus is problem.ToGRPC, which would take the end of a stream for a fault.
func toStatus(err error) error {
	if _, already := status.FromError(err); already {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, "the link ended")
	}
	return problem.ToGRPC(err)
}

// Sign implements hostlink.HostLinkServer.
func (h *hosts) Sign(ctx context.Context, r *hostlink.SignRequest) (*hostlink.Certificate, error) {
	name, _, err := peers.Caller(ctx, authority.RoleHost)
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	holder := authority.Host(name)
	if r.Server != "" {
		if err := authority.CheckName("server", r.Server); err != nil {
			return nil, problem.ToGRPC(err)
		}
		holder = authority.Server(name, r.Server)
	}
	if err := h.maySign(ctx); err != nil {
		return nil, problem.ToGRPC(err)
	}
	certificate, own, err := h.authority.Sign(r.CertificateRequest, holder)
	if err != nil {
		return nil, problem.ToGRPC(err)
	}
	return &hostlink.Certificate{Certificate: certificate, Authority: own}, nil
}

// registrar enters hosts' files through the desk.
type registrar struct{ *parts }

// Register implements publisher.Registrar.
func (r registrar) Register(ctx context.Context, host string, operations []byte) error {
	return r.desk.Register(ctx, host, operations)
}

// knowsHost reports whether the domain has a host of that name, or awaits it.
func (p *parts) knowsHost(name string) bool {
	tree, _, _ := p.replica.Model()
	return tree.Has(profiles.Address{{Type: "host", Name: name}}) || p.authority.Invited(authority.RoleHost, name)
}
