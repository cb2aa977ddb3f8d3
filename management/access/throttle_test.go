package access

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func TestGuessesAtOneNamePauseLongerAndLonger(t *testing.T) {
	c := clocktest.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	th := newThrottle(c)
	for i := 1; i < freeGuesses; i++ {
		th.failed("root")
		if err := th.allow("root"); err != nil {
			t.Fatalf("after %d wrong passwords: %v", i, err)
		}
	}
	for i, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		th.failed("root")
		c.Advance(pause*time.Second - time.Millisecond)
		if err := th.allow("root"); !problem.Is(err, problem.Unauthorized) {
			t.Errorf("pause %d is over before %d s: %v", i, pause, err)
		}
		c.Advance(time.Millisecond)
		if err := th.allow("root"); err != nil {
			t.Errorf("pause %d goes on after %d s: %v", i, pause, err)
		}
	}
	if err := th.allow("somebody-else"); err != nil {
		t.Errorf("another name waits too: %v", err)
	}
	th.succeeded("root")
	th.failed("root")
	if err := th.allow("root"); err != nil {
		t.Errorf("after a right password: %v", err)
	}
}

func TestMadeUpNamesDoNotFillTheMemory(t *testing.T) {
	c := clocktest.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	th := newThrottle(c)
	for range freeGuesses {
		th.failed("root")
	}
	for i := range 3 * throttleLimit {
		th.failed(fmt.Sprint("made-up-", i))
	}
	if len(th.names) > throttleLimit {
		t.Errorf("%d names remembered", len(th.names))
	}
	if th.allow("root") == nil {
		t.Error("made-up names made the wait of another name be forgotten")
	}
}
