package loadbalancer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// When many requests lose their server at one moment, retries that the budget does
// not give at once come late, ten a second, and not too late.
func TestARetryWaitsUntilTheBudgetGivesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(clock.Real())
		for range int(budgetCredit) {
			if !b.spendWithin(t.Context(), 0) {
				t.Fatal("the credit is not given")
			}
		}
		if b.spendWithin(t.Context(), 0) || b.spendWithin(t.Context(), -1) {
			t.Error("more than the credit is given at once")
		}
		given := make(chan bool)
		for range 30 {
			go func() { given <- b.spendWithin(t.Context(), 2*time.Second) }()
		}
		got, begin := 0, time.Now()
		for range 30 {
			if <-given {
				got++
			}
		}
		if took := time.Since(begin); got != 20 || took != 2*time.Second {
			t.Errorf("%d of 30 were given in %s, want 20 in 2s", got, took)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if b.spendWithin(gone, time.Minute) {
			t.Error("who has gone is given a retry")
		}
	})
}

// A request is not written to all servers, one after the other, where it may be what
// ends them; that some were slow before says nothing of it.
func TestARequestThatServersDieOfIsNotGivenToAll(t *testing.T) {
	for _, tt := range []struct {
		reached, moved int
		again          bool
	}{
		{0, 0, true}, {2, 0, true}, {3, 0, false}, {3, 1, true}, {5, 3, true}, {5, 2, false}, {6, 5, false},
	} {
		p := &passage{settings: &Settings{Attempts: 3}, reached: tt.reached, moved: tt.moved}
		if got := p.again(); got != tt.again {
			t.Errorf("written to %d, %d of them slow: again %v", tt.reached, tt.moved, got)
		}
	}
}
