package supervisor

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

// crash kills a server that is up and gives its next status as is wanted.
func crash(t *testing.T, s *Supervisor, before Status, want func(Status) bool) Status {
	t.Helper()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	return eventually(t, s, before.Name, func(st Status) bool { return st.PID != before.PID && want(st) })
}

// triesOf is how many respawns in a row are counted.
func triesOf(t *testing.T, s *Supervisor, name string) (tries int) {
	t.Helper()
	v, err := s.find(name)
	if err == nil {
		err = v.do(t.Context(), func() { tries = v.tries })
	}
	if err != nil {
		t.Fatal(err)
	}
	return tries
}

func runs(st Status) bool  { return st.PID > 0 }
func waits(st Status) bool { return st.State == Backoff && strings.Contains(st.Message, " in ") }

// The clock stands still: what waits for it waits for ever.
func TestTheFirstCrashIsRespawnedWithoutAnyPause(t *testing.T) {
	c := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s, _ := newTestOn(t, c, DefaultTiming)
	st := begin(t, s, specOf(t, "one", "serve"))
	st = crash(t, s, st, runs)
	if st.Restarts != 1 {
		t.Errorf("%d restarts, want 1", st.Restarts)
	}
	for i, pause := range DefaultTiming.Backoff[1:] {
		st = crash(t, s, st, waits)
		if !strings.Contains(st.Message, " in "+pause.String()) {
			t.Errorf("after crash %d: %q, want a pause of %s", i+2, st.Message, pause)
		}
		c.Advance(pause - time.Nanosecond)
		if now, _ := s.Of("one"); now.State != Backoff {
			t.Errorf("after crash %d it is %s before its pause of %s is over", i+2, now.State, pause)
		}
		c.Advance(time.Nanosecond)
		st = eventually(t, s, "one", runs)
	}
}

// Neither the pause nor the minute that a server has to stay up is measured by
// what the clock shows: somebody sets it, or a time server does.
func TestAClockThatIsSetChangesNoPause(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			c := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			s, _ := newTestOn(t, c, DefaultTiming)
			st := crash(t, s, begin(t, s, specOf(t, "one", "serve")), runs)
			c.Jump(jump)
			st = crash(t, s, st, waits) // it was not up for an hour
			if !strings.Contains(st.Message, "try 2 of 10 in 1s") {
				t.Errorf("the second crash: %q", st.Message)
			}
			c.Jump(jump)
			if now, _ := s.Of("one"); now.State != Backoff {
				t.Errorf("the clock was set, and it is %s", now.State)
			}
			c.Advance(time.Second)
			st = eventually(t, s, "one", runs)
			s.Reported("one", Report{State: "ready", Healthy: true})
			eventually(t, s, "one", func(st Status) bool { return st.State == Started })
			c.Jump(-3 * jump)
			c.Advance(DefaultTiming.Stable)
			eventually(t, s, "one", func(Status) bool { return triesOf(t, s, "one") == 0 })
			if st = crash(t, s, st, runs); st.Restarts != 3 {
				t.Errorf("%d restarts, want 3", st.Restarts)
			}
		})
	}
}
