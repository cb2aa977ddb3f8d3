package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// source is a domain that a test changes.
type source struct {
	mu       sync.Mutex
	tree     profiles.Tree
	revision uint64
	newer    chan struct{}
	removed  map[string]bool // hosts that the domain does not know; it knows all others
}

func (s *source) knows(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.removed[host]
}

func (s *source) remove(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = map[string]bool{host: true}
}

func (s *source) Model() (profiles.Tree, uint64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tree, s.revision, s.newer
}

func (s *source) change(t testing.TB, op profiles.Operation) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	next, _, _, err := profiles.Apply(s.tree, op)
	if err != nil {
		t.Fatal(err)
	}
	s.tree, s.revision = next, s.revision+1
	close(s.newer)
	s.newer = make(chan struct{})
}

func (s *source) display(t testing.TB, name string) {
	t.Helper()
	s.change(t, profiles.Operation{Name: "write-attribute", Address: profiles.Address{{Type: "profile", Name: "auth-server-clustered"}, {Type: "subsystem", Name: "identity"}},
		Params: map[string]any{"name": "display-name", "value": name}})
}

// pipe is a host's stream in memory. A host that does not read blocks Send.
type pipe struct {
	ctx  context.Context
	up   chan *hostlink.Report
	down chan *hostlink.Instruction
}

func newPipe(ctx context.Context, installation string) *pipe {
	p := &pipe{ctx: ctx, up: make(chan *hostlink.Report, 16), down: make(chan *hostlink.Instruction)}
	p.up <- &hostlink.Report{Report: &hostlink.Report_Hello{Hello: &hostlink.Hello{Host: "h", Installation: installation, Protocol: hostlink.NewestProtocol}}}
	return p
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Send(i *hostlink.Instruction) error {
	select {
	case p.down <- i:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Recv() (*hostlink.Report, error) {
	select {
	case r := <-p.up:
		return r, nil
	case <-p.ctx.Done():
		return nil, io.EOF
	}
}

// anyone may be connected.
func anyone() error { return nil }

func (p *pipe) servers(names ...string) {
	list := &hostlink.ServerStatuses{}
	for _, n := range names {
		list.Servers = append(list.Servers, &hostlink.ServerStatus{Name: n, State: "STARTED", Healthy: true, Site: "default"})
	}
	p.up <- &hostlink.Report{Report: &hostlink.Report_Servers{Servers: list}}
}

// inBubble runs a test on a publisher in virtual time.
func inBubble(t *testing.T, test func(t *testing.T, p *Publisher, s *source, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{tree: fullHost(t, 2), revision: 1, newer: make(chan struct{})}
		p := New(Config{Source: s, Knows: s.knows, Clock: clock.Real(), Log: zerolog.Nop()})
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = p.Run(ctx) })
		test(t, p, s, ctx)
		cancel()
		running.Wait()
		synctest.Wait()
	})
}

// drain takes what is offered to a host until nothing is.
func drain(p *pipe) (snapshots []*hostlink.Snapshot, directories []*hostlink.Directory) {
	for {
		synctest.Wait()
		select {
		case i := <-p.down:
			if s := i.GetSnapshot(); s != nil {
				snapshots = append(snapshots, s)
			}
			if d := i.GetDirectory(); d != nil {
				directories = append(directories, d)
			}
		default:
			return snapshots, directories
		}
	}
}

func TestASlowHostGetsTheNewestSnapshotAndNoQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
		host := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		drain(host)
		for i := range 20 { // the host reads nothing meanwhile
			s.display(t, fmt.Sprint("name ", i))
			synctest.Wait()
		}
		got, _ := drain(host)
		if len(got) > 2 || len(got) == 0 || !strings.Contains(string(got[len(got)-1].Content), "name 19") {
			t.Errorf("%d snapshots; the last: %v", len(got), got)
		}
	})
}

func TestAHostIsNotBotheredByWhatItDoesNotUse(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
		host := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		drain(host)
		s.change(t, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "profile", Name: "unused"}}})
		if got, _ := drain(host); len(got) != 0 {
			t.Errorf("it got revision %d", got[0].Revision)
		}
	})
}

