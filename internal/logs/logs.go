// Package logs makes a process's zerolog logger: a human form on a terminal,
// JSON otherwise. It knows no product noun.
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

// The formats. Auto is human on a terminal and JSON elsewhere.
const (
	Auto  Format = "auto"
	Human Format = "human"
	JSON  Format = "json"
)

// New returns a logger that writes to w at the given level and above. Its
// lines carry a timestamp from c.
func New(w io.Writer, format Format, level zerolog.Level, c clock.Clock) zerolog.Logger {
	if f, ok := w.(*os.File); format == Human || format == Auto && ok && term.IsTerminal(int(f.Fd())) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(w).Level(level).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Time(zerolog.TimestampFieldName, c.Now())
	}))
}
