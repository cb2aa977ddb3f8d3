// Package clocktest owns the fake clock of tests. It is never compiled into
// the product.
package clocktest

import (
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Clock is a clock that stands still until a test advances it.
type Clock struct {
	mu     sync.Mutex
	cond   *sync.Cond
	now    time.Time     // as the timers count it
	ahead  time.Duration // what the clock shows more: Jump
	timers map[*timer]bool
}

type timer struct {
	at    time.Time
	every time.Duration // 0: fires once
	c     chan time.Time
}

// New returns a clock that shows start.
func New(start time.Time) *Clock {
	c := &Clock{now: start, timers: map[*timer]bool{}}
	c.cond = sync.NewCond(&c.mu)
	return c
}

// Now is the time the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Add(c.ahead)
}

// Jump sets the clock forward or back, as an operator or a time server does. No
// time passes: timers are not moved by it.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// NewTimer starts a timer that fires when the clock is advanced by d.
func (c *Clock) NewTimer(d time.Duration) *clock.Timer { return c.start(d, 0) }

// NewTicker starts a ticker that fires at each d the clock is advanced by.
func (c *Clock) NewTicker(d time.Duration) *clock.Timer { return c.start(d, d) }

func (c *Clock) start(d, every time.Duration) *clock.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now.Add(d), every: every, c: make(chan time.Time, 1)}
	c.timers[t] = true
	c.fire()
	c.cond.Broadcast()
	return clock.NewTimer(t.c, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		running := c.timers[t]
		delete(c.timers, t)
		c.cond.Broadcast()
		return running
	})
}

// Advance moves the clock by d and fires what falls due on the way, in order.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.now.Add(d)
	for {
		var next *timer
		for t := range c.timers {
			if !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.fire()
	}
	c.now = end
}

// WaitForTimers blocks until at least n timers are running: what a test waits
// for before it advances the clock for another goroutine.
func (c *Clock) WaitForTimers(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.timers) < n {
		c.cond.Wait()
	}
}

// fire delivers every timer that is due; c.mu is held.
func (c *Clock) fire() {
	for t := range c.timers {
		if t.at.After(c.now) {
			continue
		}
		select {
		case t.c <- c.now.Add(c.ahead):
		default:
		}
		if t.every > 0 {
			t.at = t.at.Add(t.every)
		} else {
			delete(c.timers, t)
		}
	}
}
