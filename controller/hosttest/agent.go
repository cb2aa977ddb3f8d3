// Package hosttest owns a simulated host agent for tests and benchmarks: it
// joins, connects, acknowledges snapshots, reports servers and obeys orders, over
// real gRPC, and runs nothing. It is never compiled into the product.
package hosttest

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/xdg-go/scram"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Agent is a simulated host. Set its fields before Connect.
type Agent struct {
	Name         string
	Installation string
	Operations   []byte // of Hello
	// Acknowledged, if not nil, is called with each snapshot after it was
	// acknowledged.
	Acknowledged func(*hostlink.Snapshot)
	// Obey, if not nil, is called after an order to a server was done; it may
	// change the server's status and its error is the order's.
	Obey func(order *hostlink.Order, status *hostlink.ServerStatus) error
	// Directed, if not nil, is called with each directory.
	Directed func(*hostlink.Directory)
	// Blind agents read their first snapshot only and take the later ones as
	// they come: many of them share a machine with the controller that is
	// measured.
	Blind bool
	// Protocol is what the agent speaks; 0 means what this program does.
	Protocol uint32
	// Version is of Hello.
	Version string
	// Ahead is how far the host's clock is ahead.
	Ahead time.Duration
	// Ordered, if not nil, is called with each order to the host itself.
	Ordered func(*hostlink.Order)
	// Quiet leaves out the statuses that follow a snapshot.
	Quiet bool

	// Stubborn agents are of a program that knows no rotation of the authority.
	Stubborn bool

	identity *certs.Identity

	mu       sync.Mutex
	stream   grpc.BidiStreamingClient[hostlink.Report, hostlink.Instruction]
	servers  map[string]*hostlink.ServerStatus
	wants    map[string]string      // by server: what the snapshot wants it to run
	runs     map[string]string      // by server: what it runs
	view     hostlink.DirectoryView // of the link; only Connect's
	revision uint64
	checksum string

	conn     *grpc.ClientConn // of the standing link
	renewing sync.Mutex
}

// Join proves the token's secret at a controller and gets the host's
// certificate.
func (a *Agent) Join(ctx context.Context, address string, token authority.Token) error {
	now := clock.Real().Now
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(certs.Pinned(token.Fingerprint, now, nil))))
	if err != nil {
		return err
	}
	defer conn.Close()
	key, err := certs.NewKey()
	if err != nil {
		return err
	}
	certificate, err := a.converse(ctx, hostlink.NewHostLinkClient(conn), token, key)
	if err != nil {
		return problem.FromGRPC(err)
	}
	a.identity, err = certs.NewIdentity(key, certificate.Certificate, certificate.Authority, now)
	return err
}

func (a *Agent) converse(ctx context.Context, c hostlink.HostLinkClient, token authority.Token, key certs.Key) (*hostlink.Certificate, error) {
	request, err := key.Request()
	if err != nil {
		return nil, err
	}
	client, err := scram.SHA256.NewClient(token.Name, token.Secret, "")
	if err != nil {
		return nil, err
	}
	talk := client.NewConversation()
	text, err := talk.Step("")
	if err != nil {
		return nil, err
	}
	stream, err := c.Join(ctx)
	if err != nil {
		return nil, err
	}
	_ = stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Start{Start: &hostlink.JoinStart{
		Host: a.Name, Installation: a.Installation, CertificateRequest: request, Scram: text}}}) // Recv says why it failed
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if c := m.GetCertificate(); c != nil {
			return c, nil
		}
		if text, err = talk.Step(m.GetScram()); err != nil {
			return nil, err
		}
		if text != "" {
			_ = stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: text}})
		}
	}
}

// Use gives the agent an identity instead of joining.
func (a *Agent) Use(id *certs.Identity) { a.identity = id }

