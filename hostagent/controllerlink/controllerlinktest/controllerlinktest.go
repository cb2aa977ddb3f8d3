// Package controllerlinktest owns a controller for tests of host agents: it
// speaks proto/hostlink over mutual TLS on loopback, with an authority of its
// own, and keeps everything in memory. It is never compiled into the product.
package controllerlinktest

import (
	"context"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// Controller is a controller without a domain behind it.
type Controller struct {
	hostlink.UnimplementedHostLinkServer
	Address   string
	t         testing.TB
	authority *certs.Authority
	identity  *certs.Identity
	server    *grpc.Server

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	secrets map[string]string
	hosts   map[string]*Host
	wanted  map[string]*hostlink.Snapshot
	orders  int
	watch   func(*Host)
	// Joins counts the certificates that were given for a secret.
	Joins int
}

// Host is what the controller knows of one connected host.
type Host struct {
	Hello   *hostlink.Hello
	Acked   *hostlink.Acknowledge
	Servers []*hostlink.ServerStatus
	Facts   *hostlink.Facts // as told after a probe; nil before
	Lost    int             // changes of the directory that did not fit
	send    chan *hostlink.Instruction
	results map[string]chan *hostlink.OrderResult
	output  map[string][]byte
}

// Start makes a controller on a free port.
func Start(t testing.TB) *Controller {
	t.Helper()
	authority, err := certs.NewAuthority("test domain", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return with(t, authority)
}

// Pair makes two controllers of one domain. A host that joined at the first is
// known to the second by its certificate.
func Pair(t testing.TB) (one, two *Controller) {
	t.Helper()
	one = Start(t)
	return one, with(t, one.authority)
}

func with(t testing.TB, authority *certs.Authority) *Controller {
	t.Helper()
	c := &Controller{t: t, authority: authority, changed: make(chan struct{}), secrets: map[string]string{},
		hosts: map[string]*Host{}, wanted: map[string]*hostlink.Snapshot{}}
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Sign(request, certs.URI("controller", "one"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if c.identity, err = certs.NewIdentity(key, certificate, certs.EncodeCertificate(authority.Certificate.Raw), time.Now); err != nil {
		t.Fatal(err)
	}
	c.Up(porttest.Address(t)) // its own also while it is down
	t.Cleanup(c.Down)
	return c
}

// Up serves on an address; Down ends that and every link.
func (c *Controller) Up(address string) {
	c.t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Address = l.Addr().String()
	c.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(c.identity.ServerWithChain(false, nil))))
	hostlink.RegisterHostLinkServer(c.server, c)
	server := c.server
	go func() { _ = server.Serve(l) }()
}

// Down ends the service.
func (c *Controller) Down() { c.server.Stop() }

// Token lets a host join.
func (c *Controller) Token(host string) *controllerlink.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secrets[host] = "secret of " + host
	return &controllerlink.Token{Host: host, Secret: c.secrets[host], Fingerprint: certs.Fingerprint(c.authority.Certificate)}
}

// Publish sets the snapshot of a host, sent now and at each connect.
func (c *Controller) Publish(host string, s *hostlink.Snapshot) {
	c.change(func() {
		c.wanted[host] = s
		if h := c.hosts[host]; h != nil {
			h.send <- &hostlink.Instruction{Instruction: &hostlink.Instruction_Snapshot{Snapshot: s}}
		}
	})
}

// Send gives a connected host any instruction.
func (c *Controller) Send(host string, i *hostlink.Instruction) {
	c.change(func() {
		if h := c.hosts[host]; h != nil {
			h.send <- i
		}
	})
}

// Order has a host do something and gives the result and its output.
func (c *Controller) Order(ctx context.Context, host string, o *hostlink.Order) (*hostlink.OrderResult, []byte) {
	c.t.Helper()
	result := make(chan *hostlink.OrderResult, 1)
	var h *Host
	c.change(func() {
		c.orders++
		o.Id = strconv.Itoa(c.orders)
		if h = c.hosts[host]; h != nil {
			h.results[o.Id] = result
			h.send <- &hostlink.Instruction{Instruction: &hostlink.Instruction_Order{Order: o}}
		}
	})
	if h == nil {
		c.t.Fatalf("host %s is not connected", host)
	}
	select {
	case r := <-result:
		c.mu.Lock()
		defer c.mu.Unlock()
		return r, h.output[o.Id]
	case <-ctx.Done():
		c.t.Fatalf("order %s of %s got no answer: %v", o.Kind, o.Server, ctx.Err())
		return nil, nil
	}
}

// Orders is how many orders were given; the last has that number as its id.
func (c *Controller) Orders() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders
}

// Output is what an order has put out so far.
func (c *Controller) Output(host, id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[host]; h != nil {
		return string(h.output[id])
	}
	return ""
}

// Watch has f see every report of every host; nil ends that.
func (c *Controller) Watch(f func(h *Host)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = f
}