func TestTheNewestLinkOfAnInstallationReplacesItsOlderOnes(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		ended := make(chan error, 1)
		first := newPipe(ctx, "i")
		go func() { ended <- p.Serve("h", first, anyone) }()
		drain(first)
		other := newPipe(ctx, "another")
		if err := p.Serve("h", other, anyone); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), "another installation") {
			t.Errorf("another installation: %v", err)
		}
		second := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", second, anyone) }()
		drain(second)
		if err := <-ended; !problem.Is(err, problem.Conflict) {
			t.Errorf("the older link ended with %v", err)
		}
		if state, _ := p.Host("h"); !state.Connected {
			t.Error("the host counts as lost")
		}
	})
}

func TestAHostThatMayBeConnectedNoMoreIsCutOffWheneverThatIsDecided(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		revoked := problem.Forbidden.Errorf("revoked")
		var decided atomic.Bool
		allowed := func() error {
			if decided.Load() {
				return revoked
			}
			return nil
		}
		ended := make(chan error, 1)
		before, after := newPipe(ctx, "i"), newPipe(ctx, "i")
		go func() { ended <- p.Serve("h", before, allowed) }()
		drain(before)
		p.Recheck()
		if _, _ = drain(before); len(ended) != 0 {
			t.Fatalf("it was cut off: %v", <-ended)
		}
		decided.Store(true)
		p.Recheck()
		if err := <-ended; !errors.Is(err, revoked) {
			t.Errorf("the link ended with %v", err)
		}
		if err := p.Serve("h", after, allowed); !errors.Is(err, revoked) { // its hello was on its way
			t.Errorf("the next link ended with %v", err)
		}
		if state, _ := p.Host("h"); state.Connected {
			t.Error("it counts as connected")
		}
	})
}

func TestNothingRemainsOfAHostThatWasRemoved(t *testing.T) {
	remains := func(t *testing.T, p *Publisher, when string) {
		t.Helper()
		if all, _ := p.Hosts(); len(all) != 0 {
			t.Errorf("%s: its state is still %+v", when, all["h"])
		}
	}
	begin := func(p *Publisher, ctx context.Context) (*pipe, <-chan error, context.CancelFunc) {
		ctx, cut := context.WithCancel(ctx)
		host, ended := newPipe(ctx, "i"), make(chan error, 1)
		go func() { ended <- p.Serve("h", host, anyone) }()
		drain(host)
		return host, ended, cut
	}
	t.Run("by another controller, before its link ends", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
			_, ended, cut := begin(p, ctx)
			s.remove("h")
			p.Recheck()
			if state, _ := p.Host("h"); !state.Connected {
				t.Error("a host that is connected was forgotten")
			}
			cut()
			<-ended
			remains(t, p, "after its link")
		})
	})
	t.Run("by another controller, while it is away", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
			_, ended, cut := begin(p, ctx)
			cut()
			<-ended
			if all, _ := p.Hosts(); len(all) != 1 {
				t.Error("a host of the domain was forgotten as it is away")
			}
			s.remove("h")
			p.Recheck()
			remains(t, p, "after the revocation")
		})
	})
	t.Run("here, and its hello was under way", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
			removed := problem.Forbidden.Errorf("removed")
			s.remove("h")
			p.Expel("h", removed)
			if err := p.Serve("h", newPipe(ctx, "i"), func() error { return removed }); !errors.Is(err, removed) {
				t.Errorf("the link ended with %v", err)
			}
			remains(t, p, "after its hello")
		})
	})
	t.Run("in a later revision than its certificate", func(t *testing.T) {
		inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
			_, ended, cut := begin(p, ctx)
			cut()
			<-ended
			s.remove("h")
			s.change(t, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "profile", Name: "unused"}}})
			synctest.Wait()
			remains(t, p, "after the revision")
		})
	})
}

