package controller_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const authorityAt = "/core-service=management/authority=domain"

// authorityNow is the resource of the domain's authority.
type authorityNow struct {
	Phase       string   `json:"phase"`
	Fingerprint string   `json:"fingerprint"`
	AlsoTrusted string   `json:"also-trusted"`
	WaitsFor    []string `json:"waits-for"`
}

func (p *process) authority() (now authorityNow) {
	p.t.Helper()
	decode(p.t, p.do("read-resource", authorityAt, "include-runtime", true).Result, &now)
	return now
}

// nobody waits until no one stands in the way of the next step.
func (p *process) nobody() {
	p.t.Helper()
	until(p.t, "nobody stands in the way", func() bool { return len(p.authority().WaitsFor) == 0 })
}

// step takes a step of a rotation. The leader may be deposed meanwhile, and the next
// one lack a host for a moment: it is then asked for again.
func (p *process) step(phase, then string) {
	p.t.Helper()
	eventually(p.t, "the authority is "+then, func() (bool, any) {
		_, err := p.try("rotate-authority", "", "phase", phase)
		now := p.authority()
		return now.Phase == then, fmt.Sprintf("%+v after %v", now, err)
	})
}

func (p *process) invite(host string) authority.Token {
	p.t.Helper()
	r := p.do("add-host", "", "name", host).Result.(map[string]any)
	token, err := authority.ParseToken(r["token"].(string))
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// refused runs an operation that must be refused, for reasons that contain all the
// parts.
func (p *process) refused(kind problem.Kind, parts []string, name, address string, params ...any) {
	p.t.Helper()
	var err error
	eventually(p.t, name+" is refused", func() (bool, any) { // a leader that is deposed refuses nothing
		_, err = p.try(name, address, params...)
		return !problem.Is(err, problem.Unavailable), err
	})
	if !problem.Is(err, kind) {
		p.t.Fatalf("%s%v: %v, want %v", name, params, err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			p.t.Errorf("%s%v: %q does not say %q", name, params, err, part)
		}
	}
}

func TestTheAuthorityIsReplacedInPhasesAndNobodyIsTurnedAway(t *testing.T) {
	all := cluster(t)
	p := all["c1"]
	p.furnish()
	first := p.authority()
	if first.Phase != "settled" || first.Fingerprint == "" || first.AlsoTrusted != "" {
		t.Fatalf("%+v", first)
	}
	h1 := all["c2"].join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "one")})
	h2 := all["c3"].join(&hosttest.Agent{Name: "h2", Operations: hostOperations(t, "h2", "two")})
	old := p.invite("h3")
	hold := requests(t, all, first.Fingerprint)

	p.refused(problem.Precondition, []string{"no rotation is under way"}, "rotate-authority", "", "phase", "issue")
	p.refused(problem.Precondition, []string{"no rotation is under way"}, "rotate-authority", "", "phase", "cancel")
	all["c2"].step("introduce", "introduced")
	p.refused(problem.Precondition, []string{"a new authority is introduced"}, "rotate-authority", "", "phase", "introduce")
	p.refused(problem.Precondition, []string{"introduced"}, "rotate-authority", "", "phase", "finish")
	if h1.Issuer() != first.Fingerprint {
		t.Error("the new authority issues before phase issue")
	}
	p.nobody()
	introduced := p.authority()
	p.step("issue", "issuing")
	until(t, "the hosts renew at once", func() bool {
		return h1.Issuer() == introduced.AlsoTrusted && h2.Issuer() == introduced.AlsoTrusted
	})
	// A token from before is good until the end.
	joined := &hosttest.Agent{Name: "h3", Installation: "3"}
	all["c2"].admit(joined, old)
	p.nobody()
	hold() // the pinned fingerprint is of the old authority: good until here
	p.step("finish", "settled")
	if now := p.authority(); now.Phase != "settled" || now.Fingerprint != introduced.AlsoTrusted || now.AlsoTrusted != "" {
		t.Errorf("after the end: %+v", now)
	}
	until(t, "all controllers trust the new one alone", func() bool {
		err := joined.Join(t.Context(), all["c2"].native(), old)
		return err != nil && strings.Contains(err.Error(), "rotated")
	})
	until(t, "the hosts are still there", func() bool {
		_, one := p.try("read-resource", "/host=h1/server=one")
		_, two := p.try("read-resource", "/host=h2/server=two")
		return one == nil && two == nil
	})
	// And again, all at once.
	eventually(t, "a whole rotation is begun", func() (bool, any) {
		_, err := p.try("rotate-authority", "", "timeout", 30)
		return err == nil || p.authority().Fingerprint != introduced.AlsoTrusted, err // or the leader was deposed meanwhile
	})
	eventually(t, "it is over", func() (bool, any) { now := p.authority(); return now.Phase == "settled", now })
	if now := p.authority(); now.Fingerprint == introduced.AlsoTrusted || h1.Issuer() != now.Fingerprint || h2.Issuer() != now.Fingerprint {
		t.Errorf("after the second rotation: %+v, the hosts show %s and %s", now, h1.Issuer(), h2.Issuer())
	}
	// What was renewed is what a controller boots with.
	all["c2"].stop()
	again := all["c2"].again()
	until(t, "a restarted controller reads", func() bool { _, err := again.try("controllers", ""); return err == nil })
}