// patience is what a host has to get somewhere: much, for a machine that does
// other things meanwhile. Nobody waits for it but a test that fails.
const patience = 2 * time.Minute

// Await waits until a host is as wanted. The host must not be kept.
func (c *Controller) Await(host, what string, ok func(h *Host) bool) {
	c.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		c.mu.Lock()
		h, changed := c.hosts[host], c.changed
		done := h != nil && ok(h)
		var last []*hostlink.ServerStatus
		if h != nil {
			last = h.Servers
		}
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			c.t.Fatalf("host %s did not get there: %s; servers: %v", host, what, last)
		}
	}
}

func (c *Controller) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Join is SCRAM, then a certificate.
func (c *Controller) Join(stream hostlink.HostLink_JoinServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	scramServer, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		c.mu.Lock()
		secret, ok := c.secrets[name]
		c.mu.Unlock()
		if !ok {
			secret = "nobody's"
		}
		client, err := scram.SHA256.NewClient(name, secret, "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	})
	if err != nil {
		return err
	}
	talk := scramServer.NewConversation()
	for text := start.GetScram(); ; {
		answer, err := talk.Step(text)
		if err != nil {
			return problem.ToGRPC(problem.Unauthorized.Errorf("unknown host or wrong secret"))
		}
		if err := stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: answer}}); err != nil {
			return err
		}
		if talk.Done() {
			break
		}
		next, err := stream.Recv()
		if err != nil {
			return err
		}
		text = next.GetScram()
	}
	certificate, err := c.authority.Sign(start.GetCertificateRequest(), certs.URI("host", start.GetHost()), time.Now())
	if err != nil {
		return err
	}
	c.change(func() { c.Joins++ })
	return stream.Send(&hostlink.JoinMessage{Message: &hostlink.JoinMessage_Certificate{Certificate: &hostlink.Certificate{
		Certificate: certificate, Authority: certs.EncodeCertificate(c.authority.Certificate.Raw),
	}}})
}

// Sign gives certificates to hosts and their servers.
func (c *Controller) Sign(ctx context.Context, r *hostlink.SignRequest) (*hostlink.Certificate, error) {
	host, err := hostOf(ctx)
	if err != nil {
		return nil, err
	}
	holder := certs.URI("host", host)
	if r.GetServer() != "" {
		holder = certs.URI("server", host, r.GetServer())
	}
	certificate, err := c.authority.Sign(r.GetCertificateRequest(), holder, time.Now())
	return &hostlink.Certificate{Certificate: certificate, Authority: certs.EncodeCertificate(c.authority.Certificate.Raw)}, err
}

func hostOf(ctx context.Context) (string, error) {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", problem.ToGRPC(problem.Unauthorized.Errorf("who are you"))
	}
	return certs.Holder(info.State.PeerCertificates[0])[len("gatehouse:/host/"):], nil
}

// Connect is the standing link.
func (c *Controller) Connect(stream hostlink.HostLink_ConnectServer) error {
	name, err := hostOf(stream.Context())
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h := &Host{Hello: first.GetHello(), send: make(chan *hostlink.Instruction, 64),
		results: map[string]chan *hostlink.OrderResult{}, output: map[string][]byte{}}
	c.change(func() {
		c.hosts[name] = h
		h.send <- &hostlink.Instruction{Instruction: &hostlink.Instruction_Probe{Probe: &hostlink.Probe{SentUnixNs: time.Now().UnixNano()}}}
		if s := c.wanted[name]; s != nil && s.GetChecksum() != h.Hello.GetChecksum() {
			h.send <- &hostlink.Instruction{Instruction: &hostlink.Instruction_Snapshot{Snapshot: s}}
		}
	})
	defer c.change(func() {
		if c.hosts[name] == h {
			delete(c.hosts, name)
		}
	})
	go func() {
		for {
			select {
			case i := <-h.send:
				_ = stream.Send(i)
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		c.change(func() {
			h.take(r)
			if c.watch != nil {
				c.watch(h)
			}
		})
	}
}

func (h *Host) take(r *hostlink.Report) {
	switch m := r.GetReport().(type) {
	case *hostlink.Report_Acknowledge:
		h.Acked = m.Acknowledge
	case *hostlink.Report_Servers:
		h.Servers = m.Servers.GetServers()
	case *hostlink.Report_DirectoryLost:
		h.Lost++
	case *hostlink.Report_Facts:
		h.Facts = m.Facts
	case *hostlink.Report_OrderOutput:
		h.output[m.OrderOutput.GetId()] = append(h.output[m.OrderOutput.GetId()], m.OrderOutput.GetChunk()...)
	case *hostlink.Report_OrderResult:
		if result := h.results[m.OrderResult.GetId()]; result != nil {
			result <- m.OrderResult
		}
	}
}

// Server is a server's status, or an empty one.
func (h *Host) Server(name string) *hostlink.ServerStatus {
	for _, s := range h.Servers {
		if s.GetName() == name {
			return s
		}
	}
	return &hostlink.ServerStatus{}
}
