// Package clock owns time: the only package of the product that reads the
// machine's clock or starts its timers. Everything else is given a Clock.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and waits. A Clock is safe for concurrent use.
type Clock interface {
	// Now is the current time.
	Now() time.Time
	// NewTimer starts a timer that fires once, d from now.
	NewTimer(d time.Duration) *Timer
	// NewTicker starts a ticker that fires every d; d must be positive. It
	// drops ticks for slow receivers.
	NewTicker(d time.Duration) *Timer
}

// Timer is a running timer or ticker; C receives the time of each firing.
type Timer struct {
	C    <-chan time.Time
	stop func() bool
}

// NewTimer makes a Timer for an implementation of Clock.
func NewTimer(c <-chan time.Time, stop func() bool) *Timer { return &Timer{C: c, stop: stop} }

// Stop ends the timer and reports whether it was still running.
func (t *Timer) Stop() bool { return t.stop() }

// Real is the machine's clock.
func Real() Clock { return real{} }

type real struct{}

func (real) Now() time.Time { return time.Now() }

func (real) NewTimer(d time.Duration) *Timer {
	t := time.NewTimer(d)
	return NewTimer(t.C, t.Stop)
}

func (real) NewTicker(d time.Duration) *Timer {
	t := time.NewTicker(d)
	return NewTimer(t.C, func() bool { t.Stop(); return true })
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := c.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Since is the time elapsed from t until now.
func Since(c Clock, t time.Time) time.Duration { return c.Now().Sub(t) }
