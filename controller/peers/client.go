// Package peers is how controllers speak to each other beside raft: enrolling,
// joining, handing on what only the leader may do, and relaying hosts. It owns
// both ends of proto/peerlink.
//
// It must not know what the operations that it hands on mean.
package peers

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// KindController is the kind of record that says where a controller is; the key
// is its name.
const KindController = "controller"

// Place is where a controller listens.
type Place struct {
	Replication string `json:"replication"`
	Native      string `json:"native"`
}

// Newcomer is a controller that asks to be a member at its place.
type Newcomer struct {
	Name   string
	At     Place
	Issued time.Time // its certificate; zero: the one who is asked sees it
}

// Directory finds controllers.
type Directory interface {
	// LeaderPlace gives the leader's name, "" if there is none, and place.
	LeaderPlace() (name string, at Place)
}

// Client speaks to the leader from another controller. It is safe for
// concurrent use.
type Client struct {
	directory Directory
	identity  *certs.Identity
	allow     certs.Allow

	mu   sync.Mutex
	line *line // to the leader; nil before the first call
}

// NewClient makes a client that shows identity and talks to controllers that
// allow accepts.
func NewClient(d Directory, identity *certs.Identity, allow certs.Allow) *Client {
	return &Client{directory: d, identity: identity, allow: allow}
}

// OnlyControllers admits holders of a controller's certificate.
func OnlyControllers(allow certs.Allow) certs.Allow {
	return func(peer *x509.Certificate) error {
		if _, ok := authority.HolderName(authority.RoleController, peer); !ok {
			return problem.Forbidden.Errorf("cannot talk to %s: it is no controller", certs.Holder(peer))
		}
		if allow == nil {
			return nil
		}
		return allow(peer)
	}
}

// Dial connects to a controller at an address. The connection is made when it
// is first used.
func Dial(address string, identity *certs.Identity, allow certs.Allow) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(newCredentials(identity, allow)), grpc.WithStatsHandler(sending{}),
		// A leader that is lost without a word is noticed after a probe of 5 s and
		// a wait of 2 s; a new leader is found sooner, by raft.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Second, Timeout: 2 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot dial controller %s: %w", address, err)
	}
	return conn, nil
}

// leader gives a client of the leader, and the connection that there is to it, with a
// call on it: see over.
func (c *Client) leader(ctx context.Context) (peerlink.PeerLinkClient, *line, error) {
	name, at := c.directory.LeaderPlace()
	if name == "" || at.Native == "" {
		return nil, nil, problem.WithHint(problem.Unavailable.Errorf("cannot reach the leader: %w", ErrNoLeader),
			"wait a moment; if it stays, a majority of the controllers is lost: see 'gatehouse controller recover'")
	}
	l, err := c.to(at.Native)
	if err != nil {
		return nil, nil, err
	}
	if !c.connected(ctx, l) {
		c.over(l)
		return nil, nil, problem.Unavailable.Errorf("cannot reach controller %s at %s, which led last: %w", name, at.Native, ErrNoLeader)
	}
	return peerlink.NewPeerLinkClient(l.conn), l, nil
}

// Propose implements replica.Leader.
func (c *Client) Propose(ctx context.Context, entry []byte) (uint64, error) {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return 0, err
	}
	defer c.over(l)
	var out call
	answer, err := leader.Propose(out.watched(ctx), &peerlink.Proposal{Entry: entry}, grpc.Trailer(&out.end))
	if err != nil {
		return 0, out.failed(err)
	}
	var r proposed
	if err := json.Unmarshal(answer.Result, &r); err != nil {
		return 0, problem.Internal.Errorf("cannot read the leader's answer: %w", err)
	}
	return r.Revision, nil
}

// ReadIndex implements replica.Leader. One that leads no more need not be waited
// for: the next is asked.
func (c *Client) ReadIndex(ctx context.Context) (index uint64, err error) {
	for again := true; again; {
		if index, again, err = c.readIndex(ctx); ctx.Err() != nil {
			break
		}
	}
	return index, err
}

func (c *Client) readIndex(ctx context.Context) (index uint64, again bool, err error) {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return 0, false, err
	}
	defer c.over(l)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.left, cancel)()
	answer, err := leader.ReadIndex(ctx, &peerlink.ReadIndexRequest{})
	return answer.GetIndex(), err != nil && l.left.Err() != nil, problem.FromGRPC(err)
}

type proposed struct {
	Revision uint64 `json:"revision"`
}

// Execute runs an operation (JSON) on the leader as a caller (JSON).
func (c *Client) Execute(ctx context.Context, caller, operation []byte) (response []byte, err error) {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	defer c.over(l)
	var out call
	answer, err := leader.Execute(out.watched(ctx), &peerlink.Forward{Caller: caller, Operation: operation}, grpc.Trailer(&out.end))
	return answer.GetResponse(), out.failed(err)
}

// Follow is Execute with a stream of events (JSON).
func (c *Client) Follow(ctx context.Context, caller, operation []byte, emit func(event json.RawMessage) error) (response []byte, err error) {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	defer c.over(l)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out call
	stream, err := leader.Follow(out.watched(ctx), &peerlink.Forward{Caller: caller, Operation: operation})
	if err != nil {
		return nil, out.failed(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case err != nil:
			out.end = stream.Trailer()
			return nil, out.failed(err)
		case m.Response != nil:
			return m.Response, nil
		}
		if err := emit(m.Event); err != nil {
			return nil, err
		}
	}
}

// Join asks the leader to make a controller, which listens at its place, a
// member.
func (c *Client) Join(ctx context.Context, n Newcomer) error {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return err
	}
	defer c.over(l)
	_, err = leader.Join(ctx, &peerlink.JoinRequest{Controller: n.Name, Replication: n.At.Replication, Native: n.At.Native, Issued: n.Issued.Unix()})
	return problem.FromGRPC(err)
}

// Relay opens the relay to the leader. It is over when ctx ends.
func (c *Client) Relay(ctx context.Context) (grpc.BidiStreamingClient[peerlink.RelayReport, peerlink.RelayInstruction], error) {
	leader, l, err := c.leader(ctx)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.over(l) })
	stream, err := leader.Relay(ctx)
	return stream, problem.FromGRPC(err)
}

// JoinAt is Client.Join through a controller at a known address, for one that
// knows no leader yet. That controller hands it on.
func JoinAt(ctx context.Context, address string, identity *certs.Identity, allow certs.Allow, at Place) error {
	conn, err := Dial(address, identity, allow)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = peerlink.NewPeerLinkClient(conn).Join(ctx, &peerlink.JoinRequest{Replication: at.Replication, Native: at.Native})
	return problem.FromGRPC(err)
}

// supportLimit bounds the files of one controller, bytes.
const supportLimit = 64 << 20

// SupportAt gets the own files of a support bundle of the controller at an
// address, by name.
func SupportAt(ctx context.Context, address string, identity *certs.Identity, allow certs.Allow) (map[string][]byte, error) {
	conn, err := Dial(address, identity, allow)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := peerlink.NewPeerLinkClient(conn).Support(ctx, &peerlink.SupportRequest{}, grpc.MaxCallRecvMsgSize(supportLimit))
	return answer.GetFiles(), problem.FromGRPC(err)
}
