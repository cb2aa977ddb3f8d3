package plan_test

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/hostagent/plan"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
)

func TestSteps(t *testing.T) {
	auto := plan.Wanted{Name: "one", AutoStart: true, Content: "c1", Process: "p1"}
	with := func(change func(*plan.Wanted)) []plan.Wanted { w := auto; change(&w); return []plan.Wanted{w} }
	is := func(state supervisor.State, content, process string) []plan.Present {
		return []plan.Present{{Name: "one", State: state, Content: content, Process: process}}
	}
	cases := map[string]struct {
		wanted  []plan.Wanted
		present []plan.Present
		want    []plan.Kind
	}{
		"nothing":                                     {nil, nil, nil},
		"a new server is started":                     {[]plan.Wanted{auto}, nil, []plan.Kind{plan.Define, plan.Configure, plan.Start}},
		"one without auto-start is only known":        {with(func(w *plan.Wanted) { w.AutoStart = false }), nil, []plan.Kind{plan.Define, plan.Configure}},
		"an order starts it":                          {with(func(w *plan.Wanted) { w.AutoStart, w.Order = false, plan.OrderStart }), nil, []plan.Kind{plan.Define, plan.Configure, plan.Start}},
		"an order keeps it down":                      {with(func(w *plan.Wanted) { w.Order = plan.OrderStop }), is(supervisor.Stopped, "c1", "p1"), nil},
		"an order stops it":                           {with(func(w *plan.Wanted) { w.Order = plan.OrderStop }), is(supervisor.Started, "c1", "p1"), []plan.Kind{plan.Stop}},
		"an order ends a back-off":                    {with(func(w *plan.Wanted) { w.Order = plan.OrderStop }), is(supervisor.Backoff, "c1", "p1"), []plan.Kind{plan.Stop}},
		"auto-start off does not stop it":             {with(func(w *plan.Wanted) { w.AutoStart = false }), is(supervisor.Started, "c1", "p1"), nil},
		"a running one gets its new configuration":    {with(func(w *plan.Wanted) { w.Content = "c2" }), is(supervisor.Started, "c1", "p1"), []plan.Kind{plan.Configure}},
		"and is not restarted for process settings":   {with(func(w *plan.Wanted) { w.Process = "p2" }), is(supervisor.Started, "c1", "p1"), []plan.Kind{plan.Define}},
		"a failed one is tried with the new":          {with(func(w *plan.Wanted) { w.Content = "c2" }), is(supervisor.Failed, "c1", "p1"), []plan.Kind{plan.Configure, plan.Start}},
		"a failed one is left to its back-off":        {[]plan.Wanted{auto}, is(supervisor.Failed, "c1", "p1"), nil},
		"one that cannot run as configured is left":   {with(func(w *plan.Wanted) { w.Problem, w.Content = "no port", "c2" }), is(supervisor.Started, "c1", "p1"), nil},
		"a new one that cannot run is shown":          {with(func(w *plan.Wanted) { w.Problem = "no port" }), nil, []plan.Kind{plan.Define}},
		"an unwanted one is stopped":                  {nil, is(supervisor.Started, "c1", "p1"), []plan.Kind{plan.Stop}},
		"one that stops already is waited for":        {nil, is(supervisor.Stopping, "c1", "p1"), nil},
		"an unwanted one that is down is forgotten":   {nil, is(supervisor.Failed, "c1", "p1"), []plan.Kind{plan.Forget}},
		"an adopted one gets what it may have missed": {[]plan.Wanted{auto}, is(supervisor.Starting, "", ""), []plan.Kind{plan.Define, plan.Configure}},
	}
	for name, c := range cases {
		var got []plan.Kind
		for _, s := range plan.Steps(c.wanted, c.present) {
			got = append(got, s.Kind)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Applying a plan's steps makes the next plan empty, from any state.
func TestAPlanConverges(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	states := []supervisor.State{supervisor.Disabled, supervisor.Starting, supervisor.Started, supervisor.Reloading,
		supervisor.Suspending, supervisor.Suspended, supervisor.Stopping, supervisor.Stopped, supervisor.Backoff, supervisor.Failed}
	rapid.Check(t, func(t *rapid.T) {
		subset := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string])
		word := rapid.SampledFrom([]string{"", "1", "2"})
		var wanted []plan.Wanted
		for _, n := range subset.Draw(t, "wanted") {
			wanted = append(wanted, plan.Wanted{Name: n, AutoStart: rapid.Bool().Draw(t, "auto"),
				Order:   rapid.SampledFrom([]string{plan.OrderNone, plan.OrderStart, plan.OrderStop}).Draw(t, "order"),
				Content: word.Draw(t, "content"), Process: word.Draw(t, "process"),
				Problem: rapid.SampledFrom([]string{"", "", "broken"}).Draw(t, "problem")})
		}
		present := map[string]plan.Present{}
		for _, n := range subset.Draw(t, "present") {
			present[n] = plan.Present{Name: n, State: rapid.SampledFrom(states).Draw(t, "state"), Content: word.Draw(t, "has"), Process: word.Draw(t, "runs")}
		}
		for round := 0; ; round++ {
			for n, p := range present { // a stop ends
				if p.State == supervisor.Stopping {
					p.State = supervisor.Stopped
					present[n] = p
				}
			}
			list := []plan.Present{}
			for _, n := range names {
				if p, ok := present[n]; ok {
					list = append(list, p)
				}
			}
			steps := plan.Steps(wanted, list)
			if len(steps) == 0 {
				break
			}
			if round > 3 {
				t.Fatalf("still %v after %d rounds", steps, round)
			}
			for _, s := range steps {
				apply(t, present, wanted, s)
			}
		}
		for _, w := range wanted {
			runs := w.Order == plan.OrderStart || w.Order == plan.OrderNone && w.AutoStart
			p := present[w.Name]
			if w.Problem == "" && runs && (p.State == supervisor.Stopped || p.State == supervisor.Disabled) {
				t.Fatalf("%+v is %s", w, p.State)
			}
			if w.Problem == "" && (p.Content != w.Content || p.Process != w.Process) {
				t.Fatalf("%+v has %+v", w, p)
			}
		}
		for n := range present {
			if !slices.ContainsFunc(wanted, func(w plan.Wanted) bool { return w.Name == n }) && present[n].State != supervisor.Stopped {
				t.Fatalf("%s is not wanted and %s", n, present[n].State)
			}
		}
	})
}

func apply(t *rapid.T, present map[string]plan.Present, wanted []plan.Wanted, s plan.Step) {
	p := present[s.Server]
	p.Name = s.Server
	i := slices.IndexFunc(wanted, func(w plan.Wanted) bool { return w.Name == s.Server })
	switch s.Kind {
	case plan.Define:
		p.Process = wanted[i].Process
		if p.State == "" {
			p.State = supervisor.Stopped
		}
	case plan.Configure:
		p.Content = wanted[i].Content
	case plan.Start:
		next, err := supervisor.Next(p.State, supervisor.Spawn)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		p.State = next
	case plan.Stop:
		next, err := supervisor.Next(p.State, supervisor.Stop)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		p.State = next
	case plan.Forget:
		if p.State.Running() {
			t.Fatalf("%v of a server that is %s", s, p.State)
		}
		delete(present, s.Server)
		return
	}
	present[s.Server] = p
}
