package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// batch is a list of operations that wait to happen together.
type batch struct {
	texts      []string
	operations []profiles.Operation
}

func (b *batch) add(text string, op profiles.Operation) {
	b.texts, b.operations = append(b.texts, text), append(b.operations, op)
}

// current gives the open batch.
func (s *Session) current() (*batch, error) {
	if s.batch == nil {
		return nil, problem.WithHint(problem.Precondition.Errorf("cannot do that: no batch is open"), "begin one with batch")
	}
	return s.batch, nil
}

// lineNumber reads the number of a line of the batch, from 1; it gives its index.
func (b *batch) lineNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > len(b.texts) {
		return 0, problem.Invalid.Errorf("cannot find line %q of the batch: it has the lines 1 to %d", text, len(b.texts))
	}
	return n - 1, nil
}

func (s *Session) beginBatch(_ context.Context, arguments string) error {
	words := script.Words(arguments)
	if len(words) > 0 && words[0] == "-l" {
		for _, name := range slices.Sorted(maps.Keys(s.held)) {
			fmt.Fprintln(s.settings.Out, name)
		}
		return nil
	}
	if s.batch != nil {
		return problem.WithHint(problem.Precondition.Errorf("cannot begin a batch: one is open"), "use run-batch, holdback-batch or discard-batch")
	}
	name := "unnamed"
	if len(words) > 0 {
		name = words[0]
	}
	held, ok := s.held[name]
	if !ok && len(words) > 0 {
		return problem.NotFound.Errorf("cannot find a held-back batch %q: batch -l lists them", name)
	}
	if !ok {
		held = &batch{}
	}
	delete(s.held, name)
	s.batch = held
	return nil
}

func (s *Session) listBatch(context.Context, string) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	for i, text := range b.texts {
		fmt.Fprintf(s.settings.Out, "#%d %s\n", i+1, text)
	}
	return nil
}

func (s *Session) editBatchLine(_ context.Context, arguments string) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	number, text := cutWord(arguments)
	i, err := b.lineNumber(number)
	if err != nil {
		return err
	}
	op, err := s.parse(text)
	if err != nil {
		return err
	}
	b.texts[i], b.operations[i] = text, op
	return nil
}

func (s *Session) removeBatchLine(_ context.Context, arguments string) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	i, err := b.lineNumber(arguments)
	if err != nil {
		return err
	}
	b.texts, b.operations = slices.Delete(b.texts, i, i+1), slices.Delete(b.operations, i, i+1)
	return nil
}

func (s *Session) moveBatchLine(_ context.Context, arguments string) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	first, second := cutWord(arguments)
	from, err := b.lineNumber(first)
	if err != nil {
		return err
	}
	to, err := b.lineNumber(second)
	if err != nil {
		return err
	}
	text, op := b.texts[from], b.operations[from]
	b.texts = slices.Insert(slices.Delete(b.texts, from, from+1), to, text)
	b.operations = slices.Insert(slices.Delete(b.operations, from, from+1), to, op)
	return nil
}

func (s *Session) holdbackBatch(_ context.Context, name string) error {
	b, err := s.current()
	if err != nil {
		return err
	}
	if name == "" {
		name = "unnamed"
	}
	if s.held[name] != nil {
		return problem.Conflict.Errorf("cannot hold the batch back as %q: there is one of that name", name)
	}
	s.held[name], s.batch = b, nil
	return nil
}

func (s *Session) discardBatch(context.Context, string) error {
	_, err := s.current()
	s.batch = nil
	return err
}

// runBatch runs the batch as one composite. A batch that fails stays open, so
// that it can be edited.
func (s *Session) runBatch(ctx context.Context, arguments string) error {
	flags, _, err := options("run-batch", arguments, "--file=", "-v", "--verbose", "--headers=")
	if err != nil {
		return err
	}
	if file, ok := flags["--file"]; ok {
		if err := s.readBatch(ctx, file); err != nil {
			s.batch = nil
			return err
		}
	}
	b, err := s.current()
	if err != nil {
		return err
	}
	if len(b.operations) == 0 {
		return problem.Precondition.Errorf("cannot run the batch: it is empty")
	}
	op := profiles.Composite(b.operations...)
	if text, ok := flags["--headers"]; ok {
		if op.Headers, err = ParseHeaders(text); err != nil {
			return err
		}
	}
	response, err := s.execute(ctx, op)
	if err == nil {
		s.batch = nil
	}
	return s.print(response, err)
}

// readBatch takes the lines of a file as a batch.
func (s *Session) readBatch(ctx context.Context, file string) error {
	f, err := os.Open(s.path(file))
	if err != nil {
		return problem.Invalid.Errorf("cannot read the batch: %w", err)
	}
	defer f.Close()
	if err := s.beginBatch(ctx, ""); err != nil {
		return err
	}
	return s.Script(ctx, file, f)
}

// cutWord splits off the first word.
func cutWord(text string) (word, rest string) {
	words := script.Words(text)
	if len(words) == 0 {
		return "", ""
	}
	return words[0], trimmed(text[len(words[0]):])
}
