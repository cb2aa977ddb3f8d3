package cluster

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// maxPacket bounds one gossip message; memberlist fills up to its
// UDPBufferSize of 1400 bytes.
const maxPacket = 1 << 16

// packetQueue is how many messages may wait for memberlist, which takes them
// up at once. More are dropped: they never hold up the calls behind them.
const packetQueue = 256

// gossip carries memberlist over the members' links: it implements
// memberlist.NodeAwareTransport and memberlist.Delegate.
type gossip struct {
	node    *Node
	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context
	stop    context.CancelFunc
}

func newGossip(n *Node) *gossip {
	ctx, stop := context.WithCancel(context.Background())
	return &gossip{
		node: n, ctx: ctx, stop: stop,
		packets: make(chan *memberlist.Packet, packetQueue), streams: make(chan net.Conn),
	}
}

func (g *gossip) config() *memberlist.Config {
	t := g.node.cfg.Timing
	c := memberlist.DefaultLANConfig()
	c.Name = g.node.self.Name
	c.Transport = g
	// Clusters of other names and sites do not understand our messages.
	c.Label = "gatehouse/" + g.node.cfg.Name + "/" + g.node.cfg.Site
	if len(c.Label) > memberlist.LabelMaxSize {
		c.Label = c.Label[:memberlist.LabelMaxSize]
	}
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionMult = t.Probe, t.Timeout, t.Suspicion
	c.SuspicionMaxTimeoutMult = 1      // a fixed time: callers' patience rests on it
	c.AwarenessMaxMultiplier = 2       // a slow member doubles its probe interval, no more
	c.TCPTimeout = g.node.waitFor()    // one exchange of state
	c.GossipInterval = t.Probe / 4     // a change is everywhere in a few of these
	c.PushPullInterval = 10 * t.Rejoin // heals what gossip lost
	c.GossipToTheDeadTime = 10 * t.Rejoin
	c.DeadNodeReclaimTime = time.Millisecond // a restarted server may have another address
	c.RequireNodeNames = false               // the certificate is checked instead
	c.EnableCompression = false
	c.DisableTcpPings = true // messages go over TCP already: another handshake tells nothing new
	c.Delegate, c.Events = g, g.node
	c.LogOutput = nil
	c.Logger = log.New(memberlistLog{g.node.log}, "", 0)
	return c
}

// memberlistLog keeps memberlist's own lines for those who debug it.
type memberlistLog struct{ log zerolog.Logger }

func (l memberlistLog) Write(line []byte) (int, error) {
	l.log.Trace().Msg(string(line))
	return len(line), nil
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (g *gossip) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	host, port, err := splitAddr(g.node.cfg.Advertise)
	if err != nil {
		return nil, 0, err
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip, port, nil
	}
	ips, err := net.DefaultResolver.LookupIP(g.ctx, "ip", host)
	if err != nil {
		return nil, 0, problem.Invalid.Errorf("cannot advertise %q: %w", g.node.cfg.Advertise, err)
	}
	return ips[0], port, nil
}

// WriteTo implements memberlist.Transport.
func (g *gossip) WriteTo(b []byte, addr string) (time.Time, error) {
	return g.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements memberlist.NodeAwareTransport: it sends one message
// over the link to the member, and drops it where UDP would.
func (g *gossip) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	now := g.node.clock().Now()
	if len(b) > maxPacket {
		return now, problem.TooLarge.Errorf("cannot gossip %d bytes: at most %d", len(b), maxPacket)
	}
	if g.ctx.Err() != nil {
		return now, net.ErrClosed
	}
	if to.Name != "" { // it always has one: every message is to a member, or answers one
		g.node.plane.send(to.Name, to.Addr, b)
	}
	return now, nil
}

// receive takes a message that came over a link.
func (g *gossip) receive(conn net.Conn, message []byte) {
	select {
	case g.packets <- &memberlist.Packet{Buf: message, From: conn.RemoteAddr(), Timestamp: g.node.clock().Now()}:
	default:
	}
}

// hand gives memberlist a stream that a peer opened.
func (g *gossip) hand(ctx context.Context, conn net.Conn) {
	select {
	case g.streams <- conn:
	case <-g.ctx.Done():
		conn.Close()
	case <-ctx.Done():
		conn.Close()
	}
}

// PacketCh implements memberlist.Transport.
func (g *gossip) PacketCh() <-chan *memberlist.Packet { return g.packets }

// StreamCh implements memberlist.Transport.
func (g *gossip) StreamCh() <-chan net.Conn { return g.streams }

// DialTimeout implements memberlist.Transport.
func (g *gossip) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (g *gossip) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	return g.node.dial(ctx, to.Addr, to.Name, forStream)
}

// Shutdown implements memberlist.Transport. What is queued goes out first, as
// that is the farewell: those who miss it keep this run until it is taken for
// lost, and with it the next run of another address out.
func (g *gossip) Shutdown() error {
	limit := g.node.clock().NewTimer(g.node.waitFor() / 4)
	defer limit.Stop()
	g.node.plane.flush(limit.C)
	g.stop()
	return nil
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(limit int) []byte {
	data := g.node.meta()
	if len(data) > limit {
		g.node.log.Error().Int("bytes", len(data)).Int("limit", limit).Msg("this member's description is too long for gossip: shorten the names of host, server or site")
		return nil
	}
	return data
}

// The rest of memberlist.Delegate carries nothing: calls do.

// NotifyMsg implements memberlist.Delegate.
func (g *gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (g *gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (g *gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (g *gossip) MergeRemoteState([]byte, bool) {}
