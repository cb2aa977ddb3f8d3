package rollout

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// seen is a balancer's usage: what it saw of the node h1.a.
func seen(requests, errors uint64, overdue uint32) *hostlink.ServerUsage {
	return &hostlink.ServerUsage{Requests: requests, Errors: errors, Backends: []*hostlink.BackendUsage{
		{Node: "h1.a", Requests: requests, Errors: errors, Overdue: overdue}, {Node: "h1.b", Requests: 9000, Errors: 9000}}}
}

// The server under test is ready and says nothing bad of itself; h9/lb is the
// balancer before it. The plan is the default one.
func TestTheDefaultPlanBringsBackAServerThatIsReadyAndDoesNotServe(t *testing.T) {
	safe := servergroups.DefaultPlan([]string{"g"}).String()
	for _, tt := range []struct {
		name string
		own  *hostlink.ServerUsage   // after the restart
		lb   []*hostlink.ServerUsage // one each second after the restart
		says string                  // "": it passes
	}{
		{"it answers", &hostlink.ServerUsage{Requests: 500, Errors: 3}, []*hostlink.ServerUsage{seen(1500, 43, 0)}, ""},
		{"it answers 500s", &hostlink.ServerUsage{Requests: 30, Errors: 30}, nil, "it answered 30 of 30 requests with 5xx; 20 percent may be"},
		{"few requests, all 500s", &hostlink.ServerUsage{Requests: 6, Errors: 6}, nil, "it answered 6 of 6"},
		{"four bad answers say nothing", &hostlink.ServerUsage{Requests: 4, Errors: 4}, nil, ""},
		{"a bad start, and then well", nil, []*hostlink.ServerUsage{seen(1010, 50, 0), seen(1100, 50, 0)}, ""},
		{"it answers nothing", nil, []*hostlink.ServerUsage{seen(1010, 50, 0), seen(1030, 70, 0)}, "load balancers saw 30 of 30 requests to it fail"},
		{"it hangs", nil, []*hostlink.ServerUsage{seen(1000, 40, 25)}, "load balancers saw 25 of 25 requests to it fail"},
		{"it hung for a moment", nil, []*hostlink.ServerUsage{seen(1000, 40, 12), seen(1030, 40, 0)}, ""},
		{"the balancer began anew", nil, []*hostlink.ServerUsage{seen(25, 1, 0)}, ""},
		{"the balancer began anew, and it fails", nil, []*hostlink.ServerUsage{seen(25, 9, 0)}, "9 of 25"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a", "h9/lb")
				// While it restarts it does not answer, and has a right to.
				s.change("h9/lb", func(st *hostlink.ServerStatus) { st.Group, st.Usage = "lbs", seen(1000, 40, 0) })
				s.obey = func(_, _ string, st *hostlink.ServerStatus) error {
					st.Usage = nil
					return nil
				}
				r := s.rollout(t, safe)
				r.Servers = r.Servers[:1]
				r = s.carryThis(t, r, func() {
					pause(100 * time.Millisecond)
					if tt.own != nil {
						s.change("h1/a", func(st *hostlink.ServerStatus) { st.Usage = tt.own })
					}
					for _, usage := range tt.lb {
						pause(time.Second)
						s.change("h9/lb", func(st *hostlink.ServerStatus) { st.Usage = usage })
					}
				})
				want := Done
				if tt.says != "" {
					want = Restored
				}
				if r.State != want || !strings.Contains(r.Problem, tt.says) {
					t.Errorf("%s: %s", r.State, r.Problem)
				}
			})
		})
	}
}

// A balancer answers what the servers behind it do.
func TestABalancerIsNotJudgedByWhatItsServersAnswer(t *testing.T) {
	if got := answers(nil, &hostlink.ServerStatus{Usage: seen(100, 90, 0)}); got.requests != 0 {
		t.Errorf("judged by %v", got)
	}
	alone := &hostlink.ServerStatus{Usage: &hostlink.ServerUsage{Requests: 100, Errors: 90}}
	if got := answers(nil, alone); got.failed != 90 {
		t.Errorf("a balancer that finds no server is judged by %v", got)
	}
}