// requests asks every controller over TLS, by a pinned fingerprint, with new
// connections, until the function that comes back is called: none may fail.
func requests(t *testing.T, all map[string]*process, fingerprint string) func() {
	t.Helper()
	all["c1"].do("add-user", "", "name", "watcher", "password", "watching 4 all-day!", "roles", []any{"Monitor"})
	ask := func(p *process) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err := client.Dial(ctx, client.Config{Addresses: []string{p.native()}, Fingerprint: fingerprint,
			User: "watcher", Password: func() (string, error) { return "watching 4 all-day!", nil }, Clock: clock.Real()})
		if err == nil {
			c.Close()
		}
		return err
	}
	for name, p := range all { // a login reads what its own controller has
		until(t, "controller "+name+" knows the user", func() bool { return ask(p) == nil })
	}
	ctx, cancel := context.WithCancel(context.Background())
	var asked atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for name, p := range all {
				if err := ask(p); err != nil {
					t.Errorf("controller %s, after %d requests: %v", name, asked.Load(), err)
					return
				}
				asked.Add(1)
			}
			_ = clock.Sleep(ctx, clock.Real(), 20*time.Millisecond)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	until(t, "requests are answered", func() bool { return asked.Load() > 3 })
	return func() {
		stop()
		t.Logf("%d connections, none refused", asked.Load())
	}
}

func TestARotationThatIsCancelledLeavesTheOldAuthority(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	h := p.join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "one")})
	until(t, "the host is there", func() bool { _, err := p.try("read-resource", "/host=h1/server=one"); return err == nil })
	first := p.authority().Fingerprint
	// Before it issued: at once.
	p.do("rotate-authority", "", "phase", "introduce")
	p.do("rotate-authority", "", "phase", "cancel")
	if now := p.authority(); now.Phase != "settled" || now.Fingerprint != first {
		t.Errorf("cancelled when introduced: %+v", now)
	}
	// After it: everybody renews back first.
	p.do("rotate-authority", "", "phase", "introduce")
	p.nobody()
	p.do("rotate-authority", "", "phase", "issue")
	until(t, "the host renews", func() bool { return h.Issuer() != first })
	p.do("rotate-authority", "", "phase", "cancel", "timeout", 30)
	if now := p.authority(); now.Phase != "settled" || now.Fingerprint != first || h.Issuer() != first {
		t.Errorf("cancelled when issuing: %+v, the host shows %s", now, h.Issuer())
	}
	p.refused(problem.Invalid, []string{"phase", "cancel, finish, introduce, issue"}, "rotate-authority", "", "phase", "begin")
	p.refused(problem.Invalid, []string{"phse"}, "rotate-authority", "", "phse", "issue")
}

