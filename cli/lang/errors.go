package lang

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// SyntaxError is a mistake in a line. Errors of this package are
// problem.Invalid and have one in their chain.
type SyntaxError struct {
	Line    string
	Column  int // of the mistake, in characters, from 1
	Message string
}

// Error is the message with its column.
func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// Caret is the line with a caret below the mistake.
func (e *SyntaxError) Caret() string {
	var pad strings.Builder
	for i, r := range []rune(e.Line) {
		if i >= e.Column-1 {
			break
		}
		if r != '\t' { // a tab stays as wide as it is above
			r = ' '
		}
		pad.WriteRune(r)
	}
	return e.Line + "\n" + pad.String() + "^"
}

// Caret is the line of an error of this package with a caret below the mistake;
// "" for another error.
func Caret(err error) string {
	if e := (*SyntaxError)(nil); errors.As(err, &e) {
		return e.Caret()
	}
	return ""
}

// fail makes the error for a mistake at a byte offset.
func (p *parser) fail(offset int, format string, args ...any) error {
	offset = min(max(offset, 0), len(p.s))
	e := &SyntaxError{Line: p.s, Column: len([]rune(p.s[:offset])) + 1, Message: fmt.Sprintf(format, args...)}
	return problem.Invalid.Errorf("cannot read the command: %w", e)
}
