package rollout

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

func TestServersAreBroughtOverInThePlansOrder(t *testing.T) {
	for _, tt := range []struct{ plan, orders string }{
		{"g", "h1/a restart, h1/b restart, h2/a restart, h2/b restart"},
		{"g(canary=1)", "h1/a restart, h1/b restart, h2/a restart, h2/b restart"},
	} {
		t.Run(tt.plan, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a", "h1/b", "h2/a", "h2/b")
				if r := s.carry(t, tt.plan); r.State != Done || states(r) != "done done done done" {
					t.Errorf("%s: %s", r.State, states(r))
				}
				if s.told() != tt.orders {
					t.Errorf("orders %s", s.told())
				}
			})
		})
	}
}

func TestAServerNeedsWhatItsStatusAndTheChangeSay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		need   Need
		status *hostlink.ServerStatus
		want   string
	}{
		{"not there yet", NeedReload, nil, "start"},
		{"crashed", NeedNothing, &hostlink.ServerStatus{State: "BACKOFF"}, "restart"},
		{"says restart", NeedReload, &hostlink.ServerStatus{State: "STARTED", Required: "restart-required"}, "restart"},
		{"says reload", NeedNothing, &hostlink.ServerStatus{State: "STARTED", Required: "reload-required"}, "reload"},
		{"has not said it yet", NeedReload, &hostlink.ServerStatus{State: "STARTED"}, "reload"},
		{"live", NeedNothing, &hostlink.ServerStatus{State: "STARTED"}, ""},
	} {
		if got := need(Server{Need: tt.need}, tt.status); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAStoppedServerIsSkipped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a", "h1/b")
		s.change("h1/a", func(st *hostlink.ServerStatus) { st.State, st.Healthy = "STOPPED", false })
		if r := s.carry(t, "g"); r.State != Done || states(r) != "skipped done" || s.told() != "h1/b restart" {
			t.Errorf("%s: %s; %s", r.State, states(r), s.told())
		}
	})
}

// A host that is away is waited for, for as long as a machine takes to boot, or
// is skipped soon where the plan tolerates failed servers.
func TestAHostThatIsAwayIsWaitedForOrSkippedAsThePlanSays(t *testing.T) {
	away := func(s *stage, connected bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		h := s.hosts["h1"]
		h.Connected = connected
		s.hosts["h1"] = h
		close(s.changed)
		s.changed = make(chan struct{})
	}
	for _, tt := range []struct {
		name   string
		plan   string
		noted  time.Duration // that it is away
		back   time.Duration // 0: never
		state  State
		states string
		took   time.Duration
	}{
		{"back after a minute", "g", 0, time.Minute, Done, "done done", time.Minute},
		{"back after a minute, noticed late", "g", 15 * time.Second, time.Minute, Done, "done done", time.Minute},
		{"never back", "g", 0, 0, Failed, "failed pending", absentTimeout},
		{"never back, noticed late", "g", 15 * time.Second, 0, Failed, "failed pending", absentTimeout},
		{"skipped", "g(max-failed-servers=1)", 0, 0, Done, "failed done", takeTimeout},
		{"skipped, noticed late", "g(max-failed-servers=1)", 15 * time.Second, 0, Done, "failed done", takeTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a", "h2/b")
				s.stale["h1"] = true
				time.AfterFunc(tt.noted, func() { away(s, false) })
				if tt.back > 0 {
					time.AfterFunc(tt.back, func() {
						s.mu.Lock()
						delete(s.stale, "h1")
						s.mu.Unlock()
						away(s, true)
					})
				}
				began := clock.Real().Now()
				r := s.carry(t, tt.plan)
				took := clock.Since(clock.Real(), began)
				if r.State != tt.state || states(r) != tt.states || took < tt.took {
					t.Errorf("%s: %s: %s after %s", r.State, states(r), r.Problem, took)
				}
			})
		})
	}
}

// A new leader hears of a host before it hears of its servers: what it has not
// heard of yet runs, and is restarted all the same.
func TestAHostThatHasNotToldOfItsServersIsWaitedFor(t *testing.T) {
	tell := func(s *stage, servers []*hostlink.ServerStatus) {
		s.mu.Lock()
		defer s.mu.Unlock()
		h := s.hosts["h1"]
		h.Servers = servers
		s.hosts["h1"] = h
		close(s.changed)
		s.changed = make(chan struct{})
	}
	for _, tt := range []struct {
		name   string
		after  time.Duration // 0: never
		state  State
		states string
		orders string
		says   string
	}{
		{"it tells", 5 * time.Second, Done, "done done", "h1/a restart, h2/b restart", ""},
		{"it never tells", 0, Failed, "failed pending", "", "host h1 has not told of its servers within 30s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a", "h2/b")
				r := s.rollout(t, "g")
				untold := s.hosts["h1"].Servers
				tell(s, nil)
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { tell(s, untold) })
				}
				r = s.carryThis(t, r, func() {})
				if r.State != tt.state || states(r) != tt.states || !strings.Contains(r.Problem, tt.says) {
					t.Errorf("%s: %s: %s", r.State, states(r), r.Problem)
				}
				if s.told() != tt.orders {
					t.Errorf("orders %s, want %s", s.told(), tt.orders)
				}
			})
		})
	}
}

func TestAGateThatIsNotPassedInTimeFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		spoil   func(s *stage)
		says    string
		atLeast time.Duration
	}{
		{"never healthy", func(s *stage) {
			s.obey = func(_, _ string, st *hostlink.ServerStatus) error { st.Healthy = st.Revision != 2; return nil }
		}, "it did not become healthy within 1m0s", gateTimeout},
		{"the host does not take the revision", func(s *stage) { s.stale["h1"] = true }, "host h1 has not taken the revision within 30s", takeTimeout},
		{"broken", func(s *stage) {
			s.obey = func(_, _ string, st *hostlink.ServerStatus) error {
				st.State, st.Message = "FAILED", "port 8080 is taken"
				return nil
			}
		}, "it is FAILED: port 8080 is taken", 0},
		{"the order is refused", func(s *stage) {
			s.obey = func(string, string, *hostlink.ServerStatus) error { return problem.Precondition.Errorf("no memory") }
		}, "no memory", 0},
		{"reload still required", func(s *stage) {
			s.obey = func(_, _ string, st *hostlink.ServerStatus) error {
				st.Required, st.Revision = "reload-required", 1 // it runs what it ran before
				return nil
			}
		}, "it did not become healthy", gateTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a", "h1/b")
				tt.spoil(s)
				began := clock.Real().Now()
				r := s.carry(t, "g")
				// The restoration fails as the rollout did: nothing got better.
				if r.State != Failed || !strings.Contains(r.Problem, tt.says) || r.Servers[1].State != Pending {
					t.Errorf("%s: %s: %s", r.State, states(r), r.Problem)
				}
				if took := clock.Since(clock.Real(), began); took < tt.atLeast {
					t.Errorf("it failed after %s", took)
				}
				if len(s.restored) != 1 || s.restored[0] != 1 {
					t.Errorf("restored %v", s.restored)
				}
			})
		})
	}
}

func TestInTheClusterIsSeeingTheSameMembers(t *testing.T) {
	all := []string{"h1.a", "h1.b", "h2.a"}
	together := func(s *stage) {
		for _, name := range []string{"h1/a", "h1/b", "h2/a"} {
			s.change(name, func(st *hostlink.ServerStatus) { st.Members = all })
		}
	}
	for _, tt := range []struct {
		name string
		set  func(s *stage)
		says string // "" passes
	}{
		{"all see all", together, ""},
		{"in another order", func(s *stage) {
			together(s)
			s.change("h2/a", func(st *hostlink.ServerStatus) { st.Members = []string{"h2.a", "h1.b", "h1.a"} })
		}, ""},
		{"it reports none", func(*stage) {}, "reports no members"},
		{"it is alone", func(s *stage) {
			together(s)
			s.change("h1/a", func(st *hostlink.ServerStatus) { st.Members = []string{"h1.a"} })
		}, "lacks h1.b, h2.a"},
		{"another does not see it", func(s *stage) {
			together(s)
			s.change("h2/a", func(st *hostlink.ServerStatus) { st.Members = []string{"h1.b", "h2.a"} })
		}, "h2.a sees [h1.b h2.a]"},
		{"who is down does not count", func(s *stage) {
			together(s)
			s.change("h2/a", func(st *hostlink.ServerStatus) { st.State, st.Members = "STOPPED", nil })
		}, ""},
		{"another site is another cluster", func(s *stage) {
			together(s)
			for _, name := range []string{"h1/a", "h1/b"} {
				s.change(name, func(st *hostlink.ServerStatus) { st.Members = all[:2] })
			}
			s.change("h2/a", func(st *hostlink.ServerStatus) { st.Site, st.Members = "muc", all[2:] })
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage("h1/a", "h1/b", "h2/a")
			tt.set(s)
			hosts, _ := s.Hosts()
			got := apart(hosts, hosts["h1"].Servers[0])
			if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("got %q, want %q", got, tt.says)
			}
		})
	}
}

