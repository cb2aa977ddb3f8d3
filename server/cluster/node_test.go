package cluster_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/leaktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// calm takes nobody for lost within 20 s, however busy the machine is; fast
// within 800 ms, which only virtual time keeps.
var (
	calm = cluster.Timing{Probe: 160 * time.Millisecond, Timeout: 100 * time.Millisecond, Suspicion: 125, Rejoin: 200 * time.Millisecond}
	fast = cluster.Timing{Probe: 160 * time.Millisecond, Timeout: 100 * time.Millisecond, Suspicion: 3, Rejoin: 200 * time.Millisecond}
)

// site is a domain's authority and the listeners made so far.
type site struct {
	t         testing.TB
	authority *certs.Authority
	directory *cluster.Directory
	air       *air // plain connections in memory; nil: TLS over loopback
	addrs     []string
}

func newSite(t testing.TB) *site {
	t.Helper()
	a, err := certs.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, authority: a, directory: cluster.NewDirectory(false)}
}

// listen gives a listener, and how the others reach it.
func (s *site) listen() (net.Listener, func(ctx context.Context, network, addr string) (net.Conn, error)) {
	s.t.Helper()
	if s.air != nil {
		return s.air.listen(), s.air.dial
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	return l, nil
}

func (s *site) identity(parts ...string) *certs.Identity {
	s.t.Helper()
	key, err := certs.NewKey()
	if err != nil {
		s.t.Fatal(err)
	}
	req, err := key.Request()
	if err != nil {
		s.t.Fatal(err)
	}
	cert, err := s.authority.Sign(req, certs.URI(parts...), time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	id, err := certs.NewIdentity(key, cert, certs.EncodeCertificate(s.authority.Certificate.Raw), time.Now)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// running is a node with the power to cut it off.
type running struct {
	*cluster.Node
	stop func()
	net  *valve
}

func (s *site) start(server string, change ...func(*cluster.Config)) *running {
	s.t.Helper()
	r := s.launch(server, change...)
	<-r.Joined()
	return r
}

// launch is start for one that need not have joined yet.
func (s *site) launch(server string, change ...func(*cluster.Config)) *running {
	s.t.Helper()
	l, dial := s.listen()
	v := &valve{Listener: l}
	s.addrs = append(s.addrs, l.Addr().String())
	s.directory.Set(s.addrs)
	cfg := cluster.Config{
		Host: "h1", Server: server, Site: "s1", Listener: v, Identity: s.identity("server", "h1", server),
		Dial: dial, Discovery: s.directory, Timing: calm, Clock: clock.Real(), Log: zerolog.Nop(),
	}
	if os.Getenv("CLUSTER_TRACE") != "" {
		cfg.Log = zerolog.New(zerolog.ConsoleWriter{Out: os.Stderr}).With().Str("node", server).Logger()
	}
	for _, c := range change {
		c(&cfg)
	}
	create := cluster.New
	if s.air != nil {
		create = cluster.NewPlain
	}
	node, err := create(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	node.Handle("echo", func(_ context.Context, from string, payload []byte) ([]byte, error) {
		return append([]byte(from+":"), payload...), nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	r := &running{Node: node, net: v, stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("%s: Run = %v", server, err)
		}
	})}
	s.t.Cleanup(r.stop)
	return r
}

// eventually waits until the node's view satisfies ok.
func eventually(t testing.TB, n *cluster.Node, what string, ok func(cluster.View) bool) cluster.View {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		view, changed := n.View()
		if ok(view) {
			return view
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%s: no view in which %s; the last: %+v", n.Self().Name, what, view)
		}
	}
}

func size(n int) func(cluster.View) bool {
	return func(v cluster.View) bool { return len(v.Members) == n }
}

// valve is a listener whose connections can be frozen: an unplugged cable.
type valve struct {
	net.Listener
	mu     sync.Mutex
	frozen bool
}

type frozenConn struct {
	net.Conn
	v *valve
}

func (v *valve) Accept() (net.Conn, error) {
	c, err := v.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &frozenConn{c, v}, nil
}

func (c *frozenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.v.mu.Lock()
	frozen := c.v.frozen
	c.v.mu.Unlock()
	if frozen && err == nil {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func (v *valve) freeze(on bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frozen = on
}

func TestServersFindOneAnotherAndLeaveGracefully(t *testing.T) {
	s := newSite(t)
	a, b := s.start("one"), s.start("two", func(c *cluster.Config) { c.HTTPAddr, c.Revision = "10.0.0.2:8080", 7 })
	c := s.start("three")
	for _, n := range []*running{a, b, c} {
		view := eventually(t, n.Node, "all three are", size(3))
		if view.Oldest().Name != "h1.one" {
			t.Errorf("%s: the oldest is %s, want h1.one", n.Self().Name, view.Oldest().Name)
		}
		if m, _ := view.Find("h1.two"); m.HTTPAddr != "10.0.0.2:8080" || m.Revision != 7 || m.Site != "s1" || m.Host != "h1" {
			t.Errorf("%s sees two as %+v", n.Self().Name, m)
		}
	}
	b.SetRevision(8)
	eventually(t, a.Node, "two runs revision 8", func(v cluster.View) bool { m, _ := v.Find("h1.two"); return m.Revision == 8 })
	b.stop()
	view := eventually(t, a.Node, "two has left", size(2))
	if len(view.Departed) != 0 {
		t.Errorf("a member that said goodbye counts as lost: %+v", view.Departed)
	}
	eventually(t, c.Node, "two has left", size(2))
}

func TestALostServerIsNoticedAndItsReturnToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.air = newAir()
		hurried := func(c *cluster.Config) { c.Timing = fast }
		a, b := s.start("one", hurried), s.start("two", hurried)
		eventually(t, a.Node, "both are", size(2))
		eventually(t, b.Node, "both are", size(2))
		a.net.freeze(true)
		b.net.freeze(true)
		start := time.Now()
		view := eventually(t, a.Node, "two is lost", size(1))
		if took := time.Since(start); took > fast.Detection() {
			t.Errorf("noticed after %v, want at most %v", took, fast.Detection())
		}
		if len(view.Departed) != 1 {
			t.Errorf("departed: %+v, want two: it may be alive beyond the broken network", view.Departed)
		}
		eventually(t, b.Node, "one is lost", size(1))
		a.net.freeze(false)
		b.net.freeze(false)
		view = eventually(t, a.Node, "two is back", size(2))
		if len(view.Departed) != 0 {
			t.Errorf("departed after the return: %+v", view.Departed)
		}
		eventually(t, b.Node, "one is back", size(2))
		a.stop()
		b.stop()
		time.Sleep(time.Second) // for a probe under way: virtual time ends with the test
	})
}

func TestCallsReachTheirHandlersAndCarryProblems(t *testing.T) {
	s := newSite(t)
	// Nothing is heard behind frames of 16 MiB, which take the race detector seconds
	// of a processor: 200 s.
	patient := func(c *cluster.Config) { c.Timing.Suspicion = 10 * calm.Suspicion }
	a, b := s.start("one", patient), s.start("two", patient)
	eventually(t, a.Node, "both are", size(2))
	b.Handle("refuse", func(context.Context, string, []byte) ([]byte, error) {
		return nil, problem.Conflict.Errorf("cannot do it: changed meanwhile")
	})
	b.Handle("hang", func(ctx context.Context, _ string, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	ctx := context.Background()
	big := bytes.Repeat([]byte{7}, cluster.MaxPayload-100)
	for _, node := range []string{"h1.two", "h1.one"} {
		for _, payload := range [][]byte{nil, []byte("hello"), big} {
			got, err := a.Call(ctx, node, "echo", payload)
			if want := append([]byte("h1.one:"), payload...); err != nil || !bytes.Equal(got, want) {
				t.Errorf("echo of %d bytes on %s: %d bytes, %v", len(payload), node, len(got), err)
			}
		}
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	tests := []struct {
		name, node, call string
		ctx              context.Context
		payload          []byte
		want             problem.Kind
	}{
		{"a handler's problem keeps its kind", "h1.two", "refuse", ctx, nil, problem.Conflict},
		{"an unknown name", "h1.two", "nonsense", ctx, nil, problem.Unsupported},
		{"an unknown node", "h1.nine", "echo", ctx, nil, problem.Unavailable},
		{"a handler that hangs", "h1.two", "hang", short, nil, problem.Timeout},
		{"too large", "h1.two", "echo", ctx, make([]byte, cluster.MaxPayload+1), problem.TooLarge},
		{"too large a reply", "h1.two", "echo", ctx, make([]byte, cluster.MaxPayload), problem.TooLarge},
	}
	for _, tt := range tests {
		if _, err := a.Call(tt.ctx, tt.node, tt.call, tt.payload); !problem.Is(err, tt.want) {
			t.Errorf("%s: %v, want kind %v", tt.name, err, tt.want)
		}
	}
}

func TestManyCallsShareOneConnection(t *testing.T) {
	s := newSite(t)
	a, b := s.start("one"), s.start("two")
	eventually(t, a.Node, "both are", size(2))
	eventually(t, b.Node, "both are", size(2))
	var wg sync.WaitGroup
	for _, from := range []*running{a, b} {
		to := map[string]string{"h1.one": "h1.two", "h1.two": "h1.one"}[from.Self().Name]
		for w := range 50 {
			wg.Go(func() {
				for i := range 40 {
					want := strings.Repeat(fmt.Sprintf("%d/%d ", w, i), 1+w*i)
					got, err := from.Call(context.Background(), to, "echo", []byte(want))
					if err != nil || string(got) != from.Self().Name+":"+want {
						t.Errorf("call %d/%d: %d bytes, %v", w, i, len(got), err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// Of two servers that start at the same moment the one that looks later finds the
// other, though a member that it asks may not know it yet.
func TestServersThatJoinAtTheSameMomentKnowOneAnother(t *testing.T) {
	s := newSite(t)
	all := []*running{s.start("old")}
	for i := range 4 {
		all = append(all, s.launch(fmt.Sprintf("new-%d", i)))
	}
	for _, a := range all {
		<-a.Joined()
	}
	for i, a := range all {
		view, _ := a.View()
		for _, b := range all[:i] {
			other, _ := b.View()
			_, there := view.Find(b.Self().Name)
			_, here := other.Find(a.Self().Name)
			if !there && !here {
				t.Errorf("%s and %s have both joined and know nothing of one another", a.Self().Name, b.Self().Name)
			}
		}
	}
}

func TestAPortThatIsHeldHangsUpAtOnceAndIsFreeAfterwards(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	release := cluster.Hold(l)
	id := s.identity("server", "h1", "two")
	if _, err := ask(l.Addr().String(), id, "echo", nil); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a held port: %v, want that it hangs up", err)
	}
	release()
	a := s.start("one", func(c *cluster.Config) { c.Listener.Close(); c.Listener = l })
	if reply, err := ask(a.Self().DataAddr, id, "echo", nil); err != nil || !bytes.HasSuffix(reply, []byte("h1.two:")) {
		t.Errorf("the node at a port that was held: %q, %v", reply, err)
	}
}

func TestACallToAnEndedProcessIsRefusedAtOnce(t *testing.T) {
	s := newSite(t)
	a, b := s.start("one"), s.start("two")
	eventually(t, a.Node, "both are", size(2))
	b.Handle("hang", func(ctx context.Context, _ string, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	waiting := make(chan error, 1)
	go func() { _, err := a.Call(context.Background(), "h1.two", "hang", nil); waiting <- err }()
	if _, err := a.Call(context.Background(), "h1.two", "echo", nil); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if err := <-waiting; !problem.Is(err, problem.Unavailable) {
		t.Errorf("the call in flight: %v, want Unavailable", err)
	}
	eventually(t, a.Node, "two has left", size(1))
	if _, err := a.Call(context.Background(), "h1.two", "echo", nil); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a call after it: %v, want Unavailable", err)
	}
}

func TestOnlyServersOfTheDomainAreLetIn(t *testing.T) {
	s, other := newSite(t), newSite(t)
	a := s.start("one")
	for name, id := range map[string]*certs.Identity{
		"another authority":         other.identity("server", "h1", "two"),
		"a host, not a server":      s.identity("host", "h1"),
		"too many parts":            s.identity("server", "h1", "two", "x"),
		"a name without its server": s.identity("server", "h1", ""),
	} {
		t.Run(name, func(t *testing.T) {
			if reply, err := ask(a.Self().DataAddr, id, "echo", nil); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("let in: %q, %v", reply, err)
			}
		})
	}
	reply, err := ask(a.Self().DataAddr, s.identity("server", "h1", "two"), "echo", nil)
	if err != nil || !bytes.HasSuffix(reply, []byte("h1.two:")) {
		t.Errorf("a member's own certificate: %q, %v", reply, err)
	}
}

func TestANodeNeedsItsOwnCertificate(t *testing.T) {
	s := newSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, id := range map[string]*certs.Identity{"none": nil, "of another server": s.identity("server", "h1", "two")} {
		_, err := cluster.New(cluster.Config{Host: "h1", Server: "one", Listener: l, Identity: id, Clock: clock.Real()})
		if !problem.Is(err, problem.Invalid) {
			t.Errorf("%s: %v, want Invalid", name, err)
		}
	}
}

func TestClustersOfOtherNamesAndSitesStayApart(t *testing.T) {
	s := newSite(t)
	a := s.start("one")
	b := s.start("two", func(c *cluster.Config) { c.Site = "s2" })
	c := s.start("three", func(c *cluster.Config) { c.Name = "other" })
	d := s.start("four")
	eventually(t, a.Node, "four is", size(2))
	eventually(t, d.Node, "one is", size(2))
	for _, n := range []*running{b, c} {
		if v, _ := n.View(); len(v.Members) != 1 {
			t.Errorf("%s sees %+v", n.Self().Name, v.Members)
		}
	}
}

func TestARestartedServerIsAnotherBirth(t *testing.T) {
	s := newSite(t)
	a, b := s.start("one"), s.start("two")
	first, _ := eventually(t, a.Node, "both are", size(2)).Find("h1.two")
	b.stop()
	again := s.start("two")
	eventually(t, a.Node, "the new two is", func(v cluster.View) bool {
		m, ok := v.Find("h1.two")
		return ok && !m.Same(first)
	})
	eventually(t, again.Node, "one is", size(2))
	// The run before is gone at the latest when its connection has ended: it may
	// cost calls until then.
	limit := time.After(time.Minute)
	for {
		_, err := a.Call(context.Background(), "h1.two", "echo", nil)
		if err == nil {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-limit:
			t.Fatalf("call to the restarted server: %v", err)
		}
		if !problem.Is(err, problem.Unavailable) {
			t.Fatalf("call to the restarted server: %v, want Unavailable at the worst", err)
		}
	}
}

func TestALateFarewellSaysNothingOfTheNextRun(t *testing.T) {
	s := newSite(t)
	a, b := s.start("one"), s.start("two")
	first, _ := eventually(t, a.Node, "both are", size(2)).Find("h1.two")
	b.stop()
	s.start("two")
	next := func(v cluster.View) bool { m, ok := v.Find("h1.two"); return ok && !m.Same(first) }
	eventually(t, a.Node, "the new two is", next)
	for _, late := range []int64{first.Born, first.Born - 1} {
		if _, err := ask(a.Self().DataAddr, s.identity("server", "h1", "two"), "cluster.leaving", binary.BigEndian.AppendUint64(nil, uint64(late))); err != nil {
			t.Fatal(err)
		}
		eventually(t, a.Node, "the new two is, after a farewell of a run before it", next)
	}
}

// ask makes one call of a member with the given certificate. A peer that is
// refused sees its connection closed.
func ask(addr string, id *certs.Identity, name string, payload []byte) (reply []byte, err error) {
	conn, err := tls.Dial("tcp", addr, id.Client(nil))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(append([]byte{'D'}, frame(name, payload)...)); err != nil {
		return nil, err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	reply = make([]byte, binary.BigEndian.Uint32(head))
	_, err = io.ReadFull(conn, reply)
	return reply, err
}

// frame is one request of the data plane, as link.go describes it.
func frame(name string, payload []byte) []byte {
	b := []byte{1}                          // a request
	b = binary.BigEndian.AppendUint64(b, 7) // its id
	b = binary.BigEndian.AppendUint32(b, 0) // patience without end
	b = append(append(append(b, byte(len(name))), name...), payload...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func TestNodeNamesAreRoutes(t *testing.T) {
	tests := []struct{ host, server, want string }{
		{"master", "server-one", "master.server-one"},
		{"a.b.example", "s_1", "a.b.example.s_1"},
		{"a", "b.c", "a.b~2Ec"},
		{"höst 2", `a;"b`, "h~C3~B6st~202.a~3B~22b"},
	}
	for _, tt := range tests {
		got := cluster.NodeName(tt.host, tt.server)
		if got != tt.want {
			t.Errorf("NodeName(%q, %q) = %q, want %q", tt.host, tt.server, got, tt.want)
		}
		if route := cluster.Route("6f1c2f9e-0b8e-4f7e-9d3f-0a1b2c3d4e5f." + got); route != got {
			t.Errorf("Route gives %q, want %q", route, got)
		}
	}
	if route := cluster.Route(`"id.h.s"`); route != "h.s" {
		t.Errorf("Route of a quoted cookie: %q", route)
	}
}
