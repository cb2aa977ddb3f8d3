package logs

import (
	"io"
	"sync"

	"github.com/rs/zerolog"
)

// Console is the process's output.
type Console struct{}

func (Console) check() error     { return nil }
func (Console) place() Output    { return nil }
func (Console) open(u user) sink { return u.console }

type consoleSink struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *consoleSink) write(_ zerolog.Level, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.w.Write(text) // whom could we tell?
}

func (s *consoleSink) close() {}

// say tells of trouble with logging itself, where nothing else can.
func (t *Tree) say(level zerolog.Level, err error, message string) {
	l := New(&lineWriter{t.console}, t.config.Format, zerolog.TraceLevel, t.config.Clock)
	if terminal(t.config.Console) && t.config.Format != JSON {
		l = New(&lineWriter{t.console}, Human, zerolog.TraceLevel, t.config.Clock)
	}
	l.WithLevel(level).Str(categoryField, "logging").Err(err).Msg(message)
}

type lineWriter struct{ sink *consoleSink }

func (w *lineWriter) Write(p []byte) (int, error) {
	w.sink.write(zerolog.NoLevel, p)
	return len(p), nil
}
