package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"

	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// piped runs a command whose output goes through filters or into a file. A
// failure is told where failures are, not to them.
func (s *Session) piped(ctx context.Context, command string, p script.Pipe) (err error) {
	if s.batch != nil {
		return problem.Invalid.Errorf("cannot add to the batch what goes elsewhere: its lines have no output of their own; redirect run-batch")
	}
	out, color := s.settings.Out, s.settings.Color
	defer func() { s.settings.Out, s.settings.Color = out, color }()
	to := out
	if p.File != "" {
		how := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
		if p.Append {
			how = os.O_CREATE | os.O_WRONLY | os.O_APPEND
		}
		f, openErr := os.OpenFile(s.path(p.File), how, 0o600) // answers may hold secrets
		if openErr != nil {
			return problem.Invalid.Errorf("cannot write to the file: %w", openErr)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		to = f
	}
	var filters []*grep
	for i := len(p.Filters) - 1; i >= 0; i-- {
		g, err := newGrep(p.Filters[i], to)
		if err != nil {
			return err
		}
		filters, to = append(filters, g), g
	}
	s.settings.Out, s.settings.Color = to, false
	err = s.simple(ctx, command)
	for i := len(filters) - 1; i >= 0; i-- { // the first of the line first
		err = errors.Join(err, filters[i].end())
	}
	var said shown
	if errors.As(err, &said) {
		return said.error
	}
	return err
}

// grep lets through the lines that match.
type grep struct {
	pattern *regexp.Regexp
	invert  bool
	to      io.Writer
	rest    []byte // a line that has not ended
}

// newGrep reads "grep [-i] [-v] PATTERN", the one filter that there is.
func newGrep(text string, to io.Writer) (*grep, error) {
	words := script.Words(text)
	if words[0] != "grep" {
		return nil, problem.Invalid.Errorf("cannot pipe into %q: the only filter is grep [-i] [-v] PATTERN", words[0])
	}
	g := &grep{to: to}
	flags := ""
	for words = words[1:]; len(words) > 1; words = words[1:] {
		switch words[0] {
		case "-i", "--ignore-case":
			flags = "(?i)"
		case "-v", "--invert-match":
			g.invert = true
		case "-e", "-E":
		default:
			return nil, problem.Invalid.Errorf("cannot use grep with %q: want grep [-i] [-v] PATTERN", words[0])
		}
	}
	if len(words) != 1 {
		return nil, problem.Invalid.Errorf("cannot use grep without a pattern: want grep [-i] [-v] PATTERN")
	}
	var err error
	if g.pattern, err = regexp.Compile(flags + words[0]); err != nil {
		return nil, problem.Invalid.Errorf("cannot use the pattern %q: %w", words[0], err)
	}
	return g, nil
}

// Write implements io.Writer.
func (g *grep) Write(text []byte) (int, error) {
	g.rest = append(g.rest, text...)
	for {
		i := bytes.IndexByte(g.rest, '\n')
		if i < 0 {
			return len(text), nil
		}
		if g.pattern.Match(g.rest[:i]) != g.invert {
			if _, err := g.to.Write(g.rest[:i+1]); err != nil {
				return 0, err
			}
		}
		g.rest = g.rest[i+1:]
	}
}

// end lets the last line through, which may have no end.
func (g *grep) end() error {
	if len(g.rest) == 0 {
		return nil
	}
	_, err := g.Write([]byte{'\n'})
	return err
}
