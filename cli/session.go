package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/cli/script"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Format is how responses are printed.
type Format string

// The formats.
const (
	Text Format = "text" // as WildFly's command line prints them
	JSON Format = "json"
)

// Settings are what a session is made of.
type Settings struct {
	Connect Connect
	// Lazy connects when the first operation needs it; otherwise only connect does.
	Lazy   bool
	Out    io.Writer
	Err    io.Writer // progress and prompts of a session that is not interactive
	Format Format
	// Headers are added to each operation that does not set them itself.
	Headers map[string]any
	// ExpectRevision is the revision that the first change must find; the next
	// ones expect what the session itself made. nil expects nothing.
	ExpectRevision *uint64
	// Timeout bounds each operation that is not followed; 0 does not.
	Timeout time.Duration
	// Terminal says that Err is a terminal: progress is drawn in place.
	Terminal bool
	// Color paints what is printed to Out, a terminal.
	Color bool
	// Dir is what the names of files are relative to; "" is the working folder.
	Dir     string
	Version string
	Clock   clock.Clock
}

// Session carries out command lines, one after the other: it holds the current
// node, the variables, the open block and the batch.
type Session struct {
	settings  Settings
	target    *Connection // nil while disconnected
	node      profiles.Address
	variables map[string]string
	builder   script.Builder
	batch     *batch
	held      map[string]*batch
	line      int // of the script, from 1
	left      bool
}

// NewSession makes a session that is not connected.
func NewSession(s Settings) *Session {
	return &Session{settings: s, variables: map[string]string{}, held: map[string]*batch{}}
}

// shown marks an error whose response has been printed.
type shown struct{ error }

func (s shown) Unwrap() error { return s.error }

// Shown reports whether an error's message has been printed already.
func Shown(err error) bool {
	var s shown
	return errors.As(err, &s)
}

// caret is an error with the line and a caret below the mistake.
type caret struct {
	error
	picture string
}

func (c caret) Unwrap() error { return c.error }

func (c caret) Error() string { return c.error.Error() + "\n" + c.picture }

// path is where a file is that a command names.
func (s *Session) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.settings.Dir, name)
}

// Left reports whether quit was given.
func (s *Session) Left() bool { return s.left }

// Open reports whether a block (if, try, for) waits for its end.
func (s *Session) Open() bool { return s.builder.Depth() > 0 }

// Use makes c the session's target.
func (s *Session) Use(c Connection) error {
	err := s.disconnect()
	s.target = &c
	return err
}

// Close ends the session's connection.
func (s *Session) Close() error { return s.disconnect() }

func (s *Session) disconnect() error {
	if s.target == nil {
		return nil
	}
	err := s.target.Close()
	s.target, s.node = nil, nil
	return err
}

// Prompt is WildFly's: [domain@localhost:9990 /profile=x], with # while a batch
// is open.
func (s *Session) Prompt() string {
	where := "disconnected"
	if s.target != nil {
		where = string(s.target.Mode) + "@" + s.target.Label
	}
	mark := ""
	if s.batch != nil {
		mark = " #"
	}
	node := "/"
	if len(s.node) > 0 {
		last := s.node.Last()
		node = last.Type + "=" + last.Name
	}
	if s.Open() {
		return strings.Repeat("  ", s.builder.Depth()) + "> "
	}
	return fmt.Sprintf("[%s %s%s] ", where, node, mark)
}

// Script runs the lines of a reader; the first failure outside a try ends it.
// name stands for the script in errors.
func (s *Session) Script(ctx context.Context, name string, r io.Reader) error {
	lines, err := script.Read(r)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := s.take(ctx, line); err != nil {
			return fmt.Errorf("%s:%d: %w", name, line.Number, err)
		}
		if s.left {
			return nil
		}
	}
	if s.Open() {
		s.builder.Discard()
		return problem.Invalid.Errorf("cannot run %s: a block (if, try or for) has no end", name)
	}
	return nil
}

// Line runs one line.
func (s *Session) Line(ctx context.Context, text string) error {
	lines, err := script.Read(strings.NewReader(text))
	if err != nil {
		return err
	}
	for _, line := range lines {
		line.Number += s.line
		if err := s.take(ctx, line); err != nil {
			return err
		}
	}
	s.line++
	return nil
}

func (s *Session) take(ctx context.Context, line script.Line) error {
	statement, err := s.builder.Add(line)
	if err != nil {
		s.builder.Discard()
		return err
	}
	if statement == nil {
		return nil
	}
	return s.run(ctx, *statement)
}

