package supervisor

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Servers ask for turns and end them in any order: never more than so many hold
// one, none waits while one is free, and they come in the order in which they asked.
func TestTurnsAreGivenInOrderAndNeverTooMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		turns := newTurns(rapid.IntRange(1, 4).Draw(t, "most"))
		servers := make([]*server, 8)
		for i := range servers {
			servers[i] = &server{inbox: make(chan func(), 100), done: make(chan struct{})}
		}
		var queue []*server // the model
		holding := map[*server]bool{}
		next := func() {
			for len(holding) < turns.most && len(queue) > 0 {
				holding[queue[0]] = true
				queue = queue[1:]
			}
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			v := rapid.SampledFrom(servers).Draw(t, "server")
			if rapid.Bool().Draw(t, "asks") {
				if slices.Contains(queue, v) {
					continue // it asks once
				}
				if got, want := turns.ask(v), holding[v] || len(holding) < turns.most; got != want {
					t.Fatalf("ask = %v, want %v", got, want)
				} else if got {
					holding[v] = true
				} else {
					queue = append(queue, v)
				}
			} else {
				delete(holding, v)
				queue = slices.DeleteFunc(queue, func(w *server) bool { return w == v })
				turns.end(v)
				next()
			}
			if !slices.Equal(turns.queue, queue) || len(turns.holding) != len(holding) {
				t.Fatalf("%d hold a turn and %d wait, want %d and %d", len(turns.holding), len(turns.queue), len(holding), len(queue))
			}
			for w := range holding {
				if !turns.holding[w] {
					t.Fatal("another than the first got the turn")
				}
			}
		}
	})
}

// one gives a supervisor that starts one server at a time.
func one(t *testing.T, turn time.Duration, names ...string) *Supervisor {
	t.Helper()
	timing := quick()
	timing.Turn = turn
	s, _ := newTest(t, timing)
	s.turns.most = 1
	for _, name := range names {
		if err := s.Define(specOf(t, name, "server")); err != nil {
			t.Fatal(err)
		}
		if err := s.Begin(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func hasProcess(st Status) bool { return st.PID > 0 }

func TestAServerIsStartedWhenOthersHaveBeen(t *testing.T) {
	s := one(t, time.Hour, "a", "b", "c")
	eventually(t, s, "a", hasProcess)
	for _, name := range []string{"b", "c"} {
		if st, _ := s.Of(name); st.State != Stopped || st.Message == "" {
			t.Errorf("%s is %s (%q) while a starts, want STOPPED and why", name, st.State, st.Message)
		}
	}
	s.Reported("a", Report{State: "ready"})
	eventually(t, s, "b", hasProcess)
	if st, _ := s.Of("c"); st.PID != 0 {
		t.Error("c was started before b was ready")
	}
	if err := s.Kill(t.Context(), "b"); err != nil { // one that goes ends its turn, too
		t.Fatal(err)
	}
	eventually(t, s, "c", hasProcess)
}

func TestAServerThatIsToStopLosesItsPlace(t *testing.T) {
	s := one(t, time.Hour, "a", "b", "c")
	if err := s.Stop(t.Context(), "b", time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "a", hasProcess)
	s.Reported("a", Report{State: "ready"})
	eventually(t, s, "c", hasProcess)
	if st, _ := s.Of("b"); st.State != Stopped || st.PID != 0 || st.Message != "" {
		t.Errorf("b is %+v, want STOPPED", st)
	}
	if err := s.Forget("b"); err != nil {
		t.Error(err)
	}
}

func TestAServerThatTakesLongHindersNoOtherForLong(t *testing.T) {
	s := one(t, 20*time.Millisecond, "a", "b", "c")
	for _, name := range []string{"a", "b", "c"} { // none is ever ready
		eventually(t, s, name, hasProcess)
	}
}

func TestACrashedServerTakesNoTurn(t *testing.T) {
	s := one(t, time.Hour, "a")
	eventually(t, s, "a", hasProcess)
	s.Reported("a", Report{State: "ready"})
	up := eventually(t, s, "a", func(st Status) bool { return st.State == Started })
	for _, name := range []string{"b", "c"} {
		if err := s.Define(specOf(t, name, "server")); err != nil {
			t.Fatal(err)
		}
		if err := s.Begin(name); err != nil {
			t.Fatal(err)
		}
	}
	_ = syscall.Kill(up.PID, syscall.SIGKILL)
	eventually(t, s, "a", func(st Status) bool { return st.PID > 0 && st.PID != up.PID })
	if st, _ := s.Of("c"); st.PID != 0 {
		t.Error("c was started before b was ready")
	}
}
