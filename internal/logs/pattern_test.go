package logs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func rendered(t *testing.T, pattern, line string) string {
	t.Helper()
	p, err := ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := p.layout(&out, []byte(line)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAPatternsLettersAreThoseOfWildFly(t *testing.T) {
	const line = `{"level":"warn","category":"server.caches.stored","node":"n1","user":"a b","n":3,"error":"broken","time":"2026-11-23T09:05:07.042Z","message":"hello"}`
	for pattern, want := range map[string]string{
		"%d{yyyy-MM-dd HH:mm:ss,SSS}|%d{h a}|%d": "2026-11-23 09:05:07,042|9 AM|2026-11-23 09:05:07,042",
		"%p|%-6p|%6p|%.2p":                       "WARN|WARN  |  WARN|RN",
		"%c|%c{1}|%c{2}|%c{9}":                   "server.caches.stored|stored|caches.stored|server.caches.stored",
		"%s":                                     `hello n=3 node=n1 user="a b"`,
		"%s%e%n":                                 "hello n=3 node=n1 user=\"a b\": broken\n",
		"%m":                                     `hello n=3 node=n1 user="a b": broken`,
		"%X{node}|%X{none}|%K{level}%x":          "n1||",
		"100%% (%t)":                             "100% (main)",
		"":                                       "",
	} {
		if got := rendered(t, pattern, line); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

func TestAPatternThatMeansNothingIsRefused(t *testing.T) {
	for _, pattern := range []string{"%", "%5", "%q", "%d{yyyy", "%d{b}", "%d{'x}", "%c{x}", "%-"} {
		if _, err := ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), "cannot use the log pattern") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// TestNoLineLooksLikeTwo: what a caller chooses, as a user name, forges no line.
func TestNoLineLooksLikeTwo(t *testing.T) {
	line := `{"level":"info","time":"2026-11-23T09:05:07.042Z","message":"a\nb","user":"x\r\n2026 ERROR forged","error":"c\u001b[31md\n","x\ny":{"z":"1\n2"}}`
	got := rendered(t, DefaultPattern, line)
	if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") || strings.ContainsAny(got, "\r\x1b") {
		t.Errorf("%q", got)
	}
}

func TestDateFormsAreThoseOfSimpleDateFormat(t *testing.T) {
	at := time.Date(2026, 3, 7, 0, 4, 5, 6_000_000, time.FixedZone("", 3600))
	for form, want := range map[string]string{
		".yyyy-MM-dd": ".2026-03-07", "yy.M.d H:m:s.S": "26.3.7 0:4:5.6", "EEE EEEE MMM MMMM": "Sat Saturday Mar March",
		"hh K kk a": "12 0 24 AM", "'day 'D''w": "day 66'10", "Z X XXX": "+0100 +01 +01:00", "HH:mm:ss,SSS": "00:04:05,006", "": "",
	} {
		f, err := parseDate(form)
		if err != nil || f.format(at) != want {
			t.Errorf("%q: %q, want %q (%v)", form, f.format(at), want, err)
		}
	}
}

func TestAnyPatternIsReadOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(%?-?[0-9]{0,2}(\.[0-9])?[a-zA-Z%']?(\{[a-z']*\}?)?){0,6}`).Draw(t, "pattern")
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := p.layout(&out, []byte(`{"message":"m"}`)); err != nil {
			t.Fatal(err)
		}
	})
}