// command runs one simple command, whose output may go elsewhere.
func (s *Session) command(ctx context.Context, text string) error {
	text, err := s.expand(text)
	if err != nil {
		return err
	}
	command, pipe, err := script.CutPipe(text)
	if err != nil {
		return err
	}
	if !pipe.Empty() {
		return s.piped(ctx, command, pipe)
	}
	return s.simple(ctx, text)
}

// simple runs one command and prints its result.
func (s *Session) simple(ctx context.Context, text string) error {
	if lang.IsOperation(text) {
		op, err := s.parse(text)
		if err != nil {
			return err
		}
		if s.batch != nil {
			s.batch.add(text, op)
			return nil
		}
		switch {
		case op.Name == "support-bundle":
			return s.fetchBundle(ctx, op)
		case op.Name == "history" && len(op.Address) == 0 && s.settings.Format != JSON:
			return s.printHistory(ctx, op)
		case op.Params["follow"] == true:
			return s.followLog(ctx, op)
		}
		response, err := s.execute(ctx, op)
		return s.print(response, err)
	}
	word, rest, _ := strings.Cut(text, " ")
	c, ok := commandNamed(word)
	if !ok {
		return s.unknown(text, word)
	}
	return c.run(s, ctx, strings.TrimSpace(rest))
}

func (s *Session) unknown(text, word string) error {
	table := commands()
	names := make([]string, len(table))
	for i, c := range table {
		names[i] = c.name
	}
	if instead, ok := elsewhere[word]; ok {
		return problem.WithHint(problem.Unsupported.Errorf("cannot run %q: it is a command of WildFly's", word), "%s", instead)
	}
	hint := "help lists the commands; an operation begins with / or :"
	if near := profiles.Nearest(word, names); near != "" {
		hint = fmt.Sprintf("did you mean %s? help lists the commands", near)
	}
	return caret{problem.WithHint(problem.Invalid.Errorf("cannot find command %q", word), "%s", hint), text + "\n^"}
}

func (s *Session) expand(text string) (string, error) {
	return script.Expand(text, func(name string) (string, bool) {
		v, ok := s.variables[name]
		return v, ok
	})
}

// parse reads an operation relative to the current node.
func (s *Session) parse(text string) (profiles.Operation, error) {
	op, err := lang.ParseOperation(text, s.node)
	return op, pointed(err)
}

// pointed adds the caret to an error of a line's syntax.
func pointed(err error) error {
	if picture := lang.Caret(err); picture != "" {
		return caret{err, picture}
	}
	return err
}

// execute runs an operation against the target with the session's headers.
func (s *Session) execute(ctx context.Context, op profiles.Operation) (client.Response, error) {
	if err := s.connected(ctx); err != nil {
		return client.Response{}, err
	}
	op = s.withHeaders(op)
	var response client.Response
	var err error
	if s.follows(op) {
		bar := newProgress(s.settings.Err, s.settings.Terminal)
		response, err = s.target.Follow(ctx, op, bar.event)
		bar.end()
	} else {
		if s.settings.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.settings.Timeout)
			defer cancel()
		}
		response, err = s.target.Execute(ctx, op)
	}
	if err == nil && s.settings.ExpectRevision != nil && !op.ReadOnly() && response.Revision != 0 {
		s.settings.ExpectRevision = &response.Revision
	}
	return response, err
}

// connected makes sure that there is a target.
func (s *Session) connected(ctx context.Context) error {
	switch {
	case s.target != nil:
		return nil
	case s.settings.Lazy:
		return s.connect(ctx, "")
	}
	return problem.WithHint(problem.Precondition.Errorf("cannot run an operation: not connected"), "use connect, or start with --connect")
}

func (s *Session) withHeaders(op profiles.Operation) profiles.Operation {
	headers := maps.Clone(s.settings.Headers)
	if headers == nil {
		headers = map[string]any{}
	}
	maps.Copy(headers, op.Headers)
	if s.settings.ExpectRevision != nil && !op.ReadOnly() {
		if _, set := headers["expect-revision"]; !set {
			headers["expect-revision"] = int64(*s.settings.ExpectRevision)
		}
	}
	op.Headers = headers
	return op
}

// rolling are the operations that may go on for as long as servers restart or renew.
var rolling = map[string]bool{"rolling-restart": true, "apply": true, "revert": true, "rotate-authority": true}

// follows reports whether the operation's progress is worth showing.
func (s *Session) follows(op profiles.Operation) bool {
	_, plan := op.Headers["rollout"]
	return (plan || rolling[op.Name]) && !op.ReadOnly()
}
