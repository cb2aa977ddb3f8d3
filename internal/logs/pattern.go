package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// DefaultPattern is WildFly's form of a line, without the thread.
const DefaultPattern = "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p [%c] %s%e%n"

// Pattern is a form of lines: a format string as of WildFly's pattern-formatter.
// Of what a line carries control characters are escaped, so that no line looks
// like two.
//
//	%d{form} time; forms as of SimpleDateFormat   %p level      %c{n} category, its last n words
//	%s message and fields   %m the same, and the error   %e error   %n end of line
//	%t thread, always "main"   %i process   %h %H host name   %X{field} a field   %% percent
//	%K{level} colour: none   %x nothing
//
// A number after the percent sign is the least width, to the left with a minus;
// one after a dot is the greatest.
type Pattern []func(out *bytes.Buffer, l *record)

// record is a line, read.
type record struct {
	at       time.Time
	level    string
	category string
	message  string
	err      string
	fields   map[string]any
}

// defaultPattern is DefaultPattern, parsed.
func defaultPattern() Pattern {
	p, err := ParsePattern(DefaultPattern)
	if err != nil {
		return nil
	}
	return p
}

// ParsePattern reads a pattern. What means nothing is refused by name.
func ParsePattern(text string) (Pattern, error) {
	var p Pattern
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		if before != "" {
			p = append(p, literal(before))
		}
		if !found {
			break
		}
		var err error
		var part func(*bytes.Buffer, *record)
		if part, rest, err = parsePart(after); err != nil {
			return nil, problem.Invalid.Errorf("cannot use the log pattern %q: %w", text, err)
		}
		p = append(p, part)
	}
	return p, nil
}

func literal(text string) func(*bytes.Buffer, *record) {
	return func(out *bytes.Buffer, _ *record) { out.WriteString(text) }
}

// parsePart reads what follows a percent sign.
func parsePart(text string) (part func(*bytes.Buffer, *record), rest string, err error) {
	left := strings.HasPrefix(text, "-")
	text = strings.TrimPrefix(text, "-")
	width, text := number(text)
	limit := 0
	if dotted, ok := strings.CutPrefix(text, "."); ok {
		limit, text = number(strings.TrimPrefix(dotted, "-"))
	}
	if text == "" {
		return nil, "", problem.Invalid.Errorf("it ends after a %%; %%%% is a percent sign")
	}
	letter, size := utf8.DecodeRuneInString(text)
	option, rest := "", text[size:]
	if strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return nil, "", problem.Invalid.Errorf("the { of %%%c is not closed", letter)
		}
		option, rest = rest[1:end], rest[end+1:]
	}
	value, err := valueOf(letter, option)
	if err != nil {
		return nil, "", err
	}
	return func(out *bytes.Buffer, l *record) { fit(out, value(l), left, width, limit) }, rest, nil
}

// number reads digits; widths beyond 1000 are 1000.
func number(text string) (n int, rest string) {
	i := 0
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		n = min(n*10+int(text[i]-'0'), 1000)
		i++
	}
	return n, text[i:]
}

// valueOf is what a letter stands for.
func valueOf(letter rune, option string) (func(*record) string, error) {
	constant := func(s string) (func(*record) string, error) {
		return func(*record) string { return s }, nil
	}
	switch letter {
	case 'd':
		if option == "" {
			option = "yyyy-MM-dd HH:mm:ss,SSS"
		}
		form, err := parseDate(option)
		return func(l *record) string { return form.format(l.at) }, err
	case 'p':
		return func(l *record) string { return l.level }, nil
	case 'c', 'C':
		words, err := strconv.Atoi("0" + option)
		if err != nil {
			return nil, problem.Invalid.Errorf("%%%c{%s}: want a number of words", letter, option)
		}
		return func(l *record) string { return lastWords(l.category, words) }, nil
	case 's':
		return (*record).text, nil
	case 'm':
		return func(l *record) string { return l.text() + l.trouble() }, nil
	case 'e', 'E':
		return (*record).trouble, nil
	case 'X':
		return func(l *record) string { return clean(l.fields[option], false) }, nil
	case 'n':
		return constant("\n")
	case '%':
		return constant("%")
	case 't':
		return constant("main")
	case 'i':
		return constant(strconv.Itoa(os.Getpid()))
	case 'h', 'H':
		name := hostName()
		if letter == 'h' {
			name, _, _ = strings.Cut(name, ".")
		}
		return constant(name)
	case 'K', 'x':
		return constant("")
	}
	return nil, problem.Invalid.Errorf("%%%c means nothing here (valid: %%d %%p %%c %%s %%m %%e %%n %%t %%i %%h %%H %%X %%x %%K %%%%)", letter)
}

func lastWords(name string, n int) string {
	words := strings.Split(name, ".")
	if n == 0 || n > len(words) {
		return name
	}
	return strings.Join(words[len(words)-n:], ".")
}

// fit writes s at least width and, unless limit is 0, at most limit wide.
func fit(out *bytes.Buffer, s string, left bool, width, limit int) {
	if runes := []rune(s); limit > 0 && len(runes) > limit {
		s = string(runes[len(runes)-limit:])
	}
	blank := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if left {
		out.WriteString(s + blank)
		return
	}
	out.WriteString(blank + s)
}

// layout writes a JSON line by the pattern.
func (p Pattern) layout(out *bytes.Buffer, line []byte) error {
	l, err := readRecord(line)
	if err != nil {
		return err
	}
	for _, part := range p {
		part(out, l)
	}
	return nil
}

// readRecord reads a JSON line.
func readRecord(line []byte) (*record, error) {
	l := &record{}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&l.fields); err != nil {
		return nil, err
	}
	take := func(name string) string {
		s, _ := l.fields[name].(string)
		delete(l.fields, name)
		return s
	}
	l.at, _ = time.Parse(timeForm, take(zerolog.TimestampFieldName)) // a line without is at no time
	l.level = strings.ToUpper(take(zerolog.LevelFieldName))
	l.category, l.message, l.err = take(categoryField), take(zerolog.MessageFieldName), take(zerolog.ErrorFieldName)
	return l, nil
}

// text is the message, and the fields in the order of their names.
func (l *record) text() string {
	var out strings.Builder
	out.WriteString(escaped(l.message))
	for _, name := range slices.Sorted(maps.Keys(l.fields)) {
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(clean(name, true) + "=" + clean(l.fields[name], true))
	}
	return out.String()
}

// trouble is the error, if the line has one.
func (l *record) trouble() string {
	if l.err == "" {
		return ""
	}
	return ": " + escaped(l.err)
}

// clean is a field's value on one line; of several fields, quoted where it
// would run into the next.
func clean(v any, several bool) string {
	var s string
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		s = v
	case json.Number, bool:
		return fmt.Sprint(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(text)
	}
	if several && (s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) })) {
		return strconv.Quote(s)
	}
	return escaped(s)
}

// escaped replaces what is not printable.
func escaped(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return out.String()
}
