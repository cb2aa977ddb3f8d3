package logs_test

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
)

// output is a console that tests read.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// take gives what was written since.
func (o *output) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

func at(level zerolog.Level) *zerolog.Level { return &level }

func newTree(t *testing.T, c clock.Clock) (*logs.Tree, *output) {
	t.Helper()
	out := &output{}
	tree := logs.NewTree(logs.Config{Console: out, Format: logs.JSON, Level: zerolog.InfoLevel, Clock: c})
	t.Cleanup(tree.Close)
	return tree, out
}

func configure(t *testing.T, tree *logs.Tree, s logs.Settings) {
	t.Helper()
	if err := tree.Configure(s); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// plain is a handler whose lines are "LEVEL message".
func plain(o logs.Output) logs.Handler {
	return logs.Handler{Level: zerolog.TraceLevel, Pattern: "%p %s%n", Output: o}
}

var begin = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func TestACategoryHasTheLevelAndTheHandlersOfThoseAbove(t *testing.T) {
	tree, console := newTree(t, clock.Real())
	deep, other := tree.Logger("server.caches.stored"), tree.Logger("server.tokens")
	file := filepath.Join(t.TempDir(), "caches.log")
	s := logs.Settings{
		Root:     logs.Logger{Level: at(zerolog.WarnLevel), Handlers: []string{"CONSOLE"}},
		Loggers:  map[string]logs.Logger{"server.caches": {Level: at(zerolog.DebugLevel), Handlers: []string{"FILE"}}, "server": {}},
		Handlers: map[string]logs.Handler{"CONSOLE": plain(logs.Console{}), "FILE": plain(logs.File{Path: file})},
	}
	configure(t, tree, s)
	deep.Debug().Msg("one")
	deep.Trace().Msg("no")
	other.Info().Msg("no")
	other.Warn().Msg("two")
	if got := console.take(); got != "DEBUG one\nWARN two\n" {
		t.Errorf("console: %q", got)
	}
	if got := read(t, file); got != "DEBUG one\n" {
		t.Errorf("file: %q", got)
	}
	s.Loggers["server.caches"] = logs.Logger{Handlers: []string{"FILE"}, Alone: true} // and no level of its own
	configure(t, tree, s)
	deep.Info().Msg("no")
	deep.Error().Msg("three")
	if got := console.take(); got != "" {
		t.Errorf("console: %q", got)
	}
	if got := read(t, file); got != "DEBUG one\nERROR three\n" {
		t.Errorf("file: %q", got)
	}
}

func TestALineThatNobodyWantsIsNotMade(t *testing.T) {
	tree, _ := newTree(t, clock.Real())
	log := tree.Logger("server")
	if log.Debug() != nil || log.Info() == nil {
		t.Error("the level holds only for what is written, not for what is made")
	}
	configure(t, tree, logs.Settings{
		Root:     logs.Logger{Level: at(zerolog.DebugLevel), Handlers: []string{"CONSOLE"}},
		Handlers: map[string]logs.Handler{"CONSOLE": {Level: zerolog.ErrorLevel, Output: logs.Console{}}},
	})
	if log.Warn() != nil || log.Error() == nil {
		t.Error("a line below every handler's level is made")
	}
}

func TestSettingsThatCannotBeAreRefusedByNameAndChangeNothing(t *testing.T) {
	tree, console := newTree(t, clock.Real())
	for _, c := range []struct {
		want    string
		loggers []string
		handler logs.Handler
	}{
		{`there is no handler "NONE" (valid: H)`, []string{"NONE"}, plain(logs.Console{})},
		{`%y means nothing here`, nil, logs.Handler{Pattern: "%y", Output: logs.Console{}}},
		{`it has no file`, nil, plain(logs.File{})},
		{`"bb" means nothing here`, nil, plain(logs.File{Path: "x", Suffix: "bb"})},
		{`there is no facility "desk"`, nil, plain(logs.Syslog{Network: "udp", Address: "h:1", Facility: "desk"})},
		{`"pigeon" is no way`, nil, plain(logs.Syslog{Network: "pigeon", Address: "h:1", Facility: "user"})},
	} {
		err := tree.Configure(logs.Settings{Root: logs.Logger{Handlers: c.loggers}, Handlers: map[string]logs.Handler{"H": c.handler}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	two := map[string]logs.Handler{"A": plain(logs.File{Path: "/x/a"}), "B": plain(logs.File{Path: "/x/../x/a", MaxSize: 5})}
	if err := tree.Configure(logs.Settings{Handlers: two}); err == nil || !strings.Contains(err.Error(), `handler "A" writes to the same file`) {
		t.Errorf("two handlers on one file: %v", err)
	}
	log := tree.Logger("server")
	log.Info().Msg("still")
	if got := console.take(); !strings.Contains(got, `"category":"server"`) || !strings.Contains(got, "still") {
		t.Errorf("%q", got)
	}
}

func TestAFileGoesOnAcrossALiveChangeAndIsReplacedOnlyWhenFirstOpened(t *testing.T) {
	tree, _ := newTree(t, clock.Real())
	file := filepath.Join(t.TempDir(), "below", "s.log")
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("of before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := tree.Logger("server")
	for i, size := range []int64{0, 0, 1 << 20} {
		configure(t, tree, logs.Settings{
			Root:     logs.Logger{Level: at(zerolog.Level(i - 1)), Handlers: []string{"F"}},
			Handlers: map[string]logs.Handler{"F": plain(logs.File{Path: file, Replace: true, MaxSize: size})},
		})
		log.Error().Msg("line")
	}
	if got := read(t, file); got != strings.Repeat("ERROR line\n", 3) {
		t.Errorf("%q", got)
	}
}

func TestAFileOfADayIsPutAsideWhenTheDayIsOver(t *testing.T) {
	c := clocktest.New(begin)
	tree, _ := newTree(t, c)
	file := filepath.Join(t.TempDir(), "s.log")
	configure(t, tree, logs.Settings{
		Root:     logs.Logger{Level: at(zerolog.InfoLevel), Handlers: []string{"F"}},
		Handlers: map[string]logs.Handler{"F": plain(logs.File{Path: file, Suffix: ".yyyy-MM-dd"})},
	})
	log := tree.Logger("server")
	log.Info().Msg("monday")
	c.Advance(14 * time.Hour)
	log.Info().Msg("tuesday")
	if got := read(t, file+".2026-11-23") + read(t, file); got != "INFO monday\nINFO tuesday\n" {
		t.Errorf("%q", got)
	}
}

// TestNoLineIsLostAndNoFileIsTooLarge: lines of any sizes, in order, over the
// files that stay.
func TestNoLineIsLostAndNoFileIsTooLarge(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		tree, _ := newTree(t, clock.Real())
		defer tree.Close()
		limit, backups := rapid.Int64Range(20, 200).Draw(rt, "size"), rapid.IntRange(0, 4).Draw(rt, "backups")
		file := filepath.Join(dir, rapid.StringMatching(`[a-z]{12}`).Draw(rt, "file"))
		if err := os.RemoveAll(file); err != nil {
			rt.Fatal(err)
		}
		for i := range 6 {
			_ = os.Remove(file + "." + string(rune('0'+i)))
		}
		if err := tree.Configure(logs.Settings{
			Root:     logs.Logger{Level: at(zerolog.InfoLevel), Handlers: []string{"F"}},
			Handlers: map[string]logs.Handler{"F": {Pattern: "%s%n", Output: logs.File{Path: file, MaxSize: limit, Backups: backups}}},
		}); err != nil {
			rt.Fatal(err)
		}
		log := tree.Logger("x")
		var all strings.Builder
		for _, line := range rapid.SliceOf(rapid.StringMatching(`[a-z]{1,19}`)).Draw(rt, "lines") {
			log.Info().Msg(line)
			all.WriteString(line + "\n")
		}
		kept := ""
		for i := backups; i >= 0; i-- {
			name := file
			if i > 0 {
				name += "." + string(rune('0'+i))
			}
			text := read(t, name)
			if int64(len(text)) > limit {
				rt.Fatalf("%s has %d bytes, limit %d", name, len(text), limit)
			}
			kept += text
		}
		if !strings.HasSuffix(all.String(), kept) || int64(len(kept)) < min(int64(all.Len()), limit/2*int64(backups)) {
			rt.Fatalf("written %q, kept %q", all.String(), kept)
		}
		if read(t, file+"."+string(rune('0'+backups+1))) != "" {
			rt.Fatal("too many files stay")
		}
	})
}

func TestAFileThatCannotBeWrittenIsSaidOnceAndTriedAgain(t *testing.T) {
	c := clocktest.New(begin)
	tree, console := newTree(t, c)
	folder := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // where a folder is to be
		t.Fatal(err)
	}
	configure(t, tree, logs.Settings{
		Root:     logs.Logger{Level: at(zerolog.InfoLevel), Handlers: []string{"F"}},
		Handlers: map[string]logs.Handler{"F": plain(logs.File{Path: filepath.Join(folder, "s.log")})},
	})
	log := tree.Logger("server")
	for range 3 {
		log.Info().Msg("lost")
		c.Advance(time.Minute)
	}
	if got := console.take(); strings.Count(got, "cannot write log file") != 1 || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("there")
	if got := read(t, filepath.Join(folder, "s.log")); got != "INFO there\n" {
		t.Errorf("%q", got)
	}
	if got := console.take(); !strings.Contains(got, "again; lines lost: 3") {
		t.Errorf("%q", got)
	}
}

// lineSoon is a line that a receiver was sent.
func lineSoon(t *testing.T, lines <-chan string) string {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	select {
	case l := <-lines:
		return l
	case <-limit.C:
		t.Fatal("nothing came in 30 s")
		return ""
	}
}

func syslogSettings(network, address string) logs.Settings {
	return logs.Settings{
		Root: logs.Logger{Level: at(zerolog.InfoLevel), Handlers: []string{"S"}},
		Handlers: map[string]logs.Handler{"S": {Pattern: "%s", Output: logs.Syslog{
			Network: network, Address: address, Facility: "local-use-3", App: "gate house", Host: "sso1"}}},
	}
}

func TestSyslogMessagesAreThoseOfRFC5424_6(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := make(chan string, 9)
	go func() {
		b := make([]byte, 4096)
		for {
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			lines <- string(b[:n])
		}
	}()
	tree, _ := newTree(t, clock.Real())
	configure(t, tree, syslogSettings("udp", conn.LocalAddr().String()))
	log := tree.Logger("server")
	log.Warn().Msg("careful")
	head, rest, _ := strings.Cut(lineSoon(t, lines), " ")
	if head != "<156>1" { // 19*8 + 4
		t.Errorf("PRI and VERSION: %q", head)
	}
	stamp, rest, _ := strings.Cut(rest, " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(rest, "sso1 gate_house ") || !strings.HasSuffix(rest, " - - careful") {
		t.Errorf("%q", rest)
	}
}

func TestALineWaitsForASyslogReceiverThatStartsLater_RFC6587_3_4_1(t *testing.T) {
	address := porttest.Address(t)
	c := clocktest.New(time.Now())
	tree, console := newTree(t, c)
	configure(t, tree, syslogSettings("tcp", address))
	log := tree.Logger("server")
	log.Info().Msg("early")
	c.WaitForTimers(1) // it was tried, and rests
	if got := console.take(); strings.Count(got, "cannot send log lines") != 1 {
		t.Errorf("%q", got)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lines := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, err := bufio.NewReader(conn).ReadString('y')
		if err == nil {
			lines <- line
		}
	}()
	c.Advance(time.Minute)
	got := lineSoon(t, lines)
	size, message, _ := strings.Cut(got, " ")
	if !strings.HasPrefix(message, "<158>1 ") || size == "" || len(message) == 0 {
		t.Errorf("%q", got)
	}
}

func TestAFullQueueLosesLinesAndHoldsNobodyUp(t *testing.T) {
	c := clocktest.New(time.Now())
	tree, _ := newTree(t, c)
	configure(t, tree, syslogSettings("tcp", porttest.Address(t)))
	log := tree.Logger("server")
	for range 10000 {
		log.Info().Msg("many")
	}
	ended := make(chan struct{})
	go func() { tree.Close(); close(ended) }()
	for { // the farewell has a limit
		select {
		case <-ended:
			return
		default:
			c.Advance(time.Second)
		}
	}
}

func TestLoggersMayBeConfiguredWhileTheyWrite(t *testing.T) {
	tree, _ := newTree(t, clock.Real())
	file := filepath.Join(t.TempDir(), "s.log")
	var all sync.WaitGroup
	for range 4 {
		log := tree.Logger("server.caches")
		all.Go(func() {
			for range 200 {
				log.Info().Msg("line")
			}
		})
	}
	for i := range 50 {
		configure(t, tree, logs.Settings{
			Root:     logs.Logger{Level: at(zerolog.InfoLevel), Handlers: []string{"F"}},
			Handlers: map[string]logs.Handler{"F": plain(logs.File{Path: file, MaxSize: int64(i%2) << 30})},
		})
	}
	all.Wait()
	if strings.Trim(strings.ReplaceAll(read(t, file), "INFO line\n", ""), "\n") != "" {
		t.Error("lines are mixed")
	}
}
