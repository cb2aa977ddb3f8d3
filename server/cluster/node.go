package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Node is this server's part in the cluster. All its methods are safe for
// concurrent use.
type Node struct {
	cfg     Config
	log     zerolog.Logger
	gossip  *gossip
	plane   *plane
	proof   handshake
	joined  chan struct{}
	members sync.Mutex // guards the fields below
	self    Member
	list    *memberlist.Memberlist
	seen    map[string]Member // by name, without self
	missing map[string]Member // see View.Departed
	left    map[string]int64  // name to birth: said that they leave
	view    View
	changed chan struct{}
}

// New makes a node that listens already and answers nothing until Run.
// Handlers belong in before Run.
func New(cfg Config) (*Node, error) {
	if cfg.Timing == (Timing{}) {
		cfg.Timing = DefaultTiming()
	}
	if cfg.Name == "" {
		cfg.Name = "gatehouse"
	}
	if cfg.Discovery == nil {
		cfg.Discovery = Static()
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	name := NodeName(cfg.Host, cfg.Server)
	if cfg.Identity == nil {
		return nil, problem.Invalid.Errorf("cannot join the cluster as %q: no certificate", name)
	}
	if want, got := certs.URI("server", cfg.Host, cfg.Server).String(), cfg.Identity.Holder(); got != want {
		return nil, problem.Invalid.Errorf("cannot join the cluster as %q: the certificate is for %s, want %s", name, got, want)
	}
	if cfg.Advertise == "" {
		cfg.Advertise = cfg.Listener.Addr().String()
	}
	if _, _, err := splitAddr(cfg.Advertise); err != nil {
		return nil, problem.Invalid.Errorf("cannot join the cluster as %q: %w", name, err)
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, proof: newMutualTLS(cfg.Identity),
		joined: make(chan struct{}), changed: make(chan struct{}),
		seen: map[string]Member{}, missing: map[string]Member{}, left: map[string]int64{},
		self: Member{
			Name: name, Host: cfg.Host, Server: cfg.Server, Site: cfg.Site, DataAddr: cfg.Advertise,
			HTTPAddr: cfg.HTTPAddr, Revision: cfg.Revision, Born: cfg.Clock.Now().UnixNano(),
		},
	}
	n.view = View{Members: []Member{n.self}}
	n.plane = newPlane(n)
	n.gossip = newGossip(n)
	n.Handle(leaving, n.onLeaving)
	return n, nil
}

// Run takes part until ctx ends, then tells the others and leaves.
func (n *Node) Run(ctx context.Context) error {
	// Everything below lives until the leave is told, so it does not end with ctx.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer n.plane.close()
	defer end()
	wg.Go(func() { n.accept(life) })
	defer n.cfg.Listener.Close()

	list, err := memberlist.Create(n.gossip.config())
	if err != nil {
		n.gossip.stop()
		return problem.Internal.Errorf("cannot join the cluster as %q: %w", n.self.Name, err)
	}
	n.members.Lock()
	n.list = list
	n.members.Unlock()
	n.join(ctx)
	close(n.joined)
	n.keepJoining(ctx)
	return n.leave(life, list)
}

// Joined is closed when the first attempt to find the others is over: from
// then on the view holds all whom a member that could be reached knew.
func (n *Node) Joined() <-chan struct{} { return n.joined }

// Self is this member.
func (n *Node) Self() Member {
	n.members.Lock()
	defer n.members.Unlock()
	return n.self
}

// View is the members seen now; changed is closed when another view holds.
func (n *Node) View() (view View, changed <-chan struct{}) {
	n.members.Lock()
	defer n.members.Unlock()
	return n.view, n.changed
}

// SetRevision tells the others which revision of the domain this server runs.
func (n *Node) SetRevision(revision uint64) {
	n.members.Lock()
	n.self.Revision = revision
	n.publishView()
	list := n.list
	n.members.Unlock()
	if list == nil {
		return
	}
	if err := list.UpdateNode(n.cfg.Timing.Probe); err != nil {
		n.log.Debug().Err(err).Msg("the new revision reaches the others with the next full exchange")
	}
}

// Handle registers the answerer of calls of that name; names are for the life
// of the node.
func (n *Node) Handle(name string, h Handler) { n.plane.handle(name, h) }

// Call asks the member of that node name and waits for its reply, ctx's end or
// the loss of the connection. A problem that the handler returned keeps its
// kind. Unavailable means that the member could not be reached or was lost
// with the outcome unknown; errors.Is(err, ErrRefused) that its process is
// surely gone; TooLarge that payload or reply is over MaxPayload.
func (n *Node) Call(ctx context.Context, node, name string, payload []byte) ([]byte, error) {
	if node == n.self.Name {
		return n.plane.local(ctx, name, payload)
	}
	m, ok := n.lookup(node)
	if !ok {
		return nil, problem.Unavailable.Errorf("cannot call %s on %s: no such member", name, node)
	}
	return n.plane.call(ctx, m, name, payload)
}

// lookup finds a member, also one that is missing: it may be back before the
// membership knows.
func (n *Node) lookup(node string) (Member, bool) {
	n.members.Lock()
	defer n.members.Unlock()
	if m, ok := n.seen[node]; ok {
		return m, true
	}
	m, ok := n.missing[node]
	return m, ok
}

// Broadcast calls all other members of the view and gives each one's error,
// nil for those that replied.
func (n *Node) Broadcast(ctx context.Context, name string, payload []byte) map[string]error {
	view, _ := n.View()
	var mu sync.Mutex
	var wg sync.WaitGroup
	acked := map[string]error{}
	for _, m := range view.Members {
		if m.Name == n.self.Name {
			continue
		}
		wg.Go(func() {
			_, err := n.Call(ctx, m.Name, name, payload)
			mu.Lock()
			defer mu.Unlock()
			acked[m.Name] = err
		})
	}
	wg.Wait()
	return acked
}

// seeds is how many absent addresses are tried at a time: the first member that
// answers knows most of the others, and one that hangs holds up few. Each further
// round of a join tries four times as many, so that it ends in time where many hang.
const seeds = 3

// join looks for the others until each known address was tried or is that of a
// member that we have learned of meanwhile. So of two servers that start at the
// same moment the one that looks later finds the other, whoever they ask first.
func (n *Node) join(ctx context.Context) {
	addrs, _, _ := n.cfg.Discovery.Addresses()
	tried := map[string]bool{}
	for most := seeds; ctx.Err() == nil; most *= 4 {
		next := n.absent(addrs, tried, most)
		if len(next) == 0 {
			break
		}
		for _, addr := range next {
			tried[addr] = true
		}
		n.exchange(next)
	}
	n.forgetTheDead(ctx)
}

// rejoin tries some of the absent: each time others, chosen by chance.
func (n *Node) rejoin(ctx context.Context) {
	addrs, _, _ := n.cfg.Discovery.Addresses()
	n.exchange(n.absent(addrs, nil, seeds))
	n.forgetTheDead(ctx)
}

// exchange gives our state to, and takes that of, the members at some addresses.
func (n *Node) exchange(addrs []string) {
	var wg sync.WaitGroup
	for _, addr := range addrs {
		wg.Go(func() {
			if _, err := n.list.Join([]string{addr}); err != nil {
				n.log.Debug().Err(err).Str("address", addr).Msg("no member at this address yet")
			}
		})
	}
	wg.Wait()
}

// absent are some addresses to try, chosen by chance: discovered or missing, not
// in the view and not tried.
func (n *Node) absent(addrs []string, tried map[string]bool, most int) []string {
	n.members.Lock()
	defer n.members.Unlock()
	want := map[string]bool{}
	for _, a := range addrs {
		want[a] = true
	}
	for _, m := range n.missing {
		want[m.DataAddr] = true
	}
	delete(want, n.self.DataAddr)
	for _, m := range n.seen {
		delete(want, m.DataAddr)
	}
	var out []string
	for a := range want {
		if len(out) < most && !tried[a] {
			out = append(out, a)
		}
	}
	return out
}

// keepJoining finds newcomers and those beyond a healed partition until ctx
// ends.
func (n *Node) keepJoining(ctx context.Context) {
	tick := n.cfg.Clock.NewTicker(n.cfg.Timing.Rejoin)
	defer tick.Stop()
	for {
		_, _, changed := n.cfg.Discovery.Addresses()
		select {
		case <-ctx.Done():
			return
		case <-changed:
			n.join(ctx)
		case <-tick.C:
			n.rejoin(ctx)
		}
	}
}

// forgetTheDead takes those out of the missing whose process is surely gone.
func (n *Node) forgetTheDead(ctx context.Context) {
	addrs, known, _ := n.cfg.Discovery.Addresses()
	listed := map[string]bool{}
	for _, a := range addrs {
		listed[a] = true
	}
	n.members.Lock()
	var missing []Member
	for _, m := range n.missing {
		missing = append(missing, m)
	}
	n.members.Unlock()
	for _, m := range missing {
		gone := known && !listed[m.DataAddr]
		if !gone {
			probe, cancel := context.WithTimeout(ctx, n.cfg.Timing.Timeout)
			gone = n.plane.refused(probe, m)
			cancel()
		}
		if !gone {
			continue
		}
		n.members.Lock()
		if n.missing[m.Name].Same(m) {
			delete(n.missing, m.Name)
			n.publishView()
		}
		n.members.Unlock()
	}
}

// leaving is the call by which a member says that it goes of its own accord.
// Its payload is the birth of the run that ends (int64, big endian): a farewell
// that is late says nothing of the next run. Older servers send none.
const leaving = "cluster.leaving"

func (n *Node) farewell() []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n.Self().Born))
}

