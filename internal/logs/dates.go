package logs

import (
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// dateForm is a form of dates as Java's SimpleDateFormat writes it: letters
// stand for parts, what is between apostrophes for itself.
type dateForm []func(time.Time) string

// dateParts are the letters that are known: y year, M month, d day, E weekday,
// a AM or PM, H 0-23, k 1-24, K 0-11, h 1-12, m minute, s second, S
// milliseconds, D day of the year, w week of the year, z Z X zone.
var dateParts = map[byte]func(t time.Time, n int) string{
	'y': func(t time.Time, n int) string {
		if n == 2 {
			return t.Format("06")
		}
		return padded(t.Year(), n)
	},
	'M': func(t time.Time, n int) string {
		switch {
		case n >= 4:
			return t.Format("January")
		case n == 3:
			return t.Format("Jan")
		}
		return padded(int(t.Month()), n)
	},
	'd': func(t time.Time, n int) string { return padded(t.Day(), n) },
	'D': func(t time.Time, n int) string { return padded(t.YearDay(), n) },
	'w': func(t time.Time, n int) string { _, w := t.ISOWeek(); return padded(w, n) },
	'E': func(t time.Time, n int) string {
		if n >= 4 {
			return t.Format("Monday")
		}
		return t.Format("Mon")
	},
	'a': func(t time.Time, _ int) string { return t.Format("PM") },
	'H': func(t time.Time, n int) string { return padded(t.Hour(), n) },
	'k': func(t time.Time, n int) string { return padded((t.Hour()+23)%24+1, n) },
	'K': func(t time.Time, n int) string { return padded(t.Hour()%12, n) },
	'h': func(t time.Time, n int) string { return padded((t.Hour()+11)%12+1, n) },
	'm': func(t time.Time, n int) string { return padded(t.Minute(), n) },
	's': func(t time.Time, n int) string { return padded(t.Second(), n) },
	'S': func(t time.Time, n int) string { return padded(t.Nanosecond()/1e6, n) },
	'z': func(t time.Time, _ int) string { return t.Format("MST") },
	'Z': func(t time.Time, _ int) string { return t.Format("-0700") },
	'X': func(t time.Time, n int) string {
		return t.Format([]string{"Z07", "Z0700", "Z07:00"}[min(n, 3)-1])
	},
}

func padded(v, width int) string { return fmt.Sprintf("%0*d", width, v) }

// parseDate reads a form of dates.
func parseDate(text string) (form dateForm, err error) {
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\'':
			rest := text[i+1:]
			end := strings.IndexByte(rest, '\'')
			if end < 0 {
				return nil, problem.Invalid.Errorf("cannot use the date form %q: an apostrophe is not closed", text)
			}
			literal := rest[:end]
			if end == 0 {
				literal = "'"
			}
			form = append(form, func(time.Time) string { return literal })
			i += end + 2
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			n := 1
			for i+n < len(text) && text[i+n] == c {
				n++
			}
			part, ok := dateParts[c]
			if !ok || n > 9 {
				return nil, problem.Invalid.Errorf("cannot use the date form %q: %q means nothing here (valid: y M d D w E a H k K h m s S z Z X, and text between apostrophes)", text, text[i:i+n])
			}
			form = append(form, func(t time.Time) string { return part(t, n) })
			i += n
		default:
			form = append(form, func(time.Time) string { return string(c) })
			i++
		}
	}
	return form, nil
}

func (f dateForm) format(t time.Time) string {
	var out strings.Builder
	for _, part := range f {
		out.WriteString(part(t))
	}
	return out.String()
}
