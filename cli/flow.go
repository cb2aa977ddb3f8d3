package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func trimmed(text string) string { return strings.TrimSpace(text) }

// run carries out a statement, a command or a block.
func (s *Session) run(ctx context.Context, st script.Statement) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case st.If != nil:
		return s.runIf(ctx, *st.If)
	case st.Try != nil:
		return s.runTry(ctx, *st.Try)
	case st.For != nil:
		return s.runFor(ctx, *st.For)
	}
	return s.command(ctx, st.Line.Text)
}

func (s *Session) runAll(ctx context.Context, list []script.Statement) error {
	for _, st := range list {
		if err := s.run(ctx, st); err != nil {
			return err
		}
		if s.left {
			return nil
		}
	}
	return nil
}

// runIf compares the response of its command, which may be a failure: that is
// what the condition asks.
func (s *Session) runIf(ctx context.Context, block script.If) error {
	var body any
	if block.Command != "" {
		text, err := s.expand(block.Command)
		if err != nil {
			return err
		}
		response, err := s.ask(ctx, text)
		if response.Body == nil && err != nil {
			return err
		}
		body = response.Body
	}
	condition, err := s.expand(block.Condition)
	if err != nil {
		return err
	}
	holds, err := script.Evaluate(condition, body)
	if err != nil {
		return err
	}
	if holds {
		return s.runAll(ctx, block.Then)
	}
	return s.runAll(ctx, block.Else)
}

func (s *Session) runTry(ctx context.Context, block script.Try) error {
	err := s.runAll(ctx, block.Body)
	if err != nil && block.Caught && ctx.Err() == nil {
		err = s.runAll(ctx, block.Catch)
	}
	return errors.Join(err, s.runAll(ctx, block.Finally))
}

func (s *Session) runFor(ctx context.Context, block script.For) error {
	text, err := s.expand(block.Command)
	if err != nil {
		return err
	}
	response, err := s.ask(ctx, text)
	if err != nil {
		return err
	}
	elements, ok := response.Result.([]any)
	if !ok {
		return problem.Invalid.Errorf("cannot run for over %q: its result is not a list", block.Command)
	}
	before, was := s.variables[block.Variable]
	defer func() {
		delete(s.variables, block.Variable)
		if was {
			s.variables[block.Variable] = before
		}
	}()
	for _, element := range elements {
		s.variables[block.Variable] = script.Text(element)
		if err := s.runAll(ctx, block.Body); err != nil {
			return err
		}
	}
	return nil
}

// ask runs an operation, its variables expanded, without printing its response.
func (s *Session) ask(ctx context.Context, text string) (client.Response, error) {
	op, err := s.parse(text)
	if err != nil {
		return client.Response{}, err
	}
	return s.execute(ctx, op)
}

func (s *Session) set(ctx context.Context, arguments string) error {
	if arguments == "" {
		for _, name := range slices.Sorted(maps.Keys(s.variables)) {
			fmt.Fprintf(s.settings.Out, "%s=%s\n", name, s.variables[name])
		}
		return nil
	}
	name, value, isCommand, err := script.Assignment(arguments)
	if err != nil {
		return err
	}
	if isCommand {
		response, err := s.ask(ctx, value)
		if err != nil {
			return err
		}
		value = script.Text(response.Result)
	}
	s.variables[name] = value
	return nil
}

func (s *Session) unset(_ context.Context, name string) error {
	if _, ok := s.variables[name]; !ok {
		return problem.NotFound.Errorf("cannot unset %q: it is not set", name)
	}
	delete(s.variables, name)
	return nil
}

// ParseHeaders reads operation headers, {name=value; name=value}; the braces
// may be left out.
func ParseHeaders(text string) (map[string]any, error) {
	text = trimmed(text)
	if !strings.HasPrefix(text, "{") {
		text = "{" + text + "}"
	}
	op, err := lang.ParseOperation(":read-resource"+text, nil)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the headers %s: %w", text, err)
	}
	return op.Headers, nil
}
