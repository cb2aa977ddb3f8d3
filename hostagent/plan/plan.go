// Package plan owns the decision what an agent does next: a pure function from
// what the domain wants and what there is to steps. It must not know how a
// step is done, nor read a clock, a file or a process.
//
// It reconciles from state: whatever happened before, applying the steps makes
// the next plan empty.
package plan

import (
	"cmp"
	"slices"

	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
)

// The orders an operator may have left for a server.
const (
	OrderNone  = "" // auto-start decides
	OrderStart = "start"
	OrderStop  = "stop"
)

// Wanted is one server as the domain wants it.
type Wanted struct {
	Name      string
	AutoStart bool
	Order     string
	// Content is a digest of the server's resolved configuration, Process of
	// how its process is run (command, environment, limits, ports, policy).
	Content, Process string
	// Problem is why it cannot run as configured; it is then left as it is.
	Problem string
}

// Present is one server as it is.
type Present struct {
	Name  string
	State supervisor.State
	// Content and Process are what it was last given; "" for nothing.
	Content, Process string
}

// Kind is what a step does.
type Kind string

// The kinds of steps, in the order in which a plan has them.
const (
	Stop      Kind = "stop"      // stop a running server gracefully
	Forget    Kind = "forget"    // no longer know a server that does not run
	Define    Kind = "define"    // make a server known, or give it new process settings
	Configure Kind = "configure" // hand a server its configuration
	Start     Kind = "start"
)

// Step is one thing to do to one server.
type Step struct {
	Kind   Kind
	Server string
	Why    string // for the log
}

// rank puts ends before beginnings: what is stopped may hold a port that is
// wanted.
var rank = map[Kind]int{Stop: 0, Forget: 1, Define: 2, Configure: 3, Start: 4}

// Steps is what to do. It never restarts a running server because its
// configuration changed: servers say themselves what a change needs, and a
// rollout restarts them.
func Steps(wanted []Wanted, present []Present) []Step {
	var steps []Step
	add := func(kind Kind, server, why string) { steps = append(steps, Step{kind, server, why}) }
	is := make(map[string]Present, len(present))
	for _, p := range present {
		is[p.Name] = p
	}
	names := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		names[w.Name] = true
		p, known := is[w.Name]
		reconcile(w, p, known, func(kind Kind, why string) { add(kind, w.Name, why) })
	}
	for _, p := range present {
		switch {
		case names[p.Name]:
		case p.State.Running() && p.State != supervisor.Stopping:
			add(Stop, p.Name, "it is no server of this host any more")
		case !p.State.Running():
			add(Forget, p.Name, "it is no server of this host any more")
		}
	}
	slices.SortStableFunc(steps, func(a, b Step) int {
		return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.Server, b.Server))
	})
	return steps
}

func reconcile(w Wanted, p Present, known bool, add func(Kind, string)) {
	if w.Problem != "" {
		if !known {
			add(Define, "shown, and not started: "+w.Problem)
		}
		return
	}
	changed := known && (p.Process != w.Process || p.Content != w.Content)
	switch {
	case !known:
		add(Define, "it is new")
	case p.Process != w.Process:
		add(Define, "its process settings changed")
	}
	if !known || p.Content != w.Content {
		add(Configure, "its configuration changed")
	}
	runs := w.Order == OrderStart || w.Order == OrderNone && w.AutoStart
	switch {
	case !runs && known && p.State.Running() && p.State != supervisor.Stopping:
		if w.Order == OrderStop {
			add(Stop, "it was ordered to stop")
		}
	case !runs && (p.State == supervisor.Backoff || p.State == supervisor.Failed) && w.Order == OrderStop:
		add(Stop, "it was ordered to stop")
	case runs && (!known || p.State == supervisor.Stopped || p.State == supervisor.Disabled):
		add(Start, "it is to run")
	case runs && changed && (p.State == supervisor.Backoff || p.State == supervisor.Failed):
		add(Start, "its configuration changed since it failed")
	}
}
