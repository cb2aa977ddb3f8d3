package supervisor

import "time"

// Timing is how long a supervisor waits for what.
type Timing struct {
	// Introduce: a new or adopted process that has reported nothing is hung.
	// A loaded machine starts 50 servers in 10 s, six times that.
	Introduce time.Duration
	// StartTimeout bounds STARTING and RELOADING as a whole: twice the 900 s
	// that a server waits for the database lock by default.
	StartTimeout time.Duration
	// Turn is how long a starting server may keep others from being started: ten
	// times what it takes by itself. One that waits for its database, or for
	// servers that were lost, hinders no other for longer.
	Turn time.Duration
	// LiveEvery and LiveTimeout: a server is hung after LiveFailures tries in
	// a row without answer, 3 x 5 s after it froze.
	LiveEvery    time.Duration
	LiveTimeout  time.Duration
	LiveFailures int
	// Dump is what a hung server has for writing its goroutines to its log
	// (SIGQUIT) before it is killed.
	Dump time.Duration
	// Backoff is the pause before each respawn; the last one repeats. After
	// Tries respawns without Stable, the server is FAILED.
	Backoff []time.Duration
	Tries   int
	// Stable is the time up after which a server starts over with no tries.
	Stable time.Duration
	// RetryFailed is how often a FAILED server is tried where the policy says so.
	RetryFailed time.Duration
	// Leave is between telling the world that a serving server stops, suspends
	// or reloads, and telling the server: balancers take it out first, so that
	// nobody meets its refusal. Six times the controllers' directory pause of
	// 50 ms.
	Leave time.Duration
	// Grace is between the server's answer to "stop" and SIGTERM, and between
	// the end of a stop's timeout and SIGKILL.
	Grace time.Duration
	// Rotate is how often logs are looked at.
	Rotate time.Duration
}

// DefaultTiming is what the product runs with.
var DefaultTiming = Timing{
	Introduce:    time.Minute,
	StartTimeout: 30 * time.Minute,
	Turn:         time.Second,
	LiveEvery:    5 * time.Second,
	LiveTimeout:  3 * time.Second,
	LiveFailures: 3,
	Dump:         2 * time.Second,
	Backoff:      []time.Duration{0, 1 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second},
	Tries:        10,
	Stable:       time.Minute,
	RetryFailed:  time.Minute,
	Leave:        300 * time.Millisecond,
	Grace:        3 * time.Second,
	Rotate:       5 * time.Second,
}

// pause is the time before respawn number n, counted from 1.
func (t Timing) pause(n int) time.Duration {
	return t.Backoff[min(n, len(t.Backoff))-1]
}
