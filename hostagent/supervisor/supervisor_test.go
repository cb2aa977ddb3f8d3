package supervisor

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// The test binary is also the server that is supervised, as its first argument
// says.
func TestMain(m *testing.M) {
	if mode := os.Getenv("SUPERVISED_MODE"); mode != "" {
		os.Exit(beServer(mode))
	}
	os.Exit(m.Run())
}

func beServer(mode string) int {
	if mode == "middleman" {
		return beMiddleman()
	}
	if mode == "stubborn" {
		signal.Ignore(syscall.SIGTERM, syscall.SIGQUIT)
	}
	token, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return 70 // no token: the agent died while it started us
	}
	fmt.Printf("server %s has its token of %d bytes\n", mode, len(strings.TrimSpace(token)))
	switch mode {
	case "crash":
		fmt.Println("cannot open the database")
		return 3
	case "stubborn":
		fmt.Println("deaf")
	case "eat":
		var kept [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += os.Getpagesize() {
				b[i] = 1
			}
			kept = append(kept, b)
			fmt.Println("eaten", len(kept))
		}
	case "family":
		p, err := os.StartProcess("/proc/self/exe", []string{"grandchild"}, &os.ProcAttr{
			Env: []string{"SUPERVISED_MODE=orphan"}, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
		fmt.Println("child", p.Pid, err)
	case "orphan":
	case "chatty":
		for i := 0; ; i++ {
			fmt.Printf("line %d %s\n", i, strings.Repeat("x", 80))
			if i%50 == 0 {
				breathe()
			}
		}
	}
	stop := make(chan os.Signal, 1)
	if mode != "stubborn" {
		signal.Notify(stop, syscall.SIGTERM)
	}
	if file := os.Getenv("SUPERVISED_LISTENS"); file != "" {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return 73
		}
	}
	<-stop
	if mode == "seven" {
		return 7
	}
	return 0
}

// breathe waits for half a millisecond, and for as long as its log is so large that
// whoever compresses it would never catch up.
func breathe() {
	const large = 512 << 10
	for {
		syscall.Select(0, nil, nil, nil, &syscall.Timeval{Usec: 500})
		var log syscall.Stat_t
		if err := syscall.Fstat(syscall.Stdout, &log); err != nil || log.Size < large {
			return
		}
	}
}

// fakes stand for the relay and the disk.
type fakes struct {
	mu       sync.Mutex
	tokens   int
	journal  map[string]Process
	commands []string
	answer   func(kind string) error
}

func (f *fakes) Expect(string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens++
	return "token" + strconv.Itoa(f.tokens), nil
}

func (f *fakes) Command(_ context.Context, _, kind string, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, kind)
	if f.answer != nil {
		return f.answer(kind)
	}
	return nil
}

func (f *fakes) Started(p Process) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal[p.Server] = p
	return nil
}

func (f *fakes) Ended(server string, _ Exit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.journal, server)
	return nil
}

func (f *fakes) recorded(server string) Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.journal[server]
}

// quick is DefaultTiming with the waits a test can afford.
func quick() Timing {
	t := DefaultTiming
	ms := time.Millisecond
	t.Backoff = []time.Duration{0, 5 * ms, 10 * ms}
	t.Tries, t.Leave, t.Grace, t.RetryFailed, t.LiveEvery, t.Dump = 3, 10*ms, 50*ms, 100*ms, 20*ms, 50*ms
	return t
}

func newTest(t *testing.T, timing Timing) (*Supervisor, *fakes) {
	t.Helper()
	return newTestOn(t, clock.Real(), timing)
}

func newTestOn(t *testing.T, c clock.Clock, timing Timing) (*Supervisor, *fakes) {
	t.Helper()
	t.TempDir() // first, so that it is removed last
	f := &fakes{journal: map[string]Process{}}
	s := New(Config{Link: f, Journal: f, Clock: c, Log: zerolog.Nop(), Timing: timing})
	t.Cleanup(func() {
		for _, st := range s.Status() {
			_ = s.Kill(t.Context(), st.Name)
			if st.PID > 0 {
				_ = syscall.Kill(st.PID, syscall.SIGKILL)
			}
		}
		s.Close()
	})
	return s, f
}

func specOf(t *testing.T, name, mode string) Spec {
	return Spec{Name: name, Command: []string{"/proc/self/exe"}, Dir: filepath.Join(t.TempDir(), name),
		Env: []string{"SUPERVISED_MODE=" + mode, "GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0"}, AutoStart: true}
}

// eventually polls a status until it is as wanted.
func eventually(t *testing.T, s *Supervisor, name string, ok func(Status) bool) Status {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := s.Of(name)
		if err == nil && ok(st) {
			return st
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("server %s did not get there: %+v, %v", name, st, err)
		}
	}
}

func begin(t *testing.T, s *Supervisor, spec Spec) Status {
	t.Helper()
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(spec.Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, spec.Name, func(st Status) bool { return st.PID > 0 })
	s.Reported(spec.Name, Report{State: "ready", Healthy: true})
	return eventually(t, s, spec.Name, func(st Status) bool { return st.State == Started && st.Healthy })
}