// Sign asks for a certificate for one of the host's servers.
func (a *Agent) Sign(ctx context.Context, address, server string) (*hostlink.Certificate, error) {
	conn, err := a.dial(address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	key, err := certs.NewKey()
	if err != nil {
		return nil, err
	}
	request, err := key.Request()
	if err != nil {
		return nil, err
	}
	c, err := hostlink.NewHostLinkClient(conn).Sign(ctx, &hostlink.SignRequest{CertificateRequest: request, Server: server})
	return c, problem.FromGRPC(err)
}

func (a *Agent) dial(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(a.identity.Client(nil))),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
}

// Connect holds the standing link until it ends.
func (a *Agent) Connect(ctx context.Context, address string) error {
	conn, err := a.dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := hostlink.NewHostLinkClient(conn).Connect(ctx)
	if err != nil {
		return problem.FromGRPC(err)
	}
	a.mu.Lock()
	a.stream, a.conn = stream, conn
	hello := &hostlink.Hello{Host: a.Name, Installation: a.Installation, Boot: "1",
		Protocol: cmp.Or(a.Protocol, hostlink.NewestProtocol), Version: cmp.Or(a.Version, "test"), Facts: &hostlink.Facts{Cores: 4, MemoryBytes: 8 << 30},
		HostOperations: a.Operations, Revision: a.revision, Checksum: a.checksum, Address: "127.0.0.1", DirectoryChanges: true}
	a.view = hostlink.DirectoryView{}
	_ = stream.Send(&hostlink.Report{Report: &hostlink.Report_Hello{Hello: hello}})
	a.mu.Unlock()
	if !a.Quiet {
		a.Tell()
	}
	for {
		i, err := stream.Recv()
		if err != nil {
			return problem.FromGRPC(err)
		}
		a.take(i)
	}
}

func (a *Agent) send(r *hostlink.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.stream.Send(r) // Recv says why it failed
}

func (a *Agent) take(i *hostlink.Instruction) {
	switch m := i.Instruction.(type) {
	case *hostlink.Instruction_Snapshot:
		a.snapshot(m.Snapshot)
	case *hostlink.Instruction_Directory:
		a.view.Whole(m.Directory)
		a.directed(m.Directory)
	case *hostlink.Instruction_DirectoryChange:
		d, lost := a.view.Change(m.DirectoryChange)
		if lost {
			a.send(&hostlink.Report{Report: &hostlink.Report_DirectoryLost{DirectoryLost: &hostlink.DirectoryLost{}}})
		}
		a.directed(d)
	case *hostlink.Instruction_Trust:
		if !a.Stubborn {
			go a.trust(m.Trust)
		}
	case *hostlink.Instruction_Order:
		go a.order(m.Order)
	case *hostlink.Instruction_Probe:
		a.send(&hostlink.Report{Report: &hostlink.Report_ProbeReply{ProbeReply: &hostlink.ProbeReply{SentUnixNs: m.Probe.SentUnixNs, HostUnixNs: clock.Real().Now().Add(a.Ahead).UnixNano()}}})
	}
}

func (a *Agent) directed(d *hostlink.Directory) {
	if a.Directed != nil && d != nil {
		a.Directed(d)
	}
}

func (a *Agent) snapshot(s *hostlink.Snapshot) {
	if a.Blind && a.accept(s) {
		return
	}
	var content servergroups.HostSnapshot
	ack := &hostlink.Acknowledge{Revision: s.Revision, Checksum: s.Checksum}
	if err := json.Unmarshal(s.Content, &content); err != nil {
		ack.Problem = err.Error()
	}
	a.mu.Lock()
	a.revision, a.checksum = s.Revision, s.Checksum
	before := a.servers
	a.servers = map[string]*hostlink.ServerStatus{}
	if a.runs == nil {
		a.runs = map[string]string{}
	}
	a.wants = map[string]string{}
	for _, spec := range content.Servers {
		text, _ := json.Marshal([]any{spec, content.Profiles[spec.Profile], content.Groups[spec.Group]}) // read from JSON
		a.wants[spec.Name] = string(text)
	}
	for _, spec := range content.Servers {
		st := before[spec.Name]
		if st == nil {
			st = &hostlink.ServerStatus{Name: spec.Name, State: "STARTED", Healthy: true, Revision: s.Revision, Node: spec.Name, Address: "127.0.0.1"}
		} else {
			st.Required = "restart-required"
			if a.runs[spec.Name] == a.wants[spec.Name] {
				st.Required = ""
			}
		}
		if a.runs[spec.Name] == "" {
			a.runs[spec.Name] = a.wants[spec.Name]
		}
		st.Group, st.Profile, st.Site = spec.Group, spec.Profile, content.Site
		a.servers[spec.Name] = st
	}
	a.mu.Unlock()
	a.send(&hostlink.Report{Report: &hostlink.Report_Acknowledge{Acknowledge: ack}})
	if !a.Quiet {
		a.Tell()
	}
	if a.Acknowledged != nil {
		a.Acknowledged(s)
	}
}

