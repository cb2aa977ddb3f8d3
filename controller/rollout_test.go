package controller_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// fleet is simulated hosts whose servers restart as the test wants.
type fleet struct {
	mu       sync.Mutex
	restarts []string            // "host/server", in order
	sick     map[string]bool     // servers that do not start with the change
	changed  func() bool         // whether the change is in force
	hold     func(server string) // called before a restart is done, if not nil
	// refuse, if not nil, may refuse an order.
	refuse func(o *hostlink.Order, server string) error
	// after, if not nil, may change what a restarted server is like.
	after func(server string, s *hostlink.ServerStatus)
}

func (f *fleet) obey(host string) func(*hostlink.Order, *hostlink.ServerStatus) error {
	return func(o *hostlink.Order, s *hostlink.ServerStatus) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.refuse != nil {
			if err := f.refuse(o, host+"/"+s.Name); err != nil {
				return err
			}
		}
		if f.hold != nil {
			f.hold(host + "/" + s.Name)
		}
		f.restarts = append(f.restarts, host+"/"+s.Name)
		if f.after != nil {
			f.after(host+"/"+s.Name, s)
		}
		if f.sick[host+"/"+s.Name] && f.changed() {
			s.State, s.Healthy, s.Message = "FAILED", false, "it does not like the change"
		}
		return nil
	}
}

func (f *fleet) order() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.restarts, " ")
}

// roster is a domain of two groups with two servers each, on two hosts.
func roster(t *testing.T, p *process, sick ...string) *fleet {
	t.Helper()
	p.furnish()
	p.do("add", "/server-group=api", "profile", "web", "socket-binding-group", "sockets")
	f := &fleet{sick: map[string]bool{}}
	for _, s := range sick {
		f.sick[s] = true
	}
	f.changed = func() bool {
		return p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result == "sso"
	}
	for _, host := range []string{"h1", "h2"} {
		p.join(&hosttest.Agent{Name: host, Operations: hostOperations(t, host, "web"), Obey: f.obey(host)})
		until(t, host+" is in the model", func() bool { _, err := p.try("read-resource", "/host="+host); return err == nil })
		p.do("add", "/host="+host+"/server-config=api", "group", "api", "port-offset", int64(500))
	}
	until(t, "all servers run", func() bool {
		return strings.Count(fmt.Sprint(p.do("read-attribute", "/host=*/server=*", "name", "status").Result), "STARTED") == 4
	})
	return f
}

// follow runs the change with a rollout and gives its events.
func (p *process) follow(plan string) (events []string, err error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	op := operation(p.t, "write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "sso", "{rollout", plan)
	_, err = p.cli.Follow(ctx, op, func(event any) error {
		m := event.(map[string]any)
		events = append(events, fmt.Sprintf("%v/%v %v", m["host"], m["server"], m["phase"]))
		return nil
	})
	return events, err
}

// ask runs the change with a rollout, beside the test. The leader may be deposed before
// the rollout is recorded: the change, which may have been made, is then taken back and
// asked for again.
func (p *process) ask(plan string) (answer <-chan error) {
	p.t.Helper()
	before := p.webContext()
	asked := make(chan error, 1)
	go func() {
		for {
			_, err := p.follow(plan)
			r, unlisted := p.try("rollouts", "")
			if list, _ := r.Result.([]any); !problem.Is(err, problem.Unavailable) || unlisted != nil || len(list) > 0 {
				asked <- err
				return
			}
			_, _ = p.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", before)
		}
	}()
	return asked
}

func (p *process) webContext() any {
	p.t.Helper()
	return p.do("read-attribute", "/profile=web/subsystem=identity", "name", "web-context").Result
}

func TestARolloutRestartsOneServerAtATime(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	events, err := p.follow("api,web")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.order(), "h1/api h2/api h1/web h2/web"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
	if got := strings.Join(events, ","); !strings.HasSuffix(got, "h2/web done") || !strings.Contains(got, "h1/api done") {
		t.Errorf("events %s", got)
	}
	if p.webContext() != "sso" {
		t.Errorf("web-context is %v", p.webContext())
	}
}

func TestAFailedGateRestoresTheRevisionBefore(t *testing.T) {
	tests := []struct {
		name, plan string
		sick       []string
		restored   bool
		untouched  []string // servers that never restart
	}{
		{"default: the first failure stops it", "default", []string{"h1/api"}, true, []string{"h2/api", "h1/web", "h2/web"}},
		{"in-series: the second group fails, the first goes back", "web,api rollback-across-groups", []string{"h2/api"}, true, nil},
		{"concurrent-groups", "web^api rollback-across-groups", []string{"h1/web"}, true, nil},
		{"all of a group at once", "web(rolling-to-servers=false),api", []string{"h2/web"}, true, []string{"h1/api", "h2/api"}},
		{"canary", "web(canary=1,batch-size=5),api", []string{"h1/web"}, true, []string{"h2/web", "h1/api", "h2/api"}},
		{"max-failed-servers tolerates one", "web(max-failed-servers=1),api", []string{"h1/web"}, false, nil},
		{"max-failure-percentage tolerates half", "web(max-failure-percentage=50),api", []string{"h2/web"}, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, controller.Config{})
			f := roster(t, p, tt.sick...)
			before := p.webContext()
			_, err := p.follow(tt.plan)
			if !tt.restored {
				if err != nil || p.webContext() != "sso" {
					t.Errorf("a tolerated failure: %v, web-context %v", err, p.webContext())
				}
				return
			}
			if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), "it does not like the change") || !strings.Contains(err.Error(), "restored") {
				t.Errorf("got %v", err)
			}
			if p.webContext() != before {
				t.Errorf("web-context is %v after the restoration", p.webContext())
			}
			for _, s := range tt.untouched {
				if strings.Contains(f.order(), s) {
					t.Errorf("%s was restarted: %s", s, f.order())
				}
			}
			states := fmt.Sprint(p.do("read-attribute", "/host=*/server=*", "name", "server-state").Result)
			if strings.Count(states, "result:running") != 4 {
				t.Errorf("servers are %s", states)
			}
		})
	}
}

func TestARollingRestartNeedsNoChange(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	p.do("rolling-restart", "/server-group=web", "{rollout", "web")
	if got, want := f.order(), "h1/web h2/web"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
}

func TestAStoredPlanIsUsedByItsName(t *testing.T) {
	p := start(t, controller.Config{})
	f := roster(t, p)
	p.do("add", "/rollout-plan=webfirst", "content", "web,api")
	if _, err := p.follow("id=webfirst"); err != nil {
		t.Fatal(err)
	}
	if got, want := f.order(), "h1/web h2/web h1/api h2/api"; got != want {
		t.Errorf("restarted %s, want %s", got, want)
	}
	if _, err := p.try("write-attribute", "/profile=web/subsystem=identity", "name", "web-context", "value", "x", "{rollout", "nobody"); !problem.Is(err, problem.NotFound) {
		t.Errorf("a plan with an unknown group: %v", err)
	}
}
