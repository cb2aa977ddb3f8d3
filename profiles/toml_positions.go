package profiles

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// position is a place in a file; lines and columns count from 1, columns in
// characters.
type position struct{ line, column int }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.column, q.column))
}

func positionAt(text string, offset int) position {
	offset = min(max(offset, 0), len(text))
	before := text[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return position{strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[start:]) + 1}
}

// positions has where each key of a TOML file stands first. The TOML library
// does not tell, so the file, known to be well-formed, is walked once more.
type positions struct {
	text    string
	offsets map[string]int
}

// of is where a key stands, or the nearest key above it.
func (p positions) of(path []string) position {
	for n := len(path); n > 0; n-- {
		if at, ok := p.offsets[joinKey(path[:n])]; ok {
			return positionAt(p.text, at)
		}
	}
	return position{1, 1}
}

func joinKey(path []string) string { return strings.Join(path, "\x00") }

// locate walks a well-formed TOML file and notes where its keys stand.
func locate(text string) positions {
	l := locator{text: text, found: positions{text, map[string]int{}}}
	var table []string
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == '#':
			l.line()
		case c == '[':
			for l.pos < len(l.text) && l.text[l.pos] == '[' {
				l.pos++
			}
			var starts []int
			table, starts = l.key()
			l.note(nil, table, starts)
			l.line()
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.pos++
		default:
			if !l.pair(table) {
				return l.found
			}
		}
	}
	return l.found
}

type locator struct {
	text  string
	pos   int
	found positions
}

// note remembers where the parts of a key start, unless they stood earlier.
func (l *locator) note(table, key []string, starts []int) {
	path := slices.Concat(table, key)
	for i, offset := range starts {
		k := joinKey(path[:len(table)+i+1])
		if _, earlier := l.found.offsets[k]; !earlier {
			l.found.offsets[k] = offset
		}
	}
}

func (l *locator) line() {
	if i := strings.IndexByte(l.text[l.pos:], '\n'); i >= 0 {
		l.pos += i + 1
	} else {
		l.pos = len(l.text)
	}
}

func (l *locator) blanks(set string) {
	for l.pos < len(l.text) && strings.IndexByte(set, l.text[l.pos]) >= 0 {
		l.pos++
	}
}

// key reads a dotted key and where its parts start.
func (l *locator) key() (path []string, starts []int) {
	for {
		l.blanks(" \t")
		start := l.pos
		starts = append(starts, start)
		if l.pos < len(l.text) && (l.text[l.pos] == '"' || l.text[l.pos] == '\'') {
			l.quoted()
			path = append(path, unquoteKey(l.text[start:l.pos]))
		} else {
			for l.pos < len(l.text) && strings.IndexByte(" \t\r\n.=]#,}", l.text[l.pos]) < 0 {
				l.pos++
			}
			path = append(path, l.text[start:l.pos])
		}
		l.blanks(" \t")
		if l.pos >= len(l.text) || l.text[l.pos] != '.' {
			return path, starts
		}
		l.pos++
	}
}

// unquoteKey reads a quoted key as the TOML library does.
func unquoteKey(quoted string) string {
	var v struct{ K string }
	if _, err := toml.Decode("K = "+quoted, &v); err != nil {
		return quoted
	}
	return v.K
}

// pair reads key = value; false when it does not move on, which a well-formed
// file never does.
func (l *locator) pair(table []string) bool {
	start := l.pos
	key, starts := l.key()
	l.note(table, key, starts)
	l.blanks(" \t")
	if l.pos < len(l.text) && l.text[l.pos] == '=' {
		l.pos++
	}
	l.value(slices.Concat(table, key))
	return l.pos > start
}

// value reads a value and notes the keys in it.
func (l *locator) value(path []string) {
	l.blanks(" \t")
	if l.pos >= len(l.text) {
		return
	}
	switch l.text[l.pos] {
	case '"', '\'':
		l.quoted()
	case '[':
		l.pos++
		l.items(']', func() bool { start := l.pos; l.value(path); return l.pos > start })
	case '{':
		l.pos++
		l.items('}', func() bool { return l.pair(path) })
	default:
		for l.pos < len(l.text) && strings.IndexByte(",]}#\r\n", l.text[l.pos]) < 0 {
			l.pos++
		}
	}
}

// items reads up to the closing bracket.
func (l *locator) items(end byte, item func() bool) {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case c == end:
			l.pos++
			return
		case c == '#':
			l.line()
		case strings.IndexByte(" \t\r\n,", c) >= 0:
			l.pos++
		default:
			if !item() {
				return
			}
		}
	}
}

// quoted reads a string of any of the four kinds.
func (l *locator) quoted() {
	q := l.text[l.pos : l.pos+1]
	end := q
	if long := strings.Repeat(q, 3); strings.HasPrefix(l.text[l.pos:], long) {
		end = long
	}
	l.pos += len(end)
	for l.pos < len(l.text) {
		switch {
		case q == `"` && l.text[l.pos] == '\\':
			l.pos = min(l.pos+2, len(l.text))
		case strings.HasPrefix(l.text[l.pos:], end):
			l.pos += len(end)
			for len(end) == 3 && strings.HasPrefix(l.text[l.pos:], q) { // up to two more belong to the string
				l.pos++
			}
			return
		default:
			l.pos++
		}
	}
}
