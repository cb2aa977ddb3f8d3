package controllerlink_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// agent is a host without servers.
type agent struct {
	mu          sync.Mutex
	identity    []byte
	saves       int
	states      chan controllerlink.State
	snaps       chan uint64
	directories chan *hostlink.Directory
}

func newAgent() *agent {
	return &agent{states: make(chan controllerlink.State, 1000), snaps: make(chan uint64, 1000), directories: make(chan *hostlink.Directory, 1000)}
}

func (a *agent) Identity() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.identity, nil
}

func (a *agent) SaveIdentity(text []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.identity, a.saves = text, a.saves+1
	return nil
}

func (a *agent) saved() int { a.mu.Lock(); defer a.mu.Unlock(); return a.saves }

func (a *agent) Hello() *hostlink.Hello { return &hostlink.Hello{Host: "host1", Installation: "i"} }
func (a *agent) Snapshot(s *hostlink.Snapshot) *hostlink.Acknowledge {
	a.snaps <- s.GetRevision()
	return &hostlink.Acknowledge{Revision: s.GetRevision()}
}
func (a *agent) Directory(d *hostlink.Directory) { a.directories <- d }
func (a *agent) Statuses() *hostlink.ServerStatuses {
	return &hostlink.ServerStatuses{Servers: []*hostlink.ServerStatus{{Name: "one", State: "STARTED"}}}
}
func (a *agent) Order(ctx context.Context, o *hostlink.Order, output func([]byte) error) ([]byte, error) {
	switch o.GetKind() {
	case "talk":
		for i := range 100 {
			if err := output(fmt.Appendf(nil, "%d ", i)); err != nil {
				return nil, err
			}
		}
		return []byte(`"done"`), nil
	case "wait":
		<-ctx.Done()
		return nil, problem.Timeout.Errorf("cancelled")
	}
	return nil, problem.NotFound.Errorf("cannot %s", o.GetKind())
}
func (a *agent) Facts() *hostlink.Facts        { return &hostlink.Facts{Cores: 3} }
func (a *agent) Linked(s controllerlink.State) { a.states <- s }

// config is a link to c for host1.
func (a *agent) config(token *controllerlink.Token, addresses ...string) controllerlink.Config {
	return controllerlink.Config{Host: "host1", Installation: "i", Addresses: addresses, Join: token,
		Identities: a, Handler: a, Clock: clock.Real(), Rand: func() float64 { return 0 }, Log: zerolog.Nop()}
}

func run(t *testing.T, c controllerlink.Config) *controllerlink.Link {
	t.Helper()
	l := controllerlink.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

func (a *agent) until(t *testing.T, what string, ok func(controllerlink.State) bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		select {
		case s := <-a.states:
			if ok(s) {
				return
			}
		case <-late:
			t.Fatal("did not happen: " + what)
		}
	}
}

func connectedTo(address string) func(controllerlink.State) bool {
	return func(s controllerlink.State) bool { return s.Connected && s.Controller == address }
}

func TestAHostJoinsOnceAndThenShowsItsCertificate(t *testing.T) {
	c := controllerlinktest.Start(t)
	a := newAgent()
	run(t, a.config(c.Token("host1"), c.Address))
	a.until(t, "connected", connectedTo(c.Address))
	c.Await("host1", "statuses", func(h *controllerlinktest.Host) bool { return h.Server("one").GetState() == "STARTED" })
	b := newAgent()
	b.identity = a.identity
	run(t, b.config(nil, c.Address)) // no token any more
	b.until(t, "connected by the certificate", connectedTo(c.Address))
	if c.Joins != 1 {
		t.Errorf("%d joins", c.Joins)
	}
}

