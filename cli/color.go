package cli

import "strings"

// Colours of a terminal (ECMA-48).
const (
	red, green, yellow, bold = "31", "32", "33", "1"
)

// paint is a text in a colour, where colours are wanted.
func (s *Session) paint(color, text string) string {
	if !s.settings.Color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// paintChanges colours the lines of a diff by their first character.
func (s *Session) paintChanges(text string) string {
	if !s.settings.Color {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		body := strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(body, "+"):
			body = s.paint(green, body)
		case strings.HasPrefix(body, "-"):
			body = s.paint(red, body)
		case strings.HasPrefix(body, "~"):
			body = s.paint(yellow, body)
		}
		b.WriteString(body)
		if strings.HasSuffix(line, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
