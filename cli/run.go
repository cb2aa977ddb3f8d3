package cli

import (
	"context"
	"io"
	"os"

	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Work says what one run of the command line does: the commands given, then the
// file, or what comes from the input when there is neither.
type Work struct {
	// Connect makes the connection before anything else.
	Connect  bool
	Commands []string
	File     string
	// Input is read when there are neither commands nor a file; Interactive says
	// that it is a terminal, whose lines of earlier sessions HistoryFile keeps.
	Input       io.Reader
	Interactive bool
	HistoryFile string
	// Interruptible makes the context of one interactive command, which ends when
	// the person interrupts it; the session goes on. nil knows no interrupts.
	Interruptible func(context.Context) (context.Context, context.CancelFunc)
}

// Run carries the work out in a session. An error that Shown reports on has
// been printed with its response.
func Run(ctx context.Context, s *Session, w Work) error {
	if w.Connect {
		if err := s.connect(ctx, ""); err != nil {
			return err
		}
	}
	switch {
	case len(w.Commands) > 0:
		for _, text := range w.Commands {
			if err := s.Line(ctx, text); err != nil {
				return err
			}
		}
		if s.Open() {
			return problem.Invalid.Errorf("cannot finish: a block (if, try or for) has no end")
		}
		return nil
	case w.File != "":
		return s.file(ctx, w.File)
	case w.Interactive:
		return s.interactive(ctx, w)
	}
	return s.lines(ctx, w.Input)
}

func (s *Session) file(ctx context.Context, name string) error {
	f, err := os.Open(s.path(name))
	if err != nil {
		return problem.Invalid.Errorf("cannot read the script: %w", err)
	}
	defer f.Close()
	return s.Script(ctx, name, f)
}

// SplitCommands reads the flag --commands: commands separated by commas that
// are outside quotes and brackets.
func SplitCommands(text string) []string { return script.Commands(text) }
