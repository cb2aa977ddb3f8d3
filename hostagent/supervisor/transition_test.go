package supervisor

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestEveryImpossibleEventIsAnErrorAndChangesNothing(t *testing.T) {
	for _, s := range states {
		for _, e := range events {
			next, err := Next(s, e)
			if !slices.Contains(states[:], next) {
				t.Errorf("Next(%s, %s) = %q, no state", s, e, next)
			}
			if err != nil && (next != s || !problem.Is(err, problem.Precondition)) {
				t.Errorf("Next(%s, %s) = %s, %v: an impossible event changed the state", s, e, next, err)
			}
		}
	}
}

// A process comes to be only by spawn and adopt, and goes only by its end.
func TestProcessesBeginAndEndOnlyByTheirEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom([]State{Disabled, Stopped}).Draw(t, "first")
		for _, e := range rapid.SliceOfN(rapid.SampledFrom(events[:]), 1, 60).Draw(t, "events") {
			next, err := Next(s, e)
			if err != nil {
				continue
			}
			switch {
			case !s.Running() && next.Running() && e != Spawn && e != Adopt:
				t.Fatalf("%s --%s--> %s made a process", s, e, next)
			case s.Running() && !next.Running() && e != Ended:
				t.Fatalf("%s --%s--> %s lost a process", s, e, next)
			case s == Stopping && next != Stopping && next != Stopped:
				t.Fatalf("%s --%s--> %s: a stop was undone", s, e, next)
			}
			s = next
		}
	})
}

func TestEveryStateCanBeStopped(t *testing.T) {
	for _, s := range states {
		at := s
		for _, e := range []Event{Stop, Ended} {
			if next, err := Next(at, e); err == nil {
				at = next
			}
		}
		if at != Stopped && at != Disabled {
			t.Errorf("from %s a stop leads to %s", s, at)
		}
	}
}

func TestEveryCrashLeadsToBackoff(t *testing.T) {
	for _, s := range states {
		if next, err := Next(s, Ended); s.Running() && s != Stopping && (err != nil || next != Backoff) {
			t.Errorf("the end of a process in %s leads to %s, %v", s, next, err)
		}
	}
}
