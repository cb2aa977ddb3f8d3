package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const (
	// maxPacket bounds one gossip message; memberlist fills up to its
	// UDPBufferSize of 1400 bytes.
	maxPacket = 1 << 16
	// sendQueue bounds the messages that wait for one address. Gossip is best
	// effort: more are dropped, as UDP would.
	sendQueue = 256
	// idleLimit ends the connection to an address nobody writes to any more.
	idleLimit = time.Minute
)

// gossip carries memberlist over TLS: it implements
// memberlist.NodeAwareTransport and memberlist.Delegate.
type gossip struct {
	node    *Node
	packets chan *memberlist.Packet
	streams chan net.Conn
	ctx     context.Context
	stop    context.CancelFunc

	mu      sync.Mutex
	closed  bool
	senders map[string]chan []byte // by address
	running sync.WaitGroup
}

func newGossip(n *Node) *gossip {
	ctx, stop := context.WithCancel(context.Background())
	return &gossip{
		node: n, ctx: ctx, stop: stop, senders: map[string]chan []byte{},
		packets: make(chan *memberlist.Packet), streams: make(chan net.Conn),
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

// WriteToAddress implements memberlist.NodeAwareTransport: it queues one
// message and drops it where UDP would.
func (g *gossip) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	now := g.node.clock().Now()
	if len(b) > maxPacket {
		return now, problem.TooLarge.Errorf("cannot gossip %d bytes: at most %d", len(b), maxPacket)
	}
	framed := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b)))
	framed = append(framed, b...)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return now, net.ErrClosed
	}
	queue := g.senders[to.Addr]
	if queue == nil {
		queue = make(chan []byte, sendQueue)
		g.senders[to.Addr] = queue
		g.running.Go(func() { g.send(to.Addr, queue) })
	}
	select {
	case queue <- framed:
	default:
	}
	return now, nil
}

// send writes the messages for one address, over one connection at a time.
func (g *gossip) send(addr string, queue chan []byte) {
	var conn net.Conn
	hangUp := func() {
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
	defer hangUp()
	idle := g.node.clock().NewTicker(idleLimit)
	defer idle.Stop()
	used := false
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-idle.C:
			g.mu.Lock()
			if !used && len(queue) == 0 {
				delete(g.senders, addr)
				g.mu.Unlock()
				return
			}
			g.mu.Unlock()
			used = false
		case msg, open := <-queue:
			if !open {
				return
			}
			used = true
			var err error
			if conn == nil {
				if conn, err = g.node.dial(g.ctx, addr, "", forPackets); err != nil {
					conn = nil
					continue
				}
				go drain(conn)
			}
			if err = conn.SetWriteDeadline(g.node.clock().Now().Add(g.node.waitFor())); err == nil {
				_, err = conn.Write(msg)
			}
			if err != nil {
				hangUp()
			}
		}
	}
}

// drain notices the end of a connection that only we write to.
func drain(conn net.Conn) {
	if _, err := io.Copy(io.Discard, conn); err != nil {
		conn.Close()
		return
	}
	conn.Close()
}

// receive reads a peer's messages until it hangs up.
func (g *gossip) receive(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 8<<10)
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		length := binary.BigEndian.Uint32(size[:])
		if length > maxPacket {
			return
		}
		buf := make([]byte, length)
		if _, err := io.ReadFull(r, buf); err != nil {
			return
		}
		select {
		case g.packets <- &memberlist.Packet{Buf: buf, From: conn.RemoteAddr(), Timestamp: g.node.clock().Now()}:
		case <-g.ctx.Done():
			return
		}
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
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		for _, queue := range g.senders {
			close(queue)
		}
	}
	g.mu.Unlock()
	sent := make(chan struct{})
	go func() { g.running.Wait(); close(sent) }()
	limit := g.node.clock().NewTimer(g.node.waitFor() / 4)
	defer limit.Stop()
	select {
	case <-sent:
	case <-limit.C:
	}
	g.stop()
	<-sent
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
