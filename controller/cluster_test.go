package controller_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// cluster starts three controllers that replicate, over real TLS.
func cluster(t *testing.T) map[string]*process {
	t.Helper()
	first := start(t, controller.Config{Name: "c1"})
	all := map[string]*process{"c1": first}
	for _, name := range []string{"c2", "c3"} {
		var token authority.Token
		r := first.do("add-controller", "", "name", name).Result.(map[string]any)
		token, err := authority.ParseToken(r["token"].(string))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = start(t, controller.Config{Name: name, Join: []string{first.native()}, JoinToken: token.String()})
	}
	// The raft library gives no vote to a controller that it does not know as a
	// member yet: until all know all, the loss of the leader may be one too many.
	for name, p := range all {
		until(t, name+" knows all", func() bool {
			var known []struct{ Name string }
			decode(t, p.do("controllers", "", "{allow-stale", true).Result, &known)
			return len(known) == len(all)
		})
	}
	return all
}

// again starts a stopped controller on the same directory and addresses, but for
// that of its replication.
func (p *process) again() *process {
	p.t.Helper()
	cfg := p.cfg
	cfg.Join, cfg.JoinToken = nil, ""
	return start(p.t, cfg)
}

func leaderOf(t *testing.T, of *process) string {
	t.Helper()
	name := ""
	until(t, "there is a leader", func() bool {
		r, err := of.try("controllers", "")
		if err != nil {
			return false
		}
		var list []struct {
			Name   string
			Leader bool
		}
		decode(t, r.Result, &list)
		for _, c := range list {
			if c.Leader {
				name = c.Name
			}
		}
		return name != ""
	})
	return name
}

func TestThreeControllersActAsOne(t *testing.T) {
	all := cluster(t)
	all["c2"].furnish() // written through a follower
	if got := fmt.Sprint(all["c3"].do("read-children-names", "", "child-type", "server-group").Result); got != "[web]" {
		t.Errorf("a read through another follower gives %s", got)
	}
	// A host that is connected to a follower is seen and ordered through another.
	directories := make(chan *hostlink.Directory, 64)
	all["c2"].join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "one"), Directed: func(d *hostlink.Directory) { directories <- d }})
	all["c3"].join(&hosttest.Agent{Name: "h2", Operations: hostOperations(t, "h2", "two")})
	until(t, "the directory lists the servers of both hosts", func() bool { return len((<-directories).Servers) == 2 })
	if got := all["c3"].do("stop", "/host=h1/server-config=one").Result; got != "STOPPED" {
		t.Errorf("an order through another controller answers %v", got)
	}
}

func TestALostLeaderIsNoticedByTheNextWriteOnly(t *testing.T) {
	all := cluster(t)
	all["c1"].furnish()
	for round, victim := range []string{"c1", ""} {
		if victim == "" {
			victim = leaderOf(t, all["c1"])
		}
		all[victim].stop()
		began := clock.Real().Now()
		survivor := all["c2"]
		if victim == "c2" {
			survivor = all["c3"]
		}
		// A write that went out before the loss was noticed may have to be repeated.
		// That it is accepted within 2 s is tested in consensus, in virtual time.
		value := fmt.Sprint("round", round)
		until(t, "a write is accepted", func() bool {
			_, err := survivor.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", value)
			return err == nil
		})
		t.Logf("writes again after %s", clock.Since(clock.Real(), began).Round(time.Millisecond))
		all[victim] = all[victim].again()
		if got := all[victim].do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result; got != value {
			t.Errorf("the restarted controller reads %v, want %s", got, value)
		}
	}
}