func TestWhoDoesNotFollowARotationIsNamedAndCanBeLeftBehind(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "one")})
	stubborn := p.join(&hosttest.Agent{Name: "h2", Operations: hostOperations(t, "h2", "two"), Stubborn: true})
	until(t, "both hosts are there", func() bool {
		_, one := p.try("read-resource", "/host=h1/server=one")
		_, two := p.try("read-resource", "/host=h2/server=two")
		return one == nil && two == nil
	})
	first := p.authority().Fingerprint
	p.refused(problem.Timeout, []string{"waits for", "h2", "phase=cancel"}, "rotate-authority", "", "timeout", 2)
	p.refused(problem.Precondition, []string{"host h2", "force=true"}, "rotate-authority", "", "phase", "issue")
	p.do("rotate-authority", "", "phase", "issue", "force", true)
	until(t, "only the stubborn host stands in the way", func() bool {
		w := p.authority().WaitsFor
		return len(w) == 1 && strings.Contains(w[0], "host h2")
	})
	if stubborn.Issuer() != first {
		t.Fatal("it renewed")
	}
	p.refused(problem.Precondition, []string{"host h2", "join again", "force=true"}, "rotate-authority", "", "phase", "finish")
	p.do("rotate-authority", "", "phase", "finish", "force", true)
	until(t, "it is refused, and told why", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := stubborn.Connect(ctx, p.native())
		return err != nil && strings.Contains(err.Error(), "must join again with a new token")
	})
}

func TestAHostThatIsAwayBetweenTwoPhasesCatchesUp(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	first := p.authority().Fingerprint
	away := &hosttest.Agent{Name: "h1", Installation: "1", Operations: hostOperations(t, "h1", "one")}
	if err := away.Join(t.Context(), p.native(), p.invite("h1")); err != nil {
		t.Fatal(err)
	}
	once, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() { defer close(left); _ = away.Connect(once, p.native()) }()
	until(t, "the host is there", func() bool { _, err := p.try("read-resource", "/host=h1/server=one"); return err == nil })
	leave()
	<-left
	until(t, "it is away", func() bool { _, err := p.try("reload", "/host=h1"); return err != nil })
	p.do("rotate-authority", "", "phase", "introduce")
	p.nobody()
	p.do("rotate-authority", "", "phase", "issue")
	p.refused(problem.Precondition, []string{"host h1"}, "rotate-authority", "", "phase", "finish")
	// It trusts the old authority alone, and shows a certificate of it.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = away.Connect(ctx, p.native()) }()
	defer func() { cancel(); <-done }()
	until(t, "it renews", func() bool { return away.Issuer() != first })
	p.nobody()
	p.do("rotate-authority", "", "phase", "finish")
}

func TestARotationGoesOnUnderAnotherLeader(t *testing.T) {
	all := cluster(t)
	all["c1"].furnish()
	h := all["c2"].join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "one")})
	stubborn := &hosttest.Agent{Name: "h2", Operations: hostOperations(t, "h2", "two"), Stubborn: true}
	all["c2"].join(stubborn)
	until(t, "both hosts are there", func() bool {
		_, one := all["c1"].try("read-resource", "/host=h1/server=one")
		_, two := all["c1"].try("read-resource", "/host=h2/server=two")
		return one == nil && two == nil
	})
	first := all["c1"].authority().Fingerprint
	eventually(t, "it waits for the host that does not follow", func() (bool, any) {
		_, err := all["c2"].try("rotate-authority", "", "timeout", 1)
		// On a busy machine it waits for the others, too, or the leader is deposed.
		if err == nil || !problem.Is(err, problem.Timeout) && !problem.Is(err, problem.Unavailable) {
			t.Fatalf("rotate-authority: %v", err)
		}
		return problem.Is(err, problem.Timeout) && strings.Contains(err.Error(), "waits for: host h2 (its agent, version test, has not said that it trusts the new authority); it goes on"), err
	})
	leader := leaderOf(t, all["c2"])
	eventually(t, "another leads than c2, which keeps the hosts", func() (bool, any) {
		if leader != "c2" {
			return true, nil
		}
		_, err := all["c2"].try("transfer-leadership", "", "to", "c1")
		leader = leaderOf(t, all["c2"])
		return leader != "c2", err
	})
	all[leader].stop()
	until(t, "another leads", func() bool { return leaderOf(t, all["c2"]) != leader })
	all[leader] = all[leader].again()
	until(t, "the host that does not follow is out of the way", func() bool {
		_, err := all["c2"].try("remove-host", "", "name", "h2")
		return err == nil || problem.Is(err, problem.NotFound)
	})
	eventually(t, "the rotation goes on by itself", func() (bool, any) {
		r, err := all["c2"].try("read-resource", authorityAt, "include-runtime", true)
		if err != nil {
			return false, err
		}
		var now authorityNow
		decode(t, r.Result, &now)
		return now.Phase == "settled" && now.Fingerprint != first && h.Issuer() == now.Fingerprint, r.Result
	})
}
