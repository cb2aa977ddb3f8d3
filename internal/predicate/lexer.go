package predicate

import "strings"

type kind uint8

const (
	end    kind = iota
	word        // a name or an unquoted value
	quoted      // raw is without the quotes
	sign        // one of ( ) [ ] { } , =
	broken      // raw says why
)

type token struct {
	kind kind
	raw  string
	at   int // byte position
}

// lexer cuts a text into tokens. %{...} is part of a word, whatever is in it.
type lexer struct {
	text string
	pos  int
}

const (
	spaces = " \t\r\n"
	signs  = "()[]{},="
)

func (l *lexer) scan() token {
	l.pos += len(l.text[l.pos:]) - len(strings.TrimLeft(l.text[l.pos:], spaces))
	rest, at := l.text[l.pos:], l.pos
	switch {
	case rest == "":
		return token{end, "", at}
	case strings.IndexByte(signs, rest[0]) >= 0:
		l.pos++
		return token{sign, rest[:1], at}
	case rest[0] == '"' || rest[0] == '\'':
		return l.quote(rest[0])
	}
	for l.pos < len(l.text) && strings.IndexByte(spaces+signs, l.text[l.pos]) < 0 {
		if !strings.HasPrefix(l.text[l.pos:], "%{") {
			l.pos++
			continue
		}
		n := strings.IndexByte(l.text[l.pos:], '}')
		if n < 0 {
			return token{broken, "%{ without }", l.pos}
		}
		l.pos += n + 1
	}
	return token{word, l.text[at:l.pos], at}
}

// quote reads a quoted value; a backslash takes the next character as it is
// where that is a quote or a backslash, and stays itself otherwise, as in \d.
func (l *lexer) quote(by byte) token {
	at := l.pos
	var b strings.Builder
	for i := at + 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == by:
			l.pos = i + 1
			return token{quoted, b.String(), at}
		case c == '\\' && i+1 < len(l.text) && (l.text[i+1] == by || l.text[i+1] == '\\'):
			i++
			b.WriteByte(l.text[i])
		default:
			b.WriteByte(c)
		}
	}
	l.pos = len(l.text)
	return token{broken, "a quote without its end", at}
}

// followedBy reports whether the next token begins with c.
func (l *lexer) followedBy(c byte) bool {
	rest := strings.TrimLeft(l.text[l.pos:], spaces)
	return rest != "" && rest[0] == c
}
