package storage

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Options are a driver's settings; zero values mean the defaults.
type Options struct {
	Clock clock.Clock    // required
	Log   zerolog.Logger // what happens between calls: sweeps, reconnects

	// Holder names this server to others that wait for a lock; default: the
	// process id and host name.
	Holder string

	// CommitRate bounds the group commits of sessions a second once CommitBurst
	// of them were made at once; default 16. At 100 logins a second of five writes
	// each, 16 commits a second are 0.16 commits a login, and a write then waits
	// 1/16 s at most, half of that on average.
	CommitRate float64
	// CommitBurst is how many commits may be made at once after idling; default 16:
	// three logins in a row wait for nothing but the disk.
	CommitBurst int

	// TouchEvery is how long a session's last access may wait to be written;
	// default 5 s. It is what a crash may lose.
	TouchEvery time.Duration
	// SweepEvery is how often expired sessions are removed; default 60 s, with each
	// server starting at its own moment.
	SweepEvery time.Duration
	// LockRecheck is how often a waiting server looks at the lock; default 50 ms.
	LockRecheck time.Duration

	// MaxConns bounds the connections for reading and updating; default 16.
	MaxConns int
	// Source names the pool in errors; default "of this server".
	Source string
	// ConnWait is how long a request waits for a connection when all are in use;
	// default 30 s. Then it is problem.Unavailable.
	ConnWait time.Duration
	// MinConns stay open for reading, however long nobody needs them; default none.
	MinConns int
	// InitialConns are opened at once, so that the first requests do not wait for
	// them; default none.
	InitialConns int
	// MaxConnIdle is how long an unused connection is kept; default 5 minutes:
	// shorter than what the usual firewall between server and database forgets.
	// Negative: for ever.
	MaxConnIdle time.Duration
	// Schema holds the tables, where the database knows schemas; default the
	// user's. It has to exist.
	Schema string
}

// WithDefaults returns o with every zero value set.
func (o Options) WithDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if o.CommitRate == 0 {
		o.CommitRate = 16
	}
	if o.CommitBurst == 0 {
		o.CommitBurst = 16
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	if o.Source == "" {
		o.Source = "of this server"
	}
	set(&o.ConnWait, 30*time.Second)
	set(&o.MaxConnIdle, 5*time.Minute)
	set(&o.TouchEvery, 5*time.Second)
	set(&o.SweepEvery, time.Minute)
	set(&o.LockRecheck, 50*time.Millisecond)
	return o
}
