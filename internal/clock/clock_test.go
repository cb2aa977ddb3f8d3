package clock_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestSleepEndsWithTheClockOrTheContext(t *testing.T) {
	c := clocktest.New(start)
	done := make(chan error, 1)
	go func() { done <- clock.Sleep(context.Background(), c, time.Minute) }()
	c.WaitForTimers(1)
	c.Advance(time.Minute)
	if err := <-done; err != nil {
		t.Errorf("Sleep = %v, want nil", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- clock.Sleep(ctx, c, time.Minute) }()
	c.WaitForTimers(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Sleep = %v, want context.Canceled", err)
	}
}

func TestTickerFiresAtEachPeriodAndStops(t *testing.T) {
	c := clocktest.New(start)
	tick := c.NewTicker(time.Second)
	for i := 1; i <= 3; i++ {
		c.Advance(time.Second)
		if got := <-tick.C; !got.Equal(start.Add(time.Duration(i) * time.Second)) {
			t.Errorf("tick %d at %v", i, got)
		}
	}
	tick.Stop()
	c.Advance(time.Hour)
	select {
	case at := <-tick.C:
		t.Errorf("ticked at %v after Stop", at)
	default:
	}
}

func TestRealClockFires(t *testing.T) {
	c := clock.Real()
	before := c.Now()
	<-c.NewTimer(time.Millisecond).C
	if clock.Since(c, before) < time.Millisecond {
		t.Error("the timer fired early")
	}
	tick := c.NewTicker(time.Millisecond)
	<-tick.C
	tick.Stop()
}