// accept takes a snapshot without reading it, unless it is the first.
func (a *Agent) accept(s *hostlink.Snapshot) bool {
	a.mu.Lock()
	first := a.servers == nil
	a.revision, a.checksum = s.Revision, s.Checksum
	for _, st := range a.servers {
		st.Revision = s.Revision
	}
	a.mu.Unlock()
	if first {
		return false
	}
	a.send(&hostlink.Report{Report: &hostlink.Report_Acknowledge{Acknowledge: &hostlink.Acknowledge{Revision: s.Revision, Checksum: s.Checksum}}})
	a.Tell()
	if a.Acknowledged != nil {
		a.Acknowledged(s)
	}
	return true
}

func (a *Agent) order(o *hostlink.Order) {
	a.mu.Lock()
	status := a.servers[o.Server]
	var err error
	switch {
	case status == nil && o.Server != "":
		err = problem.NotFound.Errorf("no server %s", o.Server)
	case o.Server == "" && a.Ordered != nil:
		a.Ordered(o)
	case status != nil:
		do(o, status, a.revision)
		a.runs[o.Server] = a.wants[o.Server]
		if a.Obey != nil {
			err = a.Obey(o, status)
		}
	}
	a.mu.Unlock()
	a.Tell()
	if o.Kind == "support-bundle" {
		a.send(&hostlink.Report{Report: &hostlink.Report_OrderOutput{OrderOutput: &hostlink.OrderOutput{Id: o.Id, Chunk: []byte("bundle of " + a.Name)}}})
	}
	r := &hostlink.OrderResult{Id: o.Id, Result: []byte("{}")}
	if err != nil {
		r.Problem, r.Kind = err.Error(), problem.KindOf(err).String()
	}
	a.send(&hostlink.Report{Report: &hostlink.Report_OrderResult{OrderResult: r}})
}

// do does to a status what an order asks for.
func do(o *hostlink.Order, s *hostlink.ServerStatus, revision uint64) {
	s.SinceUnixMs++
	s.Restarts++
	switch o.Kind {
	case "stop", "kill", "destroy":
		s.State, s.Healthy = "STOPPED", false
	case "start", "restart", "reload":
		s.State, s.Healthy, s.Required, s.Revision = "STARTED", true, "", revision
	case "suspend":
		s.State = "SUSPENDED"
	case "resume":
		s.State = "STARTED"
	}
}

// Tell reports the statuses.
func (a *Agent) Tell() {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := &hostlink.ServerStatuses{}
	for _, s := range a.servers {
		// A copy: the stream encodes it while the agent goes on.
		list.Servers = append(list.Servers, &hostlink.ServerStatus{Name: s.Name, Group: s.Group, State: s.State, Revision: s.Revision,
			Required: s.Required, Node: s.Node, Site: s.Site, Address: s.Address, Ports: s.Ports, Pid: s.Pid, Healthy: s.Healthy, Profile: s.Profile, Message: s.Message,
			SinceUnixMs: s.SinceUnixMs, Restarts: s.Restarts, Members: s.Members, Usage: s.Usage})
	}
	slices.SortFunc(list.Servers, func(x, y *hostlink.ServerStatus) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	_ = a.stream.Send(&hostlink.Report{Report: &hostlink.Report_Servers{Servers: list}})
}
