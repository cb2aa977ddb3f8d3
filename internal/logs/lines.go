package logs

import (
	"sync"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Lines writes whole lines to a File or a Syslog as they are, without a Tree:
// for records that are no log of the process. It is safe for concurrent use.
type Lines struct {
	mu   sync.Mutex
	sink sink // nil: closed
}

// OpenLines opens an output. Trouble with it is told to say, once, and that it
// is over too; meanwhile it is tried again. say may be called by any goroutine,
// and must not write lines itself. Settings that cannot be are problem.Invalid.
func OpenLines(o Output, c clock.Clock, say func(error)) (*Lines, error) {
	if _, console := o.(Console); console {
		return nil, problem.Invalid.Errorf("the console is no place for lines of their own: want a file or a syslog receiver")
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Lines{sink: o.open(user{clock: c, say: func(_ zerolog.Level, err error, message string) {
		if err != nil {
			say(problem.Unavailable.Errorf("%s: %w", message, err))
			return
		}
		say(problem.Unavailable.Errorf("%s", message))
	}})}, nil
}

// Write writes a line, which ends with a newline. It never fails: see OpenLines.
// After Close it does nothing.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink != nil {
		l.sink.write(zerolog.InfoLevel, line)
	}
	return len(line), nil
}

// Close writes what waits, for a second at most.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sink != nil {
		l.sink.close()
		l.sink = nil
	}
	return nil
}
