package access_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

const auditAt = "core-service.management.access.audit."

// complaints are what an audit log says of itself, by any goroutine.
type complaints struct {
	mu   sync.Mutex
	told []string
	news chan struct{}
}

func newComplaints() *complaints { return &complaints{news: make(chan struct{}, 100)} }

func (c *complaints) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, err.Error())
	c.news <- struct{}{}
}

func (c *complaints) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

func newAudit(t *testing.T, c access.AuditConfig, heard *complaints) *access.Audit {
	t.Helper()
	if c.Failed = heard.add; c.Clock == nil {
		c.Clock = clock.Real()
	}
	audit, err := access.NewAudit(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = audit.Close() })
	return audit
}

func parsed(t *testing.T, text string) profiles.Tree {
	t.Helper()
	tree, err := profiles.ParseTOML("t.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// users are those of the events in a file.
func users(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(line, `"user":"`)
		name, _, _ := strings.Cut(rest, `"`)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestAuditGoesWhereTheModelSays(t *testing.T) {
	dir, heard := t.TempDir(), newComplaints()
	audit := newAudit(t, access.AuditConfig{File: filepath.Join(dir, "audit.log")}, heard)
	receiver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer receiver.Close()
	_, port, err := net.SplitHostPort(receiver.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	audit.DirectBy(parsed(t, `
[`+auditAt+`file-handler.second]
path = "below/second.log"
[`+auditAt+`file-handler.nowhere]
path = "audit.log/nowhere.log"
[`+auditAt+`syslog-handler.central]
host = "127.0.0.1"
port = `+port+`
facility = "LOG_AUDIT"
[`+auditAt+`syslog-handler.other]
host = "127.0.0.1"
port = `+port+`
facility = "log-audit"
`))
	audit.Record(access.Event{User: "eva"})
	packet := make([]byte, 4096)
	if err := receiver.SetReadDeadline(clock.Real().Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := receiver.ReadFrom(packet); err != nil || !strings.HasPrefix(string(packet[:n]), "<110>1 ") || !strings.Contains(string(packet[:n]), ` gatehouse-audit `) || !strings.Contains(string(packet[:n]), `"eva"`) {
		t.Errorf("the syslog receiver has %s, %v", packet[:n], err)
	}
	if err := audit.Direct(nil); err != nil {
		t.Error(err)
	}
	audit.Record(access.Event{User: "adam"})
	second := filepath.Join(dir, "below", "second.log")
	if got := users(t, second); got != "eva" {
		t.Errorf("the file handler has events of %s", got)
	}
	if info, err := os.Stat(second); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
	told := strings.Join(heard.all(), "\n")
	if len(heard.all()) != 2 || !strings.Contains(told, "nowhere.log") || !strings.Contains(told, `facility "log_audit"`) {
		t.Errorf("told:\n%s", told)
	}
}

func TestAuditFilesAreRotatedAsTheirHandlersSay(t *testing.T) {
	const handlers = `
[` + auditAt + `file-handler.fresh]
path = "fresh.log"
rotate-at-startup = true
[` + auditAt + `file-handler.kept]
path = "kept.log"
[` + auditAt + `periodic-rotating-file-handler.daily]
path = "daily.log"
[` + auditAt + `size-rotating-file-handler.sized]
path = "sized.log"
rotate-size = %q
max-backup-index = 2
`
	dir, heard := t.TempDir(), newComplaints()
	start := time.Date(2026, 11, 22, 23, 30, 0, 0, time.Local)
	now := clocktest.New(start)
	begin := func() *access.Audit {
		return newAudit(t, access.AuditConfig{File: filepath.Join(dir, "audit.log"), Clock: now}, heard)
	}
	record := func(audit *access.Audit, size, user string) {
		audit.DirectBy(parsed(t, fmt.Sprintf(handlers, size)))
		audit.Record(access.Event{User: user})
	}
	first := begin()
	record(first, "1k", "a")
	record(first, "1", "b") // a smaller size opens that file anew, and no other
	record(first, "1", "c")
	record(first, "1", "d")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"fresh.log": "a b c d", "kept.log": "a b c d", "daily.log": "a b c d", "sized.log": "d", "sized.log.1": "c", "sized.log.2": "b"} {
		if got := users(t, filepath.Join(dir, name)); got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "daily.log"), start, start); err != nil { // the test's clock is not the file system's
		t.Fatal(err)
	}
	now.Advance(time.Hour)
	second := begin()
	record(second, "1", "e")
	for name, want := range map[string]string{
		"fresh.log": "e", "fresh.log" + now.Now().UTC().Format(".20060102T150405Z"): "a b c d", "kept.log": "a b c d e",
		"daily.log": "e", "daily.log.2026-11-22": "a b c d", "sized.log": "e", "sized.log.2": "c",
	} {
		if got := users(t, filepath.Join(dir, name)); got != want {
			t.Errorf("after a new start %s has %q, want %q", name, got, want)
		}
	}
	if told := heard.all(); len(told) != 0 {
		t.Errorf("told %q", told)
	}
}

func TestTwoAuditHandlersDoNotWriteToOneFile(t *testing.T) {
	dir, heard := t.TempDir(), newComplaints()
	audit := newAudit(t, access.AuditConfig{File: filepath.Join(dir, "audit.log")}, heard)
	tree := parsed(t, `
[`+auditAt+`file-handler.one]
path = "one.log"
[`+auditAt+`size-rotating-file-handler.too]
path = "./one.log"
[`+auditAt+`size-rotating-file-handler.always]
path = "audit.log"
`)
	for _, user := range []string{"a", "b"} {
		audit.DirectBy(tree)
		audit.Record(access.Event{User: user})
	}
	for _, name := range []string{"one.log", "audit.log"} {
		if got := users(t, filepath.Join(dir, name)); got != "a b" {
			t.Errorf("%s has %q", name, got)
		}
	}
	told := strings.Join(heard.all(), "\n")
	if len(heard.all()) != 1 || !strings.Contains(told, "size-rotating-file-handler=too") || !strings.Contains(told, "audit.log twice") {
		t.Errorf("told:\n%s", told)
	}
}

func TestSyslogMessagesAreFramed_RFC5424_RFC6587(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	audit := newAudit(t, access.AuditConfig{Syslog: "tcp://" + listener.Addr().String()}, newComplaints())
	audit.Record(access.Event{User: "eva"})
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(clock.Real().Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	from := bufio.NewReader(conn)
	length, err := from.ReadString(' ')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(from, message); err != nil || !strings.HasPrefix(string(message), "<86>1 ") || !strings.HasSuffix(string(message), "}") {
		t.Errorf("the receiver has %q, %v", message, err)
	}
}

func TestDeadSyslogReceiverIsToldOnceAndHoldsNothingUp(t *testing.T) {
	address, heard := porttest.Address(t), newComplaints()
	now := clocktest.New(time.Now())
	audit := newAudit(t, access.AuditConfig{Syslog: "tcp://" + address, Clock: now}, heard)
	for range 10 {
		audit.Record(access.Event{User: "eva"})
	}
	<-heard.news
	for range 3 { // tried again, and not told again
		now.WaitForTimers(1)
		now.Advance(5 * time.Second)
	}
	now.WaitForTimers(1)
	if told := heard.all(); len(told) != 1 || !strings.Contains(told[0], address) {
		t.Errorf("told %q", told)
	}
	closed := make(chan error)
	go func() { closed <- audit.Close() }()
	now.WaitForTimers(2)
	now.Advance(time.Second)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := access.NewAudit(access.AuditConfig{Syslog: "carrier-pigeon", Clock: clock.Real()}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a receiver that makes no sense: %v", err)
	}
}