func TestANewLeaderMakesNoDirectoryBeforeItHeardFromAllHosts(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
		s.change(t, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "host", Name: "away"}}})
		p.Lead(true)
		host := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		host.servers("one", "two")
		_ = clock.Sleep(ctx, clock.Real(), settle/2) // virtual time
		if _, d := drain(host); len(d) != 0 {
			t.Errorf("a directory of %d servers while a host was awaited", len(d[0].Servers))
		}
		_ = clock.Sleep(ctx, clock.Real(), settle)
		if _, d := drain(host); len(d) != 1 || len(d[0].Servers) != 2 {
			t.Errorf("directories %v after the wait", d)
		}
	})
}

func TestAControllerThatLeadsAgainHearsFromAllHostsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		serve := func() (host *pipe, end func()) {
			ctx, cut := context.WithCancel(ctx)
			host = newPipe(ctx, "i")
			ended := make(chan error, 1)
			go func() { ended <- p.Serve("h", host, anyone) }()
			drain(host)
			return host, func() { cut(); <-ended }
		}
		heard := func(want bool, when string) {
			t.Helper()
			if got := p.HeardFromAll(); got != want {
				t.Errorf("heard from all %s: %v", when, got)
			}
		}
		p.Lead(true)
		host, end := serve()
		heard(false, "before it told of its servers")
		host.servers("one")
		drain(host)
		heard(true, "after it did")
		end()
		p.Lead(false)
		p.Lead(true)
		heard(false, "when it leads again and the host is away")
		host, end = serve()
		defer end()
		heard(false, "when the host is back and has told nothing")
		host.servers("one")
		drain(host)
		heard(true, "after it has told again")
	})
}

func TestAnOrderEndsWithItsAnswerItsTimeOrItsHost(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
		hostCtx, lose := context.WithCancel(ctx)
		host := newPipe(hostCtx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		drain(host)
		order := func() <-chan error {
			out := make(chan error, 1)
			go func() {
				_, err := p.Order(ctx, "h", Order{Kind: "stop", Server: "s0", Timeout: time.Minute})
				out <- err
			}()
			return out
		}
		answered := order()
		id := (<-host.down).GetOrder().GetId()
		host.up <- &hostlink.Report{Report: &hostlink.Report_OrderResult{OrderResult: &hostlink.OrderResult{Id: id, Problem: "no such server", Kind: "not-found"}}}
		if err := <-answered; !problem.Is(err, problem.NotFound) {
			t.Errorf("answered: %v", err)
		}
		silent := order()
		<-host.down
		for (<-host.down).GetCancel() == nil { // virtual time passes; probes come too
		}
		if err := <-silent; !problem.Is(err, problem.Timeout) {
			t.Errorf("silent: %v", err)
		}
		lost := order()
		<-host.down
		lose()
		if err := <-lost; !problem.Is(err, problem.Unavailable) {
			t.Errorf("lost: %v", err)
		}
		if err := <-order(); !problem.Is(err, problem.Unavailable) {
			t.Errorf("not connected: %v", err)
		}
	})
}

func TestAnOrderMayWaitUntilItsHostHasTakenTheNewestRevision(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
		p.Settle(ctx, "h") // it is not connected
		host := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		drain(host)
		settled := func() <-chan struct{} {
			done := make(chan struct{})
			go func() { p.Settle(ctx, "h"); close(done) }()
			return done
		}
		for _, c := range []struct{ name, problem string }{{"one", ""}, {"two", "no"}} {
			s.display(t, c.name)
			waits := settled()
			snapshots, _ := drain(host)
			select {
			case <-waits:
				t.Fatal("it did not wait for the host")
			default:
			}
			last := snapshots[len(snapshots)-1]
			host.up <- &hostlink.Report{Report: &hostlink.Report_Acknowledge{Acknowledge: &hostlink.Acknowledge{
				Revision: last.GetRevision(), Checksum: last.GetChecksum(), Problem: c.problem}}}
			<-waits
		}
	})
}

