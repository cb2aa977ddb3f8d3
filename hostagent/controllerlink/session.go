package controllerlink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

type tlsState = tls.ConnectionState

// maxMessage bounds one message: a snapshot with 1,000 servers has about 10 MiB.
const maxMessage = 64 << 20

// target keeps gRPC from asking DNS by itself for each address.
func target(address string) string { return "passthrough:///" + address }

// onlyControllers lets a host talk to controllers of its domain only: another
// host has a certificate of the same authority.
func onlyControllers(peer *x509.Certificate) error {
	if holder := certs.Holder(peer); !strings.HasPrefix(holder, "gatehouse:/controller/") {
		return problem.Unauthorized.Errorf("cannot trust %q: it is no controller", holder)
	}
	return nil
}

// session is one standing link.
type session struct {
	link   *Link
	stream hostlink.HostLink_ConnectClient
	ctx    context.Context
	out    chan *hostlink.Report
	orders sync.WaitGroup
	view   hostlink.DirectoryView // only receive's

	mu      sync.Mutex
	cancels map[string]context.CancelFunc
}

// connect holds a link to one controller until it breaks. worked is set once
// the controller has instructed the host.
func (l *Link) connect(ctx context.Context, address string, id *certs.Identity, worked *bool) error {
	var tried handshake
	conn, err := grpc.NewClient(target(address),
		grpc.WithTransportCredentials(tried.credentials(id)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		// The shortest that gRPC allows a client: a cut cable is noticed in 15 s.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		return problem.Invalid.Errorf("cannot use the controller address %q: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stream, err := l.open(ctx, cancel, conn)
	if err != nil {
		return tried.explain(problem.FromGRPC(err), l.config.Host)
	}
	s := &session{link: l, stream: stream, ctx: ctx, out: make(chan *hostlink.Report), cancels: map[string]context.CancelFunc{}}
	var sending sync.WaitGroup
	sending.Go(func() { s.send(cancel) })
	defer sending.Wait()
	defer s.orders.Wait()
	defer cancel()
	err = s.receive(func() {
		if !*worked {
			*worked = true
			l.connected(address, conn)
			l.Changed()
		}
	})
	if !*worked {
		return tried.explain(problem.FromGRPC(err), l.config.Host)
	}
	return problem.FromGRPC(err)
}

// open makes the stream and says hello, within dialTimeout.
func (l *Link) open(ctx context.Context, cancel context.CancelFunc, conn *grpc.ClientConn) (hostlink.HostLink_ConnectClient, error) {
	late := l.config.Clock.NewTimer(dialTimeout)
	defer late.Stop()
	type opened struct {
		stream hostlink.HostLink_ConnectClient
		err    error
	}
	done := make(chan opened, 1)
	go func() {
		stream, err := hostlink.NewHostLinkClient(conn).Connect(ctx)
		if err == nil {
			hello := l.config.Handler.Hello()
			hello.DirectoryChanges = true // session.directory makes them whole
			err = stream.Send(&hostlink.Report{Report: &hostlink.Report_Hello{Hello: hello}})
			if err != nil { // a failed Send says only EOF; Recv says why
				_, err = stream.Recv()
			}
		}
		done <- opened{stream, err}
	}()
	select {
	case o := <-done:
		return o.stream, o.err
	case <-late.C:
		cancel()
		return nil, problem.Unavailable.Errorf("no answer within %s", dialTimeout)
	}
}

// send writes reports until the session ends; statuses are read when they are
// sent, so that the newest go.
func (s *session) send(cancel context.CancelFunc) {
	defer cancel()
	for {
		var r *hostlink.Report
		select {
		case <-s.ctx.Done():
			return
		case r = <-s.out:
		case <-s.link.trusting:
			if r = s.link.trusted(); r == nil {
				continue
			}
		case <-s.link.changed:
			list := s.link.config.Handler.Statuses()
			if list == nil {
				continue
			}
			r = &hostlink.Report{Report: &hostlink.Report_Servers{Servers: list}}
		}
		if s.stream.Send(r) != nil {
			return
		}
	}
}

// report hands a report to send.
func (s *session) report(r *hostlink.Report) error {
	select {
	case s.out <- r:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *session) receive(instructed func()) error {
	l := s.link
	for {
		in, err := s.stream.Recv()
		if err != nil {
			return err
		}
		instructed()
		switch m := in.GetInstruction().(type) {
		case *hostlink.Instruction_Snapshot:
			err = s.report(&hostlink.Report{Report: &hostlink.Report_Acknowledge{Acknowledge: l.config.Handler.Snapshot(m.Snapshot)}})
		case *hostlink.Instruction_Directory:
			s.view.Whole(m.Directory)
			l.config.Handler.Directory(m.Directory)
		case *hostlink.Instruction_DirectoryChange:
			err = s.redirected(m.DirectoryChange)
		case *hostlink.Instruction_Order:
			s.begin(m.Order)
		case *hostlink.Instruction_Cancel:
			s.mu.Lock()
			if cancel := s.cancels[m.Cancel.GetOrder()]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
		case *hostlink.Instruction_Probe:
			err = s.probed(m.Probe)
		case *hostlink.Instruction_Welcome:
			s.link.config.Log.Debug().Uint32("protocol", m.Welcome.GetProtocol()).Str("version", m.Welcome.GetVersion()).Msg("welcomed by the controller")
		case *hostlink.Instruction_Trust:
			err = l.trust(m.Trust)
		case *hostlink.Instruction_Controllers:
			l.learn(m.Controllers.GetAddresses())
		}
		if err != nil {
			return err
		}
	}
}

// redirected hands on the directory that a change makes, or asks for a whole one.
func (s *session) redirected(c *hostlink.DirectoryChange) error {
	d, lost := s.view.Change(c)
	if d != nil {
		s.link.config.Handler.Directory(d)
	}
	if !lost {
		return nil
	}
	s.link.config.Log.Warn().Uint64("from", c.GetFrom()).Uint64("version", c.GetVersion()).Msg("a change of the directory does not fit; asking for the whole")
	return s.report(&hostlink.Report{Report: &hostlink.Report_DirectoryLost{DirectoryLost: &hostlink.DirectoryLost{}}})
}

func (s *session) probed(p *hostlink.Probe) error {
	now := s.link.config.Clock.Now()
	s.link.skewed(now.Sub(time.Unix(0, p.GetSentUnixNs())))
	err := s.report(&hostlink.Report{Report: &hostlink.Report_ProbeReply{ProbeReply: &hostlink.ProbeReply{
		SentUnixNs: p.GetSentUnixNs(), HostUnixNs: now.UnixNano(),
	}}})
	if err != nil {
		return err
	}
	return s.report(&hostlink.Report{Report: &hostlink.Report_Facts{Facts: s.link.config.Handler.Facts()}})
}

// begin runs an order beside the stream and reports its end.
func (s *session) begin(o *hostlink.Order) {
	id := o.GetId()
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	s.cancels[id] = cancel
	s.mu.Unlock()
	s.orders.Go(func() {
		defer func() {
			cancel()
			s.mu.Lock()
			delete(s.cancels, id)
			s.mu.Unlock()
		}()
		output := func(chunk []byte) error {
			return s.report(&hostlink.Report{Report: &hostlink.Report_OrderOutput{OrderOutput: &hostlink.OrderOutput{Id: id, Chunk: chunk}}})
		}
		result, err := s.link.config.Handler.Order(ctx, o, output)
		r := &hostlink.OrderResult{Id: id, Result: result}
		if err != nil {
			r.Problem, r.Kind = err.Error(), problem.KindOf(err).String()
		}
		_ = s.report(&hostlink.Report{Report: &hostlink.Report_OrderResult{OrderResult: r}})
	})
}
