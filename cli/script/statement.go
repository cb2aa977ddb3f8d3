// Package script is the language around operations in a script of the command
// line: lines, comments, variables, if, try and for, as jboss-cli has them. It
// must not know what a command does: the shell gives each simple command its
// meaning.
package script

import (
	"bufio"
	"io"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Line is one logical line of a script: physical lines that end with a
// backslash are joined with the next.
type Line struct {
	Text   string
	Number int // of its first physical line, from 1
}

// Statement is a simple command or a block. Exactly one of If, Try and For is
// set for a block; Line is then the line that opens it.
type Statement struct {
	Line Line
	If   *If
	Try  *Try
	For  *For
}

// If runs Command, then Then or Else by what Condition says of its response.
// Without a command the condition compares its own texts.
type If struct {
	Condition string
	Command   string // "" without "of"
	Then      []Statement
	Else      []Statement
}

// Try runs Body; Catch when it fails; Finally in any case.
type Try struct {
	Body, Catch, Finally []Statement
	Caught               bool // there is a catch
}

// For runs Body once for each element of the result of Command, a list, with
// the element in the variable.
type For struct {
	Variable string
	Command  string
	Body     []Statement
}

// Read gives the logical lines of a text without comments (#) and empty lines.
func Read(r io.Reader) ([]Line, error) {
	var lines []Line
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20) // one line of at most 1 MiB
	var joined strings.Builder
	start := 0
	for number := 1; scanner.Scan(); number++ {
		text := strings.TrimRight(strings.TrimPrefix(scanner.Text(), "\ufeff"), " \t\r")
		if joined.Len() == 0 {
			start = number
			if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed[0] == '#' {
				continue
			}
		}
		if rest, more := strings.CutSuffix(text, `\`); more {
			joined.WriteString(rest + " ")
			continue
		}
		joined.WriteString(text)
		lines = append(lines, Line{strings.TrimSpace(joined.String()), start})
		joined.Reset()
	}
	if err := scanner.Err(); err != nil {
		return nil, problem.Invalid.Errorf("cannot read the script: %w", err)
	}
	if rest := strings.TrimSpace(joined.String()); rest != "" {
		lines = append(lines, Line{rest, start})
	}
	return lines, nil
}

// Builder turns lines into statements as they come.
type Builder struct{ open []*block }

// block is a block whose end has not been read.
type block struct {
	statement Statement
	into      *[]Statement // where simple statements go at the moment
	part      string       // "then", "else", "try", "catch", "finally", "for"
}

// Depth is the number of blocks that are open.
func (b *Builder) Depth() int { return len(b.open) }

// Discard forgets what is open.
func (b *Builder) Discard() { b.open = nil }

// Add takes the next line. It gives a statement when one is complete.
func (b *Builder) Add(line Line) (*Statement, error) {
	word, rest, _ := strings.Cut(line.Text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "if":
		return nil, b.push(line, "then", func(s *Statement) (*[]Statement, error) {
			condition, command, err := cutOf(rest)
			s.If = &If{Condition: condition, Command: command}
			return &s.If.Then, err
		})
	case "try":
		return nil, b.push(line, "try", func(s *Statement) (*[]Statement, error) {
			s.Try = &Try{}
			return &s.Try.Body, nil
		})
	case "for":
		return nil, b.push(line, "for", func(s *Statement) (*[]Statement, error) {
			variable, command, ok := strings.Cut(rest, " in ")
			if variable = strings.TrimSpace(variable); !ok || !isName(variable) {
				return nil, refuse(line, "want: for VARIABLE in COMMAND")
			}
			s.For = &For{Variable: variable, Command: strings.TrimSpace(command)}
			return &s.For.Body, nil
		})
	case "else", "catch", "finally":
		return nil, b.turn(line, word)
	case "end-if", "end-try", "done":
		return b.close(line, word)
	}
	return b.add(Statement{Line: line}), nil
}

func (b *Builder) push(line Line, part string, fill func(*Statement) (*[]Statement, error)) error {
	bl := &block{statement: Statement{Line: line}, part: part}
	into, err := fill(&bl.statement)
	if err != nil {
		return err
	}
	bl.into = into
	b.open = append(b.open, bl)
	return nil
}

// add puts a statement into the innermost open block, or gives it back.
func (b *Builder) add(s Statement) *Statement {
	if len(b.open) == 0 {
		return &s
	}
	into := b.open[len(b.open)-1].into
	*into = append(*into, s)
	return nil
}

// turn goes from one part of the innermost block to its next.
func (b *Builder) turn(line Line, word string) error {
	if len(b.open) == 0 {
		return refuse(line, "there is no open block")
	}
	bl := b.open[len(b.open)-1]
	switch {
	case word == "else" && bl.part == "then":
		bl.into = &bl.statement.If.Else
	case word == "catch" && bl.part == "try":
		bl.into, bl.statement.Try.Caught = &bl.statement.Try.Catch, true
	case word == "finally" && (bl.part == "try" || bl.part == "catch"):
		bl.into = &bl.statement.Try.Finally
	default:
		return refuse(line, "it does not belong to the block of line "+itoa(bl.statement.Line.Number)+": "+bl.statement.Line.Text)
	}
	bl.part = word
	return nil
}

func (b *Builder) close(line Line, word string) (*Statement, error) {
	if len(b.open) == 0 {
		return nil, refuse(line, "there is no open block")
	}
	bl := b.open[len(b.open)-1]
	want := "done"
	switch {
	case bl.statement.If != nil:
		want = "end-if"
	case bl.statement.Try != nil:
		want = "end-try"
	}
	if word != want {
		return nil, refuse(line, "the block of line "+itoa(bl.statement.Line.Number)+" ends with "+want)
	}
	if want == "end-try" && bl.part == "try" {
		return nil, refuse(line, "a try needs catch or finally")
	}
	b.open = b.open[:len(b.open)-1]
	return b.add(bl.statement), nil
}

// Parse gives the statements of a whole script.
func Parse(lines []Line) ([]Statement, error) {
	var b Builder
	var statements []Statement
	for _, line := range lines {
		s, err := b.Add(line)
		if err != nil {
			return nil, err
		}
		if s != nil {
			statements = append(statements, *s)
		}
	}
	if len(b.open) > 0 {
		opened := b.open[len(b.open)-1].statement.Line
		return nil, refuse(opened, "the block is never closed")
	}
	return statements, nil
}

func refuse(line Line, why string) error {
	return problem.Invalid.Errorf("cannot use line %d, %q: %s", line.Number, line.Text, why)
}