func TestAnOrderOfANewLeaderWaitsUntilItsHostIsHeardOf(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Publisher, s *source, ctx context.Context) {
		s.change(t, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "host", Name: "away"}}})
		p.Lead(true)
		order := func(name string) <-chan error {
			out := make(chan error, 1)
			go func() {
				_, err := p.Order(ctx, name, Order{Kind: "stop", Server: "s0", Timeout: time.Minute})
				out <- err
			}()
			synctest.Wait()
			return out
		}
		one, never := order("h"), order("away")
		if len(one) > 0 {
			t.Fatalf("it did not wait: %v", <-one)
		}
		host := newPipe(ctx, "i")
		go func() { _ = p.Serve("h", host, anyone) }()
		id := ""
		for id == "" {
			id = (<-host.down).GetOrder().GetId()
		}
		host.up <- &hostlink.Report{Report: &hostlink.Report_OrderResult{OrderResult: &hostlink.OrderResult{Id: id}}}
		if err := <-one; err != nil {
			t.Error(err)
		}
		began := clock.Real().Now()
		if err := <-never; !problem.Is(err, problem.Unavailable) || clock.Since(clock.Real(), began) > settle {
			t.Errorf("a host that stays away: %v after %s", err, clock.Since(clock.Real(), began))
		}
	})
}

// A host that was known when this controller led before may be connected elsewhere
// by now, and so may one whose relay breaks while controllers change.
func TestALeaderWaitsForAHostThatItKnewBefore(t *testing.T) {
	for name, lose := range map[string]func(p *Publisher, end func()){
		"it led before": func(p *Publisher, end func()) {
			p.Lead(false)
			end()
			synctest.Wait()
			p.Lead(true)
		},
		"its relay breaks": func(p *Publisher, end func()) {
			p.Lead(false)
			p.Lead(true)
			if !p.HeardFromAll() {
				t.Error("what is connected is not known")
			}
			end()
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *Publisher, _ *source, ctx context.Context) {
				p.Lead(true)
				_ = clock.Sleep(ctx, clock.Real(), 2*settle)
				_, end := relayed(ctx, p)
				lose(p, end)
				if p.HeardFromAll() {
					t.Error("a host that is away counts as heard from")
				}
				all := make(chan struct{})
				go func() { defer close(all); p.HearFromAll(ctx) }()
				result := make(chan error, 1)
				go func() {
					_, err := p.Order(ctx, "h", Order{Kind: "stop", Server: "s0", Timeout: time.Minute})
					result <- err
				}()
				_ = clock.Sleep(ctx, clock.Real(), settle/2)
				again, end := relayed(ctx, p)
				<-all
				id := (<-again.down).GetInstruction().GetOrder().GetId()
				again.up <- &peerlink.RelayReport{Host: "h", Report: &hostlink.Report{Report: &hostlink.Report_OrderResult{OrderResult: &hostlink.OrderResult{Id: id}}}}
				if err := <-result; err != nil {
					t.Error(err)
				}
				end()
			})
		})
	}
}

// relayPipe is the leader's end of a relay, in memory.
type relayPipe struct {
	ctx  context.Context
	up   chan *peerlink.RelayReport
	down chan *peerlink.RelayInstruction
}

func (r *relayPipe) Context() context.Context { return r.ctx }

func (r *relayPipe) Send(i *peerlink.RelayInstruction) error {
	if i.Instruction.GetOrder() != nil {
		r.down <- i
	}
	return nil
}

func (r *relayPipe) Recv() (*peerlink.RelayReport, error) {
	select {
	case m := <-r.up:
		return m, nil
	case <-r.ctx.Done():
		return nil, io.EOF
	}
}

// relayed relays host h, which has told of its servers, until end is called.
func relayed(ctx context.Context, p *Publisher) (r *relayPipe, end func()) {
	ctx, end = context.WithCancel(ctx)
	r = &relayPipe{ctx: ctx, up: make(chan *peerlink.RelayReport, 16), down: make(chan *peerlink.RelayInstruction, 16)}
	host := newPipe(ctx, "i")
	host.servers("one")
	for range 2 {
		r.up <- &peerlink.RelayReport{Host: "h", Report: <-host.up}
	}
	go func() { _ = p.ServeRelay("c2", r) }()
	synctest.Wait()
	return r, end
}