func TestRequireClusterWaitsUntilTheServerIsBackInIt(t *testing.T) {
	both := []string{"h1.a", "h2.a"}
	for _, comes := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			s := newStage("h1/a", "h2/a")
			s.change("h2/a", func(st *hostlink.ServerStatus) { st.Members = both })
			s.obey = func(_, _ string, st *hostlink.ServerStatus) error { st.Members = []string{st.Node}; return nil }
			began := clock.Real().Now()
			r := s.carryWith(t, "g(require-cluster=true)", func() {
				for _, name := range []string{"h1/a", "h2/a"} {
					pause(5 * time.Second)
					if comes {
						s.change(name, func(st *hostlink.ServerStatus) { st.Members = both })
					}
				}
			})
			took := clock.Since(clock.Real(), began)
			switch {
			case comes && (r.State != Done || took != 10*time.Second):
				t.Errorf("it came: %s after %s: %s", r.State, took, r.Problem)
			case !comes && (r.State == Done || !strings.Contains(r.Problem, "it did not come into the cluster: it sees [h1.a], which lacks h2.a")):
				t.Errorf("it did not come: %s: %s", r.State, r.Problem)
			}
		})
	}
}

func TestMaxErrorRateIsJudgedOverTheSoak(t *testing.T) {
	usage := func(requests, errors uint64) *hostlink.ServerUsage {
		return &hostlink.ServerUsage{Requests: requests, Errors: errors}
	}
	for _, tt := range []struct {
		name   string
		plan   string
		counts []*hostlink.ServerUsage // one each 5 s after the order
		says   string
	}{
		{"no errors", "g(max-error-rate=0)", []*hostlink.ServerUsage{usage(100, 0), usage(200, 0)}, ""},
		{"few errors", "g(max-error-rate=5)", []*hostlink.ServerUsage{usage(100, 2), usage(200, 10)}, ""},
		{"too many", "g(max-error-rate=5)", []*hostlink.ServerUsage{usage(100, 2), usage(200, 11)}, "it answered 11 of 200 requests with 5xx; 5 percent may be"},
		{"none may be", "g(max-error-rate=0)", []*hostlink.ServerUsage{usage(1000, 1)}, "it answered 1 of 1000"},
		{"one of two says little", "g(max-error-rate=5)", []*hostlink.ServerUsage{usage(2, 1)}, ""},
		{"at the end of the soak", "g(max-error-rate=5,soak=7s)", []*hostlink.ServerUsage{usage(10, 9)}, "9 of 10"},
		{"after the soak", "g(max-error-rate=5,soak=4s)", []*hostlink.ServerUsage{usage(10, 9)}, ""},
		{"not asked", "g(soak=20s)", []*hostlink.ServerUsage{usage(10, 9)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newStage("h1/a")
				// What the process before answered is not its fault.
				s.change("h1/a", func(st *hostlink.ServerStatus) { st.Usage = usage(5000, 4000) })
				s.obey = func(_, _ string, st *hostlink.ServerStatus) error { st.Usage = nil; return nil }
				r := s.carryWith(t, tt.plan, func() {
					for _, count := range tt.counts {
						pause(5 * time.Second)
						s.change("h1/a", func(st *hostlink.ServerStatus) { st.Usage = count })
					}
				})
				if tt.says == "" && r.State != Done || !strings.Contains(r.Problem, tt.says) {
					t.Errorf("%s: %s", r.State, r.Problem)
				}
			})
		})
	}
}

func TestErrorsBeforeAReloadAreNotTheChanges(t *testing.T) {
	limit := 1.0
	st := func(pid uint32, requests, errors uint64) *hostlink.ServerStatus {
		return &hostlink.ServerStatus{Pid: pid, Usage: &hostlink.ServerUsage{Requests: requests, Errors: errors}}
	}
	for _, tt := range []struct {
		name       string
		began, now *hostlink.ServerStatus
		bad        bool
	}{
		{"a reload: same process, old errors", st(7, 100, 50), st(7, 200, 51), false},
		{"a reload: new errors", st(7, 100, 50), st(7, 200, 60), true},
		{"a restart: counts begin anew", st(7, 100, 50), st(8, 100, 50), true},
		{"nothing is known", nil, &hostlink.ServerStatus{}, false},
	} {
		if err := faults(answers(tt.began, tt.now), balance{}, &limit, true); (err != nil) != tt.bad {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestASoakEndsWhenTheServerFallsIll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a", "h1/b")
		r := s.carryWith(t, "g(soak=1m)", func() {
			pause(30 * time.Second)
			s.change("h1/a", func(st *hostlink.ServerStatus) { st.Healthy = false })
		})
		if !strings.Contains(r.Problem, "it did not stay healthy for 1m0s") || r.Servers[1].State != Pending {
			t.Errorf("%s: %s", r.State, r.Problem)
		}
	})
}

