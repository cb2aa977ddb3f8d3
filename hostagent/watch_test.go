package hostagent

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

// A service manager kills an agent that says that it stands still.
func TestAnAgentIsAliveAsLongAsItLooksWhateverTheClockIsSetTo(t *testing.T) {
	c := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	a := &Agent{config: Config{Clock: c}, looked: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.watch(ctx) }()
	look := func() { a.looked <- struct{}{}; a.looked <- struct{}{} } // the first is heard of, for certain
	alive := func(when string) {
		t.Helper()
		if err := a.Alive(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	look()
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
		c.Jump(jump)
		alive("the clock was set by " + jump.String())
		look()
		alive("it looked again")
	}
	deadline := time.Now().Add(time.Minute)
	for a.Alive() == nil { // whoever looks no more does not hide behind a clock that was set back
		c.Advance(standsStill)
		if time.Now().After(deadline) {
			t.Fatal("it does not look any more, and passes for alive")
		}
	}
	look()
	alive("it looks after all")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