func (n *Node) onLeaving(_ context.Context, from string, payload []byte) ([]byte, error) {
	n.members.Lock()
	defer n.members.Unlock()
	m, ok := n.seen[from]
	if len(payload) == 8 && m.Born != int64(binary.BigEndian.Uint64(payload)) {
		return nil, nil
	}
	if ok {
		n.left[from] = m.Born
		delete(n.seen, from)
		n.publishView()
	}
	return nil, nil
}

// leave tells the others directly, so that none takes us for lost, then the
// membership protocol.
func (n *Node) leave(ctx context.Context, list *memberlist.Memberlist) error {
	patience := n.cfg.Timing.Detection() / 2
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for node, err := range n.Broadcast(limit, leaving, n.farewell()) {
		if err != nil && !errors.Is(err, ErrRefused) {
			n.log.Warn().Err(err).Str("member", node).Msg("cannot tell a member that this one leaves")
		}
	}
	// It has gone out when as many as four rounds of gossip have carried it.
	err := list.Leave(patience)
	if err != nil {
		n.log.Debug().Err(err).Msg("left without an echo")
	}
	return list.Shutdown()
}

// waitFor is how long the transport gives one stream operation.
func (n *Node) waitFor() time.Duration { return n.cfg.Timing.Detection() }

func (n *Node) clock() clock.Clock { return n.cfg.Clock }