// Every moment in which a leader can be lost leaves a record from which the next
// one comes to the same end.
func TestALeaderMayBeLostAtAnyRecordedStep(t *testing.T) {
	scenarios := map[string]struct {
		sick string
		end  State
	}{"a rollout": {"", Done}, "a restoration": {"h2/a", Restored}}
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			for lostAfter := 1; ; lostAfter++ {
				survived := true
				bubble(t, func(t *testing.T) { survived = lose(t, lostAfter, sc.sick, sc.end) })
				if !survived {
					if lostAfter < 6 {
						t.Errorf("only %d steps were recorded", lostAfter)
					}
					return
				}
			}
		})
	}
}

// lose runs a rollout whose leader is lost right after a step was recorded; it
// gives false when there are not so many steps.
func lose(t *testing.T, lostAfter int, sick string, end State) bool {
	t.Helper()
	s := newStage("h1/a", "h2/a", "h3/a")
	s.obey = func(server, _ string, st *hostlink.ServerStatus) error {
		if len(s.restored) > 0 {
			st.Revision = 3
		} else if server == sick {
			st.State, st.Message = "FAILED", "it does not like it"
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := &losing{stage: s, left: lostAfter, lost: cancel}
	first := New(Config{Hosts: s, Records: l, Restorer: s, Clock: clock.Real(), Log: s.engine().log})
	r, err := first.Start(ctx, s.rollout(t, "g rollback-across-groups"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); first.Run(ctx) }()
	r, err = first.Follow(ctx, r.ID, func(Event) error { return nil })
	cancel()
	<-done
	if err == nil && l.left > 0 {
		return false // it was over before
	}
	before := s.told()
	next := s.engine()
	ctx, cancel = context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() { defer close(done); next.Run(ctx) }()
	r, err = next.Follow(ctx, r.ID, func(Event) error { return nil })
	cancel()
	<-done
	if err != nil || r.State != end {
		t.Errorf("lost after step %d: %v, %s: %s (%s)", lostAfter, err, r.State, states(r), r.Problem)
	}
	hosts, _ := s.Hosts()
	for name, h := range hosts {
		if st := h.Servers[0]; st.State != "STARTED" || !st.Healthy || st.Required != "" {
			if !(end == Restored && name == "h3") { // never touched
				t.Errorf("lost after step %d: %s is %s %q; orders %s, then %s", lostAfter, name, st.State, st.Required, before, s.told())
			}
		}
	}
	return true
}

// losing loses the lead after some writes: the last one is recorded.
type losing struct {
	*stage
	left int
	lost func()
}

func (l *losing) Put(_ context.Context, kind, key string, value []byte, expect uint64) error {
	return l.PutAsLeader(kind, key, value, expect)
}

func (l *losing) PutAsLeader(kind, key string, value []byte, expect uint64) error {
	l.mu.Lock()
	left := l.left
	l.left--
	l.mu.Unlock()
	if left <= 0 {
		return problem.Unavailable.Errorf("it does not lead")
	}
	err := l.stage.PutAsLeader(kind, key, value, expect)
	if left == 1 {
		l.lost()
	}
	return err
}

func TestOneRolloutAtATimeAndTheOldestAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a")
		e := s.engine()
		for i := range keptRollouts + 3 {
			pause(time.Millisecond)
			r, err := e.Start(t.Context(), s.rollout(t, "g"))
			if err != nil {
				t.Fatal(i, err)
			}
			if _, err := e.Start(t.Context(), s.rollout(t, "g")); !problem.Is(err, problem.Conflict) || !strings.Contains(err.Error(), r.ID) {
				t.Fatalf("a second one: %v", err)
			}
			r.State = Done
			value, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), KindRollout, r.ID, value, domain.Any); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := e.List(); err != nil || len(list) != keptRollouts {
			t.Errorf("%d are kept, %v", len(list), err)
		}
	})
}

func TestWhatALaterRevisionNeedsIsNotThisRolloutsGate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a", "h1/b")
		s.obey = func(_, _ string, st *hostlink.ServerStatus) error {
			st.Required = "reload-required" // an operator committed revision 3 meanwhile
			return nil
		}
		if r := s.carry(t, "g"); r.State != Done {
			t.Errorf("%s: %s: %s", r.State, states(r), r.Problem)
		}
	})
}