// says waits until a server's log has a line.
func says(t *testing.T, s *Supervisor, name, line string) {
	t.Helper()
	eventually(t, s, name, func(Status) bool {
		found := false
		_ = s.ReadLog(t.Context(), name, 100, false, func(b []byte) error {
			found = strings.Contains(string(b), line)
			return nil
		})
		return found
	})
}

func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

func TestAServerIsStartedOnlyByItsOwnReport(t *testing.T) {
	s, f := newTest(t, quick())
	spec := specOf(t, "one", "serve")
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin("one"); err != nil {
		t.Fatal(err)
	}
	st := eventually(t, s, "one", func(st Status) bool { return st.PID > 0 })
	if st.State != Starting {
		t.Fatalf("a process that has said nothing is %s, want STARTING", st.State)
	}
	if got := f.recorded("one"); got.PID != st.PID || got.StartTicks == 0 || got.Boot == "" || got.Executable == "" {
		t.Errorf("recorded %+v, want all of the identity of process %d", got, st.PID)
	}
	s.Reported("one", Report{State: "ready", Healthy: true})
	if err := s.Start(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), "one", time.Second); err != nil {
		t.Fatal(err)
	}
	after, _ := s.Of("one")
	if after.State != Stopped || !gone(st.PID) || f.recorded("one").PID != 0 || len(f.commands) != 1 {
		t.Errorf("after a stop: %+v, gone %v, recorded %+v, commands %v", after, gone(st.PID), f.recorded("one"), f.commands)
	}
}

func TestAKilledServerIsRespawnedAtOnce(t *testing.T) {
	s, _ := newTest(t, quick())
	before := begin(t, s, specOf(t, "one", "serve"))
	killed := time.Now()
	_ = syscall.Kill(before.PID, syscall.SIGKILL)
	after := eventually(t, s, "one", func(st Status) bool { return st.PID > 0 && st.PID != before.PID })
	t.Logf("respawned %s after kill -9", time.Since(killed))
	if after.Restarts != 1 || after.Exit == nil || after.Exit.Signal != "SIGKILL" {
		t.Errorf("after a respawn: %+v, exit %+v", after, after.Exit)
	}
	if !gone(before.PID) {
		t.Errorf("process %d is a zombie", before.PID)
	}
}

