package peers_test

import (
	"context"
	"errors"
	"net"
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

// leader is a controller that leads; it carries out what the test says.
type leader struct {
	peers.Domain
	execute func() ([]byte, error)
	records revocations
}

func (l *leader) ExecuteFor(context.Context, []byte, []byte) ([]byte, error) { return l.execute() }

func (l *leader) FollowFor(context.Context, []byte, []byte, func([]byte) error) ([]byte, error) {
	return l.execute()
}

// place finds one leader always.
type place struct{ at string }

func (p place) LeaderPlace() (string, peers.Place) { return "c1", peers.Place{Native: p.at} }

func identity(t *testing.T, name string, ca *certs.Authority) *certs.Identity {
	t.Helper()
	now := clock.Real().Now
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := ca.Sign(request, authority.Controller(name), now())
	if err != nil {
		t.Fatal(err)
	}
	trusted, _, err := ca.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	id, err := certs.NewIdentity(key, certificate, trusted, now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// lead serves a leader, and gives a client of it and how it is stopped.
func lead(t *testing.T, l *leader) (*peers.Client, func()) {
	t.Helper()
	ca, err := authority.NewCertificateAuthority(clock.Real().Now())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity(t, "c1", ca).ServerWithChain(false, nil))))
	peerlink.RegisterPeerLinkServer(server, &peers.Server{Domain: l, Authority: authority.New(authority.Config{Records: &l.records, Clock: clock.Real()})})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c := peers.NewClient(place{listener.Addr().String()}, identity(t, "c2", ca), nil)
	t.Cleanup(func() { _ = c.Close(); server.Stop(); <-served })
	return c, server.Stop
}

func TestACallSaysWhetherAnythingWasBegun(t *testing.T) {
	answer := func() ([]byte, error) { return []byte("{}"), nil }
	refusal := problem.Unavailable.Errorf("cannot read: controller c1 does not lead")
	for way, run := range map[string]func(c *peers.Client) error{
		"execute": func(c *peers.Client) error { _, err := c.Execute(t.Context(), nil, nil); return err },
		"follow":  func(c *peers.Client) error { _, err := c.Follow(t.Context(), nil, nil, nil); return err },
	} {
		for _, tt := range []struct {
			name     string
			execute  func(stop func()) ([]byte, error)
			notBegun bool
		}{
			{"it leads no more", func(func()) ([]byte, error) { return nil, peers.NotBegun(refusal) }, true},
			{"it lost the lead while it worked", func(func()) ([]byte, error) { return nil, refusal }, false},
			{"it was lost while it worked", func(stop func()) ([]byte, error) { go stop(); return nil, refusal }, false},
		} {
			t.Run(tt.name+", "+way, func(t *testing.T) {
				l := &leader{execute: answer}
				c, stop := lead(t, l)
				if err := run(c); err != nil {
					t.Fatal(err)
				}
				l.execute = func() ([]byte, error) { return tt.execute(stop) }
				err := run(c)
				if err == nil || errors.Is(err, peers.ErrNoLeader) != tt.notBegun || !problem.Is(err, problem.Unavailable) {
					t.Errorf("got %v", err)
				}
			})
		}
		t.Run("it is gone, "+way, func(t *testing.T) {
			c, stop := lead(t, &leader{execute: answer})
			if err := run(c); err != nil {
				t.Fatal(err)
			}
			stop()
			// What goes out before its end is noticed may have been begun; from then on
			// nothing is.
			err := run(c)
			for t.Context().Err() == nil && err != nil && !errors.Is(err, peers.ErrNoLeader) {
				err = run(c)
			}
			if again := run(c); !errors.Is(err, peers.ErrNoLeader) || !errors.Is(again, peers.ErrNoLeader) || !problem.Is(again, problem.Unavailable) {
				t.Errorf("got %v, %v", err, again)
			}
		})
	}
}
