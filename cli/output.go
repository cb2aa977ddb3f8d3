package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-idp/gatehouse/cli/dmr"
	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// print writes an operation's response. A failure whose response was printed
// comes back marked as shown.
func (s *Session) print(response client.Response, err error) error {
	if response.Body == nil {
		return err
	}
	if err != nil && s.settings.Color {
		fmt.Fprint(s.settings.Out, "\x1b["+red+"m")
		defer fmt.Fprint(s.settings.Out, "\x1b[0m")
	}
	if printErr := s.printValue(response.Body); printErr != nil {
		return printErr
	}
	if err != nil {
		return shown{err}
	}
	return nil
}

// printValue writes a value decoded from JSON in the session's format.
func (s *Session) printValue(value any) error {
	if s.settings.Format == JSON {
		return s.printJSON(value)
	}
	if err := dmr.Write(s.settings.Out, value); err != nil {
		return err
	}
	_, err := fmt.Fprintln(s.settings.Out)
	return err
}

// printJSON writes a value as indented JSON; angle brackets stay as they are.
func (s *Session) printJSON(value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(value); err != nil {
		return problem.Internal.Errorf("cannot print a value: %w", err)
	}
	_, err := s.settings.Out.Write(b.Bytes())
	return err
}
