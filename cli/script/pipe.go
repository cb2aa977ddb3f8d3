package script

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Pipe is what follows a command: filters, then perhaps a file.
type Pipe struct {
	Filters []string // as "grep -i x"
	File    string   // "" for none
	Append  bool     // >>
}

// Empty reports whether nothing follows.
func (p Pipe) Empty() bool { return len(p.Filters) == 0 && p.File == "" }

// CutPipe splits a command from what follows it: "| grep PATTERN", "> FILE",
// ">> FILE", as in jboss-cli. They count outside quotes and brackets and after a
// blank only; => and -> are part of values.
func CutPipe(text string) (command string, p Pipe, err error) {
	marks := pipeMarks(text)
	if len(marks) == 0 {
		return text, p, nil
	}
	for n, at := range marks {
		end := len(text)
		if n+1 < len(marks) {
			end = marks[n+1]
		}
		part := strings.TrimSpace(strings.TrimLeft(text[at:end], "|>"))
		switch {
		case p.File != "":
			return "", p, problem.Invalid.Errorf("cannot run the command: nothing can follow the file %q (column %d)", p.File, at+1)
		case part == "" || text[at] == '>' && Unquote(part) == "":
			return "", p, problem.Invalid.Errorf("cannot run the command: something is missing after %s (column %d)", strings.TrimRight(text[at:min(len(text), at+2)], " "), at+1)
		case text[at] == '|':
			p.Filters = append(p.Filters, part)
		default:
			p.File, p.Append = Unquote(part), strings.HasPrefix(text[at:], ">>")
		}
	}
	return strings.TrimSpace(text[:marks[0]]), p, nil
}

// pipeMarks are where the parts of a pipe begin.
func pipeMarks(text string) []int {
	var marks []int
	var quote byte
	depth := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case (c == '|' || c == '>') && depth <= 0 && i > 0 && (text[i-1] == ' ' || text[i-1] == '\t'):
			marks = append(marks, i)
			if i+1 < len(text) && text[i+1] == '>' && c == '>' {
				i++
			}
		}
	}
	return marks
}
