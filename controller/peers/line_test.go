package peers_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// busy is a controller that is asked for a thing and takes its time.
type busy struct {
	peers.Domain
	asked  chan struct{}
	answer chan error
}

func newBusy() *busy { return &busy{asked: make(chan struct{}, 16), answer: make(chan error)} }

func (b *busy) work() error {
	b.asked <- struct{}{}
	return <-b.answer
}

func (b *busy) ExecuteFor(context.Context, []byte, []byte) ([]byte, error) {
	return []byte("{}"), b.work()
}

func (b *busy) FollowFor(context.Context, []byte, []byte, func([]byte) error) ([]byte, error) {
	return []byte("{}"), b.work()
}

func (b *busy) Write([]byte) (uint64, error) { return 7, b.work() }

func (b *busy) Index() (uint64, error) { return 7, b.work() }

// succession tells who leads, by address.
type succession struct{ at atomic.Value }

func (s *succession) LeaderPlace() (string, peers.Place) {
	return "c1", peers.Place{Native: s.at.Load().(string)}
}

// served serves a controller, and gives where.
func served(t *testing.T, ca *certs.Authority, d peers.Domain) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity(t, "c1", ca).ServerWithChain(false, nil))))
	peerlink.RegisterPeerLinkServer(server, &peers.Server{Domain: d, Authority: authority.New(authority.Config{Records: &revocations{}, Clock: clock.Real()})})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-ended })
	return listener.Addr().String()
}

// What came of a call only the controller knows that was asked: that another leads
// does not cut it off.
func TestACallIsAnsweredByTheOneWhoWasAskedAlsoWhenAnotherLeads(t *testing.T) {
	ca, err := authority.NewCertificateAuthority(clock.Real().Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(context.Context, *peers.Client) error{
		"execute": func(ctx context.Context, c *peers.Client) error { _, err := c.Execute(ctx, nil, nil); return err },
		"follow":  func(ctx context.Context, c *peers.Client) error { _, err := c.Follow(ctx, nil, nil, nil); return err },
		"propose": func(ctx context.Context, c *peers.Client) error { _, err := c.Propose(ctx, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			old, next := newBusy(), newBusy()
			var leader succession
			leader.at.Store(served(t, ca, old))
			c := peers.NewClient(&leader, identity(t, "c2", ca), nil)
			defer c.Close()
			answers := make(chan error, 2)
			go func() { answers <- call(t.Context(), c) }()
			<-old.asked
			leader.at.Store(served(t, ca, next))
			var another sync.WaitGroup
			another.Go(func() { <-next.asked; next.answer <- nil })
			if _, err := c.Execute(t.Context(), nil, nil); err != nil {
				t.Errorf("the next leader: %v", err)
			}
			another.Wait()
			old.answer <- nil
			if err := <-answers; err != nil {
				t.Errorf("the one before: %v", err)
			}
		})
	}
}

// Whoever asks where the log ends asks the one who leads now.
func TestAReadThatWaitsForALeaderOfBeforeIsPutToTheNext(t *testing.T) {
	ca, err := authority.NewCertificateAuthority(clock.Real().Now())
	if err != nil {
		t.Fatal(err)
	}
	old, next := newBusy(), newBusy()
	defer close(old.answer) // it never answers
	var leader succession
	leader.at.Store(served(t, ca, old))
	c := peers.NewClient(&leader, identity(t, "c2", ca), nil)
	defer c.Close()
	close(next.answer)
	read := make(chan error, 1)
	go func() { _, err := c.ReadIndex(t.Context()); read <- err }()
	<-old.asked
	leader.at.Store(served(t, ca, next))
	if _, err := c.Execute(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// A write of which nothing is in the log may be repeated by whoever asked for it.
func TestAProposalSaysWhetherItMayBeInTheLog(t *testing.T) {
	ca, err := authority.NewCertificateAuthority(clock.Real().Now())
	if err != nil {
		t.Fatal(err)
	}
	b := newBusy()
	var leader succession
	leader.at.Store(served(t, ca, b))
	c := peers.NewClient(&leader, identity(t, "c2", ca), nil)
	defer c.Close()
	refusal := problem.Unavailable.Errorf("cannot write: controller c1 does not lead")
	for _, tt := range []struct {
		answer   error
		notBegun bool
	}{{peers.NotBegun(refusal), true}, {refusal, false}} {
		go func() { <-b.asked; b.answer <- tt.answer }()
		if _, err := c.Propose(t.Context(), nil); !problem.Is(err, problem.Unavailable) || errors.Is(err, peers.ErrNoLeader) != tt.notBegun {
			t.Errorf("got %v, want %v", err, tt)
		}
	}
}
