// Package logs makes the zerolog loggers of a process: a human form on a
// terminal, JSON otherwise; and, for processes whose logging is configured, a
// Tree of loggers by category whose levels and handlers change while in use.
// It owns what is written where and how. It knows no product noun.
package logs

import (
	"io"
	"os"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Format says how log lines look.
type Format string

// The formats. Auto is human on a terminal and JSON elsewhere; Text is human on
// a terminal and DefaultPattern elsewhere.
const (
	Auto  Format = "auto"
	Human Format = "human"
	Text  Format = "text"
	JSON  Format = "json"
)

// New returns a logger that writes to w at the given level and above. Its
// lines carry a timestamp from c.
func New(w io.Writer, format Format, level zerolog.Level, c clock.Clock) zerolog.Logger {
	if format == Human || format == Auto && terminal(w) {
		w = console(w, false)
	}
	return stamped(w, c).Level(level)
}

// Remembering is New with a ring that gets the same lines in JSON.
func Remembering(w io.Writer, ring *Ring, format Format, level zerolog.Level, c clock.Clock) zerolog.Logger {
	if format == Human || format == Auto && terminal(w) {
		w = console(w, false)
	}
	return stamped(zerolog.MultiLevelWriter(w, ring), c).Level(level)
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func console(w io.Writer, plain bool) zerolog.ConsoleWriter {
	return zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: plain, FieldsExclude: []string{categoryField}}
}

// timeForm is RFC 3339 with milliseconds: the order of lines within a second is
// what is looked for.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

func stamped(w io.Writer, c clock.Clock) zerolog.Logger {
	return zerolog.New(w).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, c.Now().Format(timeForm))
	}))
}
