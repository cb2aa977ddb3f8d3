package controller_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

func TestARestorationGoesOnUnderANewLeader(t *testing.T) {
	all := cluster(t)
	handOver(t, all["c1"], "c1")
	watcher := all["c3"]
	f := roster(t, watcher, "h2/api")
	before := watcher.webContext()
	// The leader is lost while the first server goes back to the revision before.
	goingBack, goOn := make(chan struct{}), make(chan struct{})
	var back sync.Once
	f.hold = func(server string) {
		if server == "h1/api" && strings.Contains(strings.Join(f.restarts, " "), "h2/api") && !f.changed() {
			back.Do(func() { close(goingBack); <-goOn })
		}
	}
	asked := watcher.ask("api,web rollback-across-groups")
	select {
	case <-goingBack:
	case err := <-asked:
		t.Fatalf("it is over before the first server goes back: %v", err)
	}
	all["c1"].stop()
	// An operator goes on meanwhile; the restoration must not undo that. A write that
	// went out before the loss was noticed may have been done.
	until(t, "the operator's write is accepted", func() bool {
		_, err := watcher.try("add", "/profile=meanwhile")
		return err == nil || problem.Is(err, problem.Conflict)
	})
	close(goOn)
	<-asked // the one who asked may have lost sight of it
	var list []struct {
		State, Problem string
		Ended          time.Time
	}
	until(t, "the rollout is over", func() bool {
		r, err := watcher.try("rollouts", "")
		if err == nil {
			list = nil
			decode(t, r.Result, &list)
		}
		return len(list) == 1 && !list[0].Ended.IsZero()
	})
	if list[0].State != "restored" {
		t.Fatalf("the rollout is %s: %s", list[0].State, list[0].Problem)
	}
	if watcher.webContext() != before {
		t.Errorf("web-context is %v, want %v", watcher.webContext(), before)
	}
	watcher.do("read-resource", "/profile=meanwhile")
	var history []struct {
		Revision uint64
		Comment  string
	}
	decode(t, watcher.do("history", "").Result, &history)
	reverts := 0
	for _, h := range history {
		if strings.HasPrefix(h.Comment, "rollout ") {
			reverts++
		}
	}
	if reverts != 1 {
		t.Errorf("restored %d times: %+v", reverts, history)
	}
	until(t, "all servers run", func() bool {
		return strings.Count(fmt.Sprint(watcher.do("read-attribute", "/host=*/server=*", "name", "server-state").Result), "result:running") == 4
	})
	if strings.Contains(f.order(), "/web") {
		t.Errorf("servers that were never reached were restarted: %s", f.order())
	}
}

func TestTheGateAsksForTheClusterAndTheErrorRate(t *testing.T) {
	for _, tt := range []struct {
		name, plan string
		after      func(server string, s *hostlink.ServerStatus) // what a restarted server is like
		says       string
	}{
		{"all is well", "web(require-cluster,max-error-rate=1,soak=100ms),api", func(string, *hostlink.ServerStatus) {}, ""},
		{"errors after the restart", "web(max-error-rate=1,soak=10s),api", func(server string, s *hostlink.ServerStatus) {
			// The process goes on counting: simulated ones have no PID.
			s.Usage = &hostlink.ServerUsage{Requests: s.Usage.GetRequests() + 40, Errors: s.Usage.GetErrors() + 20}
		}, "it answered 20 of 40 requests with 5xx"},
		{"the default plan: ready, and answering 500s", "default", func(server string, s *hostlink.ServerStatus) {
			s.Usage = &hostlink.ServerUsage{Requests: s.Usage.GetRequests() + 40, Errors: s.Usage.GetErrors() + 40}
		}, "it answered 40 of 40 requests with 5xx; 20 percent may be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, controller.Config{})
			f := roster(t, p)
			// The fleet's servers are in a cluster by group, and see it at once.
			f.after = func(server string, s *hostlink.ServerStatus) {
				s.Members = []string{"h1.web", "h2.web"}
				s.Node = strings.Replace(server, "/", ".", 1)
				tt.after(server, s)
			}
			for _, host := range []string{"h1", "h2"} {
				p.do("restart", "/host="+host+"/server-config=web")
			}
			before := p.webContext()
			_, err := p.follow(tt.plan)
			if tt.says == "" && (err != nil || p.webContext() != "sso") {
				t.Errorf("%v, web-context %v", err, p.webContext())
			}
			if tt.says != "" && (!problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), tt.says) || p.webContext() != before) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARestorationLeavesWhatOperatorsChangedMeanwhile(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p, "h2/api") // it does not start with the change
	const at, provider = "/profile=web/subsystem=identity", "/profile=web/subsystem=identity/spi=x/provider=y"
	p.do("add", provider, "properties", map[string]any{"a": "1"})
	before := p.webContext()
	var once sync.Once
	f.hold = func(string) { // while the first server restarts
		once.Do(func() {
			p.do("write-attribute", at, "name", "display-name", "value", "an operator's")
			p.do("map-put", provider, "name", "properties", "key", "c", "value", "3")
			p.do("add", "/profile=meanwhile")
		})
	}
	change := profiles.Composite(
		operation(t, "write-attribute", at, "name", "web-context", "value", "sso"),
		operation(t, "write-attribute", at, "name", "display-name", "value", "the rollout's"),
		operation(t, "map-put", provider, "name", "properties", "key", "b", "value", "2"),
	)
	change.Headers = map[string]any{"rollout": "api,web rollback-across-groups"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := p.cli.Follow(ctx, change, func(any) error { return nil })
	if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), at+" display-name: was written again since") {
		t.Errorf("got %v", err)
	}
	if p.webContext() != before {
		t.Errorf("web-context is %v after the restoration", p.webContext())
	}
	if got := p.do("read-attribute", at, "name", "display-name").Result; got != "an operator's" {
		t.Errorf("display-name is %v", got)
	}
	if got := fmt.Sprint(p.do("read-attribute", provider, "name", "properties").Result); got != "map[a:1 c:3]" {
		t.Errorf("properties are %s", got)
	}
	p.do("read-resource", "/profile=meanwhile")
	var list []struct {
		State      string
		RestoredAs uint64 `json:"restored-as"`
		Kept       []string
	}
	decode(t, p.do("rollouts", "").Result, &list)
	if len(list) != 1 || list[0].State != "restored" || list[0].RestoredAs == 0 || len(list[0].Kept) != 1 {
		t.Errorf("rollouts %+v", list)
	}
}
