package logs

import (
	"bytes"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// route is a handler at work: a level, a form and where lines go.
type route struct {
	name   string
	tree   *Tree
	level  zerolog.Level
	layout layout
	output Output
	sink   sink
}

// layout writes a line, which is JSON with a newline, in another form.
type layout func(out *bytes.Buffer, line []byte) error

// Output is where a handler writes: Console, File or Syslog. Equal outputs are
// one.
type Output interface {
	// check refuses what cannot be.
	check() error
	// place is what only one handler may have; nil where any number may.
	place() Output
	open(u user) sink
}

// user is who opens an output, and is told of trouble with it.
type user struct {
	console *consoleSink // nil: there is none
	clock   clock.Clock
	say     func(level zerolog.Level, err error, message string)
}

// sink writes lines. The caller holds the tree's lock for reading while it
// writes, and for writing while it closes.
type sink interface {
	write(level zerolog.Level, text []byte)
	close()
}

func (r *route) write(level zerolog.Level, line []byte) {
	if r.layout == nil {
		r.sink.write(level, line)
		return
	}
	var out bytes.Buffer
	if r.layout(&out, line) != nil { // not JSON: as it is
		r.sink.write(level, line)
		return
	}
	r.sink.write(level, out.Bytes())
}

// plainLayout is the form of a handler without a pattern; nil leaves JSON.
func (t *Tree) plainLayout(h Handler) layout {
	_, people := h.Output.(Console)
	format := h.Format
	if people && (format == "" || format == Auto) {
		format = t.config.Format
	}
	people = people && terminal(t.config.Console)
	switch {
	case format == Human, people && format != JSON:
		return func(out *bytes.Buffer, line []byte) error {
			_, err := console(out, !people).Write(line)
			return err
		}
	case format == Text:
		return defaultPattern().layout
	}
	return nil
}
