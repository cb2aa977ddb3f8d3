package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/reeflective/readline"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// completionTimeout bounds what one press of Tab may ask: a controller on the
// same continent answers a read in a tenth of it.
const completionTimeout = time.Second

// interactive reads commands from the terminal until quit or the end of input.
// Failures are printed and the session goes on.
func (s *Session) interactive(ctx context.Context, w Work) error {
	shell := readline.NewShell()
	shell.Prompt.Primary(func() string { return s.paint(bold, s.Prompt()) })
	// Tab writes what all completions share and lists them.
	if err := shell.Config.Set("menu-complete-display-prefix", true); err != nil {
		return problem.Internal.Errorf("cannot set up the line editor: %w", err)
	}
	shell.Completer = func(line []rune, cursor int) readline.Completions {
		asking, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		return s.offer(asking, string(line[:cursor]))
	}
	if w.HistoryFile != "" {
		shell.History.AddFromFile("management", w.HistoryFile)
	}
	for !s.left && ctx.Err() == nil {
		line, err := shell.Readline()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(s.settings.Out)
			return nil
		case errors.Is(err, readline.ErrInterrupt):
			s.builder.Discard()
			continue
		case err != nil:
			return problem.Internal.Errorf("cannot read the terminal: %w", err)
		}
		s.attempt(ctx, w, line)
	}
	return nil
}

// lines reads commands from what is not a terminal, without prompts or colour.
// The first failure outside a try ends it.
func (s *Session) lines(ctx context.Context, r io.Reader) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	pending := ""
	for !s.left && scanner.Scan() {
		text := pending + scanner.Text()
		if rest, more := strings.CutSuffix(text, `\`); more {
			pending = rest + " "
			continue
		}
		pending = ""
		if err := s.Line(ctx, text); err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return problem.Invalid.Errorf("cannot read the commands: %w", err)
	}
	if s.Open() && !s.left {
		return problem.Invalid.Errorf("cannot finish: a block (if, try or for) has no end")
	}
	return nil
}

// attempt runs a line and prints its failure.
func (s *Session) attempt(ctx context.Context, w Work, line string) {
	if w.Interruptible != nil {
		var done context.CancelFunc
		ctx, done = w.Interruptible(ctx)
		defer done()
	}
	if err := s.Line(ctx, line); err != nil && !Shown(err) {
		fmt.Fprintln(s.settings.Err, s.paint(red, err.Error()))
	}
}

// offer gives the completions of a line in the editor's form: it replaces
// whole words, so each candidate is the word as it would be.
func (s *Session) offer(ctx context.Context, line string) readline.Completions {
	start, candidates := s.Complete(ctx, line)
	word := min(start, strings.LastIndexByte(line, ' ')+1)
	list := make([]readline.Completion, len(candidates))
	for i, c := range candidates {
		list[i] = readline.Completion{Value: line[word:start] + c.Text, Display: c.Text, Description: c.Note}
	}
	completions := readline.CompleteRaw(list)
	completions.PREFIX = line[word:]
	return completions
}