func TestAServerThatCannotStartIsFailedWithTheEndOfItsLog(t *testing.T) {
	s, _ := newTest(t, quick())
	spec := specOf(t, "one", "crash")
	spec.Restart = OnFailure
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	err := s.Start(t.Context(), "one")
	if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("Start = %v, want the exit code", err)
	}
	st := eventually(t, s, "one", func(st Status) bool { return st.State == Failed })
	if !strings.Contains(st.Message, "cannot open the database") || !strings.Contains(st.Message, "4 starts in a row") {
		t.Errorf("message of a FAILED server: %q", st.Message)
	}
	if err := s.Stop(t.Context(), "one", time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestAFailedServerIsRetriedWherePolicySaysAlways(t *testing.T) {
	s, _ := newTest(t, quick())
	spec := specOf(t, "one", "crash")
	spec.Restart = Always
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	_ = s.Begin("one")
	first := eventually(t, s, "one", func(st Status) bool { return st.State == Failed })
	eventually(t, s, "one", func(st Status) bool { return st.State == Failed && st.Restarts > first.Restarts })
}

func TestAForeignHolderOfAPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	s, _ := newTest(t, quick())
	spec := specOf(t, "one", "serve")
	spec.Ports = []Port{{Binding: "http", Address: "127.0.0.1", Port: port}}
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	err = s.Start(t.Context(), "one")
	for _, want := range []string{strconv.Itoa(port), "(http)", fmt.Sprintf("process %d", os.Getpid()), `server "one"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start = %v, want it to name %q", err, want)
		}
	}
}

func TestAStubbornServerIsKilledAfterItsTimeout(t *testing.T) {
	s, f := newTest(t, quick())
	f.answer = func(string) error { return problem.Unavailable.Errorf("no") }
	st := begin(t, s, specOf(t, "one", "stubborn"))
	says(t, s, "one", "deaf")
	if err := s.Stop(t.Context(), "one", 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if after, _ := s.Of("one"); !gone(st.PID) || after.State != Stopped || !strings.Contains(after.Message, "did not stop in time") {
		t.Errorf("after a stop: %+v", after)
	}
}

func TestAHungServerIsRestarted(t *testing.T) {
	s, _ := newTest(t, quick())
	spec := specOf(t, "one", "stubborn")
	var mu sync.Mutex
	hang := false
	spec.Live = func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if hang {
			return problem.Timeout.Errorf("no answer")
		}
		return nil
	}
	before := begin(t, s, spec)
	says(t, s, "one", "deaf")
	mu.Lock()
	hang = true
	mu.Unlock()
	after := eventually(t, s, "one", func(st Status) bool { return st.PID > 0 && st.PID != before.PID })
	if after.Exit == nil || !strings.Contains(after.Exit.String(), "hung: 3 liveness checks failed") {
		t.Errorf("exit of a hung server: %v", after.Exit)
	}
}

func TestTheNextSupervisorAdoptsARunningServer(t *testing.T) {
	first, f := newTest(t, quick())
	spec := specOf(t, "one", "serve")
	before := begin(t, first, spec)
	record := f.recorded("one")
	first.Close()
	if gone(before.PID) {
		t.Fatal("the end of an agent ended its server")
	}
	second, f2 := newTest(t, quick())
	f2.journal["one"] = record
	if err := second.Adopt(spec, record); err != nil {
		t.Fatal(err)
	}
	second.Reported("one", Report{State: "ready", Healthy: true})
	st := eventually(t, second, "one", func(st Status) bool { return st.State == Started })
	if st.PID != before.PID {
		t.Fatalf("adopted process %d, want %d", st.PID, before.PID)
	}
	_ = syscall.Kill(st.PID, syscall.SIGKILL)
	eventually(t, second, "one", func(now Status) bool { return now.PID > 0 && now.PID != st.PID })
}

func TestAnotherProcessOfTheSameNumberIsNotAdopted(t *testing.T) {
	s, _ := newTest(t, quick())
	me, err := inspect("one", os.Getpid(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Process){
		"start time": func(p *Process) { p.StartTicks++ },
		"boot":       func(p *Process) { p.Boot = "before" },
		"program":    func(p *Process) { p.Executable = "0:0" },
		"gone":       func(p *Process) { p.PID = 1 << 22 },
	} {
		p := me
		change(&p)
		if err := s.Adopt(specOf(t, "one", "serve"), p); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: Adopt = %v, want NotFound", name, err)
		}
	}
}

func TestWhatAServerSpawnedEndsWithIt(t *testing.T) {
	s, _ := newTest(t, quick())
	st := begin(t, s, specOf(t, "one", "family"))
	var child int
	for child == 0 {
		_ = s.ReadLog(t.Context(), "one", 10, false, func(b []byte) error {
			for line := range strings.Lines(string(b)) {
				_, _ = fmt.Sscanf(line, "child %d", &child)
			}
			return nil
		})
	}
	if err := s.Kill(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for !gone(child) && !zombie(child) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived its server %d", child, st.PID)
		}
	}
}

func zombie(pid int) bool { st, err := readStat(pid); return err == nil && st.state == 'Z' }

func TestOutOfMemoryIsTold(t *testing.T) {
	timing := quick()
	timing.Backoff = []time.Duration{time.Hour}
	s, _ := newTest(t, timing)
	spec := specOf(t, "one", "eat")
	spec.MemoryLimit = 600 << 20 // the race detector takes several times what it watches
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	_ = s.Begin("one")
	st := eventually(t, s, "one", func(st Status) bool { return st.Exit != nil })
	if !st.Exit.OutOfMemory {
		_ = s.ReadLog(t.Context(), "one", 3000, false, func(b []byte) error { t.Logf("%s", b); return nil })
		t.Errorf("exit %+v of a server that ate more than its limit; message %q", st.Exit, st.Message)
	}
}

func TestSuspendAndReloadFollowTheServersAnswer(t *testing.T) {
	s, f := newTest(t, quick())
	begin(t, s, specOf(t, "one", "serve"))
	if err := s.Suspend(t.Context(), "one", time.Second); err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Of("one"); st.State != Suspended {
		t.Fatalf("after suspend: %s", st.State)
	}
	if err := s.Resume(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	f.answer = func(kind string) error { return problem.Invalid.Errorf("the profile is wrong") }
	if err := s.Reload(t.Context(), "one", time.Second); err == nil || !strings.Contains(err.Error(), "the profile is wrong") {
		t.Errorf("Reload = %v", err)
	}
	if st, _ := s.Of("one"); st.State != Started {
		t.Errorf("after a refused reload: %s, want STARTED", st.State)
	}
}

// Whoever has an answer finds the server as it says, at once.
func TestAnAnswerComesWhenTheStatusShowsIt(t *testing.T) {
	timing := quick()
	timing.Leave = 0
	s, f := newTest(t, timing)
	begin(t, s, specOf(t, "one", "serve"))
	f.answer = func(kind string) error {
		if kind == "reload" {
			return problem.Invalid.Errorf("the profile is wrong")
		}
		return nil
	}
	for range 50 {
		for _, step := range []struct {
			order func() error
			want  State
		}{
			{func() error { return s.Suspend(t.Context(), "one", time.Minute) }, Suspended},
			{func() error { return s.Resume(t.Context(), "one") }, Started},
			{func() error { _ = s.Reload(t.Context(), "one", time.Minute); return nil }, Started},
		} {
			if err := step.order(); err != nil {
				t.Fatal(err)
			}
			if st, _ := s.Of("one"); st.State != step.want {
				t.Fatalf("the answer has come, and it is %s, not %s", st.State, step.want)
			}
		}
	}
	if err := s.Stop(t.Context(), "one", time.Minute); err != nil {
		t.Fatal(err)
	}
	spec := specOf(t, "one", "serve")
	spec.AutoStart = false
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	if st, _ := s.Of("one"); st.State != Disabled {
		t.Errorf("defined without auto-start it is %s", st.State)
	}
}