func TestARolloutGoesOnUnderANewLeader(t *testing.T) {
	all := cluster(t)
	handOver(t, all["c1"], "c1")
	watcher := all["c3"]
	f := roster(t, watcher)
	// The leader is lost while the second server restarts.
	restarting, goOn := make(chan struct{}), make(chan struct{})
	f.changed = func() bool { return true }
	f.sick["h2/api"] = false
	f.hold = func(server string) {
		if server == "h2/api" {
			select {
			case <-restarting:
			default:
				close(restarting)
				<-goOn
			}
		}
	}
	asked := watcher.ask("api,web rollback-across-groups")
	select {
	case <-restarting:
	case err := <-asked:
		t.Fatalf("it is over before the second server restarts: %v", err)
	}
	all["c1"].stop()
	close(goOn)
	<-asked // the one who asked may have lost sight of it
	var last any
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("rollouts: %v", last)
		}
	})
	until(t, "the rollout is done", func() bool {
		r, err := watcher.try("rollouts", "")
		if last = r.Result; err != nil {
			last = err
		}
		return err == nil && allDone(t, r.Result)
	})
	for _, s := range []string{"h1/api", "h2/api", "h1/web", "h2/web"} {
		if !strings.Contains(f.order(), s) {
			t.Errorf("%s was never restarted: %s", s, f.order())
		}
	}
	if strings.Count(f.order(), "h1/api") != 1 {
		t.Errorf("the first server was restarted again: %s", f.order())
	}
}

func allDone(t *testing.T, result any) bool {
	var list []struct{ State string }
	decode(t, result, &list)
	return len(list) == 1 && list[0].State == "done"
}

// handOver gives a controller the lead. Who has it may lose it meanwhile, and a
// transfer may be too slow for the raft library: it is then asked for again.
func handOver(t *testing.T, p *process, to string) {
	t.Helper()
	until(t, to+" leads", func() bool {
		_, err := p.try("transfer-leadership", "", "to", to)
		return err == nil && leaderOf(t, p) == to
	})
}

func TestControllersComeAndGo(t *testing.T) {
	all := cluster(t)
	handOver(t, all["c3"], "c2")
	all["c3"].do("remove-controller", "", "name", "c1")
	if got := fmt.Sprint(all["c3"].do("controllers", "").Result); strings.Contains(got, "name:c1") {
		t.Errorf("controllers: %s", got)
	}
	all["c3"].furnish()
}

func TestTheControllerThatLeadsIsNotRemoved(t *testing.T) {
	alone := start(t, controller.Config{Name: "c1"}) // nobody takes the lead from it
	alone.refused(problem.Precondition, []string{"it leads", ":transfer-leadership"}, "remove-controller", "", "name", "c1")
}

// A controller that was removed asks to be a member again as soon as it learns
// that it is none, by connections that stand, and after its next start by new ones.
func TestARemovedControllerStaysOut(t *testing.T) {
	all := cluster(t)
	handOver(t, all["c3"], "c2")
	all["c3"].do("remove-controller", "", "name", "c1")
	all["c1"].alone = true // it is no member any more
	if _, err := all["c1"].try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "mine"); err == nil {
		t.Error("it still writes")
	}
	all["c1"].stop()

	cfg := all["c1"].cfg
	refused := make(chan string, 1)
	cfg.Log = zerolog.New(lines(func(line string) {
		if strings.Contains(line, "cannot become a member") && !strings.Contains(line, "no controller leads") {
			select {
			case refused <- line:
			default:
			}
		}
	}))
	c, err := controller.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	if line := <-refused; !strings.Contains(line, "if this controller was removed") {
		t.Errorf("it says %s", line)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(all["c3"].do("controllers", "").Result); strings.Contains(got, "name:c1") {
		t.Errorf("controllers: %s", got)
	}
}

// lines is a writer that gives each line that is written to a function.
type lines func(string)

func (l lines) Write(p []byte) (int, error) {
	l(string(p))
	return len(p), nil
}

func TestAFalseTokenDoesNotMakeAController(t *testing.T) {
	first := start(t, controller.Config{Name: "c1"})
	r := first.do("add-controller", "", "name", "c2").Result.(map[string]any)
	token, err := authority.ParseToken(r["token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	token.Secret = "guess"
	c, err := controller.New(controller.Config{Dir: t.TempDir(), Native: "127.0.0.1:0", HTTP: "127.0.0.1:0", Replication: "127.0.0.1:0",
		Join: []string{first.native()}, JoinToken: token.String(), Clock: clock.Real(), Log: first.cfg.Log})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "secret is wrong") {
		t.Errorf("got %v", err)
	}
}
