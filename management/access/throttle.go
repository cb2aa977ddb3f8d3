package access

import (
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Guessing. A person mistypes a few times; after freeGuesses wrong passwords in
// a row a name's logins pause, first for firstPause, twice as long after each
// further one, at most longestPause: 120 guesses an hour. Somebody else's
// guesses can keep a user waiting that long, never out: the local socket needs
// no password, and a session that is open goes on.
const (
	freeGuesses  = 5
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// forgetAfter is how long a name without guesses is remembered.
	forgetAfter = 15 * time.Minute
	// throttleLimit bounds the names remembered: guesses with made-up names
	// must not fill the memory. Beyond it the oldest half is forgotten.
	throttleLimit = 4096
)

// throttle slows guesses at passwords down, for each name by itself. It is in
// the memory of one process: with three controllers a guesser has three times
// as many. It is safe for concurrent use.
type throttle struct {
	clock clock.Clock
	mu    sync.Mutex
	names map[string]guesses
}

type guesses struct {
	wrong int
	last  time.Time
	until time.Time // no login before
}

func newThrottle(c clock.Clock) *throttle { return &throttle{clock: c, names: map[string]guesses{}} }

// allow refuses a login of a name that has to wait.
func (t *throttle) allow(name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait := t.names[name].until.Sub(t.clock.Now()); wait > 0 {
		return problem.Unauthorized.Errorf("cannot log in: too many wrong passwords; try again in %d s", int(wait/time.Second)+1)
	}
	return nil
}

// failed counts a wrong password.
func (t *throttle) failed(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	g := t.names[name]
	if now.Sub(g.last) > forgetAfter {
		g = guesses{}
	}
	g.wrong++
	g.last = now
	if over := g.wrong - freeGuesses; over >= 0 {
		pause := longestPause
		if over < 5 { // beyond, doubling has passed the longest
			pause = min(firstPause<<over, longestPause)
		}
		g.until = now.Add(pause)
	}
	if len(t.names) >= throttleLimit {
		t.forget(now)
	}
	t.names[name] = g
}

// forget makes room: first names that nobody guesses at any more, and if that
// is not enough, all that are not waiting.
func (t *throttle) forget(now time.Time) {
	for _, keep := range []func(guesses) bool{
		func(g guesses) bool { return now.Sub(g.last) <= forgetAfter },
		func(g guesses) bool { return now.Before(g.until) },
		func(guesses) bool { return false },
	} {
		for name, g := range t.names {
			if !keep(g) {
				delete(t.names, name)
			}
		}
		if len(t.names) < throttleLimit/2 {
			return
		}
	}
}

// succeeded forgets a name's wrong passwords.
func (t *throttle) succeeded(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.names, name)
}