func TestRefusals(t *testing.T) {
	c := controllerlinktest.Start(t)
	good := *c.Token("host1")
	wrong, unknown, other := good, good, good
	wrong.Secret = "not the secret"
	other.Fingerprint = "sha256:00"
	unknown.Host = "host9"
	for name, token := range map[string]controllerlink.Token{"wrong secret": wrong, "false controller": other, "token of another host": unknown} {
		config := newAgent().config(&token, c.Address)
		config.MustJoin = true
		err := controllerlink.New(config).Run(t.Context())
		if err == nil || strings.Contains(err.Error(), token.Secret) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
	config := newAgent().config(nil, c.Address)
	config.MustJoin = true
	if err := controllerlink.New(config).Run(t.Context()); !problem.Is(err, problem.Unauthorized) || !strings.Contains(err.Error(), "no join token") {
		t.Errorf("no token: %v", err)
	}
}

func TestALostControllerIsReplacedByAnother(t *testing.T) {
	one, two := controllerlinktest.Pair(t)
	a := newAgent()
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	run(t, a.config(one.Token("host1"), dead.Addr().String(), one.Address))
	a.until(t, "connected to the first", connectedTo(one.Address))
	one.Send("host1", &hostlink.Instruction{Instruction: &hostlink.Instruction_Controllers{Controllers: &hostlink.Controllers{Addresses: []string{one.Address, two.Address}}}})
	one.Publish("host1", &hostlink.Snapshot{Revision: 5})
	if got := <-a.snaps; got != 5 {
		t.Fatalf("snapshot %d", got)
	}
	lost := time.Now()
	one.Down()
	a.until(t, "connected to the learned one", connectedTo(two.Address))
	t.Logf("failed over in %s", time.Since(lost))
}

func TestOrdersTalkEndAndAreCancelled(t *testing.T) {
	c := controllerlinktest.Start(t)
	a := newAgent()
	run(t, a.config(c.Token("host1"), c.Address))
	a.until(t, "connected", connectedTo(c.Address))
	r, output := c.Order(t.Context(), "host1", &hostlink.Order{Kind: "talk"})
	if r.GetProblem() != "" || string(r.GetResult()) != `"done"` || len(strings.Fields(string(output))) != 100 {
		t.Errorf("result %v, output %q", r, output)
	}
	if r, _ := c.Order(t.Context(), "host1", &hostlink.Order{Kind: "fly"}); r.GetKind() != "not-found" || r.GetProblem() == "" {
		t.Errorf("result %v", r)
	}
	go c.Send("host1", &hostlink.Instruction{Instruction: &hostlink.Instruction_Order{Order: &hostlink.Order{Id: "w", Kind: "nothing"}}})
	done := make(chan *hostlink.OrderResult, 1)
	go func() {
		r, _ := c.Order(context.Background(), "host1", &hostlink.Order{Kind: "wait"})
		done <- r
	}()
	for { // the order is number 3
		c.Send("host1", &hostlink.Instruction{Instruction: &hostlink.Instruction_Cancel{Cancel: &hostlink.Cancel{Order: "3"}}})
		select {
		case r := <-done:
			if r.GetKind() != "timeout" {
				t.Errorf("a cancelled order: %v", r)
			}
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestACertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	c := controllerlinktest.Start(t)
	a := newAgent()
	clock := clocktest.New(time.Now())
	config := a.config(c.Token("host1"), c.Address)
	config.Clock = clock
	run(t, config)
	a.until(t, "connected", connectedTo(c.Address))
	clock.Advance(time.Minute)
	if a.saved() != 1 {
		t.Fatalf("%d certificates after a minute", a.saved())
	}
	clock.Advance(certs.HolderLifetime*2/3 + time.Hour)
	a.renewed(t, clock)
}

// renewed waits for a second certificate, minutes of clock after minutes.
func (a *agent) renewed(t *testing.T, clock *clocktest.Clock) {
	t.Helper()
	late := time.After(time.Minute)
	for a.saved() < 2 {
		clock.Advance(time.Minute)
		select {
		case <-late:
			t.Fatal("not renewed")
		case <-time.After(time.Millisecond):
		}
	}
}

// Somebody sets the host's clock while the link stands: it goes on standing, and
// only a certificate that is due by the new time is renewed.
func TestAClockThatIsSetCostsNoLink(t *testing.T) {
	c := controllerlinktest.Start(t)
	a := newAgent()
	clock := clocktest.New(time.Now())
	config := a.config(c.Token("host1"), c.Address)
	config.Clock = clock
	link := run(t, config)
	a.until(t, "connected", connectedTo(c.Address))
	since := link.State().Since
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour, time.Hour} {
		clock.Jump(jump)
		clock.Advance(time.Minute)
		if r, _ := c.Order(t.Context(), "host1", &hostlink.Order{Kind: "talk"}); r.GetProblem() != "" {
			t.Errorf("after %s an order ends with %v", jump, r)
		}
		if a.saved() != 1 {
			t.Errorf("after %s there are %d certificates", jump, a.saved())
		}
	}
	clock.Jump(certs.HolderLifetime * 2 / 3)
	a.renewed(t, clock)
	if s := link.State(); !s.Connected || s.Since != since {
		t.Errorf("it is another link: %v", s)
	}
}

func TestATokenHidesItsSecretAndSurvivesItsText(t *testing.T) {
	token := controllerlink.Token{Host: "host1", Secret: "s3cret", Fingerprint: "sha256:ab"}
	if text := fmt.Sprintf("%v %s", token, token); strings.Contains(text, "s3cret") {
		t.Errorf("printed %q", text)
	}
	back, err := controllerlink.ParseToken(token.Encode() + "\n")
	if err != nil || back != token {
		t.Errorf("read back %v, %v", back, err)
	}
	for _, bad := range []string{"", "gatehouse-join-v2.xx", "gatehouse-join-v1.%%", "gatehouse-join-v1.e30"} {
		if _, err := controllerlink.ParseToken(bad); !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAChangeOfTheDirectoryMakesAWholeOneOrIsComplainedOf(t *testing.T) {
	c := controllerlinktest.Start(t)
	a := newAgent()
	run(t, a.config(c.Token("host1"), c.Address))
	a.until(t, "connected", connectedTo(c.Address))
	c.Await("host1", "a host that takes changes", func(h *controllerlinktest.Host) bool { return h.Hello.GetDirectoryChanges() })
	server := func(name string) *hostlink.DirectoryServer {
		return &hostlink.DirectoryServer{Host: "host2", Name: name, State: "STARTED"}
	}
	whole := func(version uint64) *hostlink.Instruction {
		return &hostlink.Instruction{Instruction: &hostlink.Instruction_Directory{Directory: &hostlink.Directory{Version: version, Servers: []*hostlink.DirectoryServer{server("a")}}}}
	}
	change := func(from uint64) *hostlink.Instruction {
		return &hostlink.Instruction{Instruction: &hostlink.Instruction_DirectoryChange{DirectoryChange: &hostlink.DirectoryChange{
			From: from, Version: from + 1, Servers: []*hostlink.DirectoryServer{server("b")}}}}
	}
	for _, i := range []*hostlink.Instruction{whole(1), change(1), change(7), change(8), whole(9)} {
		c.Send("host1", i)
	}
	for _, want := range []struct {
		version uint64
		servers int
	}{{1, 1}, {2, 2}, {9, 1}} {
		if d := <-a.directories; d.GetVersion() != want.version || len(d.GetServers()) != want.servers {
			t.Errorf("got %v, want %v", d, want)
		}
	}
	c.Await("host1", "one complaint", func(h *controllerlinktest.Host) bool { return h.Lost == 1 })
}
