package hostagent_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/leaktest"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// The test binary is also the server that agents spawn, and an agent that can
// be killed.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(hostagent.EnvServer) != "":
		os.Exit(beServer())
	case os.Getenv("AGENT_TEST_CONFIG") != "":
		os.Exit(beAgent(os.Getenv("AGENT_TEST_CONFIG")))
	}
	os.Exit(m.Run())
}

// hostOf is what a test configures an agent by.
type hostOf struct {
	Dir, Token, Controller string
	Keep                   bool
	Timing                 supervisor.Timing
	Health                 string
	Program                string // of servers; the test's own otherwise
}

func configOf(h hostOf) hostagent.Config {
	log := zerolog.Nop()
	if os.Getenv("AGENT_TEST_LOG") != "" {
		log = zerolog.New(os.Stderr).With().Timestamp().Logger()
	}
	return hostagent.Config{
		Dir: h.Dir, HostFile: hostFile(), JoinToken: h.Token, Controllers: []string{h.Controller},
		Command: []string{cmp.Or(h.Program, "/proc/self/exe")}, Spare: "/proc/self/exe", Env: []string{"PATH=" + os.Getenv("PATH"), "GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0"},
		KeepServers: h.Keep, Health: h.Health, StopTimeout: 2 * time.Second, Timing: h.Timing, Clock: clock.Real(), Rand: rand.Float64, Log: log,
	}
}

func hostFile() servergroups.HostFile {
	file, err := servergroups.ParseHostFile("host1.toml", []byte("name = \"host1\"\n"))
	if err != nil {
		panic(err)
	}
	return file
}

// beAgent is an agent as a process of its own.
func beAgent(text string) int {
	var h hostOf
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return 2
	}
	a, err := hostagent.New(configOf(h))
	if err == nil {
		err = a.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return problem.KindOf(err).Exit()
}

// start runs an agent in this process; stop ends it and waits.
func start(t *testing.T, h hostOf) (a *hostagent.Agent, stop func()) {
	t.Helper()
	a, err := hostagent.New(configOf(h))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent ended: %v", err)
		}
	}
	t.Cleanup(stop)
	return a, stop
}

// startProcess runs an agent as a process that can be killed.
func startProcess(t *testing.T, h hostOf) *os.Process {
	t.Helper()
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"agent"}, &os.ProcAttr{
		Env:   append(os.Environ(), "AGENT_TEST_CONFIG="+string(text)),
		Files: []*os.File{nil, os.Stderr, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill(); _, _ = p.Wait() })
	return p
}

// snapshotOf makes a snapshot of servers with free ports.
func snapshotOf(t testing.TB, revision uint64, change func(*servergroups.HostSnapshot), names ...string) *hostlink.Snapshot {
	t.Helper()
	s := servergroups.HostSnapshot{
		Host: "host1", Site: "default", Revision: revision, DomainProperties: map[string]string{"greeting": "hello"},
		Interfaces: map[string]any{"public": map[string]any{"inet-address": "127.0.0.1"}},
		Profiles:   map[string]map[string]any{"p": {"identity": map[string]any{}}},
		Sockets: map[string]map[string]any{"sockets": {"default-interface": "public",
			"socket-binding": map[string]any{"http": map[string]any{"port": 0}}}},
		Groups: map[string]map[string]any{"group": {"profile": "p", "socket-binding-group": "sockets"}},
	}
	for _, name := range names {
		s.Servers = append(s.Servers, servergroups.ServerSpec{Name: name, Group: "group", Profile: "p", Sockets: "sockets",
			AutoStart: true, Settings: map[string]any{"group": "group"}})
	}
	if change != nil {
		change(&s)
	}
	content, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return &hostlink.Snapshot{Revision: revision, Checksum: s.Checksum(), Content: content}
}

func tokenText(c *controllerlinktest.Controller) string { return c.Token("host1").Encode() }

func up(names ...string) func(*controllerlinktest.Host) bool {
	return func(h *controllerlinktest.Host) bool {
		for _, n := range names {
			if s := h.Server(n); s.GetState() != "STARTED" || !s.GetHealthy() {
				return false
			}
		}
		return true
	}
}

func pidOf(c *controllerlinktest.Controller, name string) (pid int) {
	c.Await("host1", name+" has a process", func(h *controllerlinktest.Host) bool {
		pid = int(h.Server(name).GetPid())
		return pid > 0
	})
	return pid
}

// alive tells whether a process runs. What was nobody's child may wait for its
// end to be collected, by whoever is process 1 here.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " ")
	return state[0] != 'Z' && state[0] != 'X'
}

func TestAHostJoinsAndRunsItsServers(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	before := goleak.IgnoreCurrent()
	_, stop := start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "both servers up", up("one", "two"))
	c.Await("host1", "revision 1 acknowledged", func(h *controllerlinktest.Host) bool {
		return h.Acked.GetRevision() == 1 && h.Acked.GetProblem() == "" && h.Server("one").GetRevision() == 1
	})
	one, two := pidOf(c, "one"), pidOf(c, "two")
	stop()
	if alive(one) || alive(two) {
		t.Error("the agent ended and left a server")
	}
	c.Down() // its own goroutines of the host's link
	leaktest.None(t, before)
}

func TestAKilledServerIsBackAtOnce(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one"))
	// More kills in a row than the first, immediate try meet the back-off.
	pid := pidOf(c, "one")
	killed := time.Now()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	c.Await("host1", "another process is ready", func(h *controllerlinktest.Host) bool {
		return up("one")(h) && int(h.Server("one").GetPid()) != pid
	})
	t.Logf("ready again %s after kill -9", time.Since(killed))
}

func TestAChangeReachesARunningServer(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one", "two"))
	pid := pidOf(c, "one")
	c.Publish("host1", snapshotOf(t, 2, func(s *servergroups.HostSnapshot) { s.DomainProperties["greeting"] = "live:good day" }, "one", "two"))
	c.Await("host1", "revision 2 runs", func(h *controllerlinktest.Host) bool {
		return h.Server("one").GetRevision() == 2 && h.Server("two").GetRevision() == 2 && h.Server("one").GetRequired() == ""
	})
	c.Publish("host1", snapshotOf(t, 3, func(s *servergroups.HostSnapshot) { s.DomainProperties["greeting"] = "restart:bye" }, "one", "two"))
	c.Await("host1", "restart-required", func(h *controllerlinktest.Host) bool {
		return h.Server("one").GetRequired() == "restart-required"
	})
	if now := pidOf(c, "one"); now != pid {
		t.Errorf("process %d became %d: the agent restarted a server for a change", pid, now)
	}
	order(t, c, "restart", "one", nil)
	c.Await("host1", "revision 3 runs", func(h *controllerlinktest.Host) bool {
		return up("one")(h) && h.Server("one").GetRevision() == 3 && h.Server("one").GetRequired() == ""
	})
}

// result gives the host an order and waits for what comes of it.
func result(t *testing.T, c *controllerlinktest.Controller, kind, server string, parameters map[string]any) *hostlink.OrderResult {
	t.Helper()
	r, _ := give(t, c, kind, server, parameters)
	return r
}

func give(t *testing.T, c *controllerlinktest.Controller, kind, server string, parameters map[string]any) (*hostlink.OrderResult, []byte) {
	t.Helper()
	p, err := json.Marshal(parameters)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	return c.Order(ctx, "host1", &hostlink.Order{Kind: kind, Server: server, TimeoutMs: patience.Milliseconds(), Parameters: p})
}

// order is an order that must succeed; it gives the output.
func order(t *testing.T, c *controllerlinktest.Controller, kind, server string, parameters map[string]any) string {
	t.Helper()
	r, output := give(t, c, kind, server, parameters)
	if r.GetProblem() != "" {
		t.Fatalf("%s %s: %s", kind, server, r.GetProblem())
	}
	return string(output)
}

func TestOrders(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one"))
	is := func(state string) {
		t.Helper()
		c.Await("host1", state, func(h *controllerlinktest.Host) bool { return h.Server("one").GetState() == state })
	}
	order(t, c, "suspend", "one", nil)
	is("SUSPENDED")
	order(t, c, "resume", "one", nil)
	is("STARTED")
	order(t, c, "reload", "one", nil)
	is("STARTED")
	if log := order(t, c, "read-log", "one", map[string]any{"lines": 3}); strings.Count(log, "\n") != 3 || !strings.Contains(log, "reload") {
		t.Errorf("the last 3 lines of the log: %q", log)
	}
	if r, _ := give(t, c, "list-log-files", "one", nil); !strings.Contains(string(r.GetResult()), `"file-name":"server.log"`) {
		t.Errorf("log files: %s, %s", r.GetResult(), r.GetProblem())
	}
	if r, _ := give(t, c, "read-log-file", "one", map[string]any{"name": "server.log", "lines": 1, "tail": false}); strings.Count(string(r.GetResult()), `","`) != 0 || len(r.GetResult()) < 5 {
		t.Errorf("the first line: %s, %s", r.GetResult(), r.GetProblem())
	}
	if r, _ := give(t, c, "read-log-file", "one", map[string]any{"name": "../state.json"}); r.GetProblem() == "" {
		t.Errorf("a file elsewhere: %s", r.GetResult())
	}
	order(t, c, "stop", "one", nil)
	is("STOPPED")
	order(t, c, "start", "one", nil)
	is("STARTED")
	order(t, c, "kill", "one", nil)
	is("STOPPED")
	order(t, c, "restart", "", nil)
	is("STARTED")
	if bundle := order(t, c, "support-bundle", "", nil); len(bundle) < 500 || bundle[:2] != "\x1f\x8b" {
		t.Errorf("a support bundle of %d bytes", len(bundle))
	}
}

func TestAKilledAgentAdoptsItsServers(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	agent := startProcess(t, h)
	c.Await("host1", "up", up("one", "two"))
	one, two := pidOf(c, "one"), pidOf(c, "two")
	_ = agent.Kill()
	_, _ = agent.Wait()
	if !alive(one) || !alive(two) {
		t.Fatal("a server died with its agent")
	}
	// The domain is told nothing of servers that have not come back yet, for settleTime.
	restarted := time.Now()
	c.Watch(func(h *controllerlinktest.Host) {
		if h.Servers != nil && !up("one", "two")(h) && time.Since(restarted) < 5*time.Second {
			t.Errorf("the restarted agent told of servers that serve: %v", h.Servers)
		}
	})
	again := startProcess(t, h)
	c.Await("host1", "up after the agent's restart", up("one", "two"))
	c.Watch(nil)
	if pidOf(c, "one") != one || pidOf(c, "two") != two {
		t.Fatalf("servers were restarted: %d, %d became %d, %d", one, two, pidOf(c, "one"), pidOf(c, "two"))
	}
	// Agent and a server together.
	_ = again.Kill()
	_ = syscall.Kill(one, syscall.SIGKILL)
	_, _ = again.Wait()
	start(t, h)
	c.Await("host1", "all back", func(hh *controllerlinktest.Host) bool {
		return up("one", "two")(hh) && int(hh.Server("one").GetPid()) != one
	})
	if pidOf(c, "two") != two {
		t.Error("the server that lived was restarted")
	}
	if c.Joins != 1 {
		t.Errorf("the host joined %d times, want once", c.Joins)
	}
}

func TestWithoutAControllerAHostBootsFromItsLastGoodSnapshot(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	_, stop := start(t, h)
	c.Await("host1", "up", up("one"))
	stop()
	c.Down()
	a, _ := start(t, h)
	await(t, func() bool {
		list := a.Servers()
		return len(list) == 1 && list[0].GetState() == "STARTED" && !a.State().Connected
	})
	if text := a.State().String(); !strings.Contains(text, "no controller since") {
		t.Errorf("state %q", text)
	}
	pid := a.Servers()[0].GetPid()
	c.Publish("host1", snapshotOf(t, 2, func(s *servergroups.HostSnapshot) { s.DomainProperties["greeting"] = "live:back" }, "one", "two"))
	c.Up(c.Address)
	c.Await("host1", "the change arrives", func(h *controllerlinktest.Host) bool {
		return up("one", "two")(h) && h.Server("one").GetRevision() == 2
	})
	if int(pid) != pidOf(c, "one") {
		t.Error("a server was restarted by the reconnection")
	}
}

// patience is for a machine that does other things meanwhile; nobody waits for
// it but a test that fails.
const patience = 2 * time.Minute

func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("did not happen in %s", patience)
		}
	}
}

// The operator sees how a server's last process ended, also after the agent was
// restarted, and of a server that ended while there was no agent.
func TestHowAServerEndedIsToldAndKept(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	agent := startProcess(t, h)
	c.Await("host1", "up", up("one", "two"))
	c.Await("host1", "the first status", func(h *controllerlinktest.Host) bool {
		if e := h.Server("one").GetExit(); e != nil {
			t.Errorf("a server that never ended has %v", e)
		}
		return true
	})
	one, two := pidOf(c, "one"), pidOf(c, "two")
	_ = syscall.Kill(one, syscall.SIGKILL)
	killed := func(h *controllerlinktest.Host) bool {
		e := h.Server("one").GetExit()
		return up("one")(h) && int(h.Server("one").GetPid()) != one && e.GetSignal() == "SIGKILL" && !e.GetUnknown() &&
			e.GetReason() == "ended by SIGKILL" && e.GetAtUnixMs() > 0
	}
	c.Await("host1", "one is back, and was killed", killed)
	_ = agent.Kill()
	_, _ = agent.Wait()
	_ = syscall.Kill(two, syscall.SIGKILL)
	// What a real server writes down where it can.
	if err := (relaypb.Ending{PID: two, Code: 5, At: time.Now()}).Write(h.Dir + "/servers/two"); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return !alive(two) })
	start(t, h)
	c.Await("host1", "both are known after the agent's restart", func(h *controllerlinktest.Host) bool {
		return up("one", "two")(h) && killed(h) && h.Server("two").GetExit().GetCode() == 5 && h.Server("two").GetExit().GetReason() == "ended with exit code 5"
	})
}

func TestAServerThatCannotBeConfiguredHindersNoOther(t *testing.T) {
	c := controllerlinktest.Start(t)
	broken := func(s *servergroups.HostSnapshot) {
		s.Sockets["impossible"] = map[string]any{"default-interface": "public",
			"socket-binding": map[string]any{"http": map[string]any{"port": "${nobody.knows}"}}}
		s.Servers[1].Sockets = "impossible"
	}
	c.Publish("host1", snapshotOf(t, 1, broken, "one", "two"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "one up, two says why not", func(h *controllerlinktest.Host) bool {
		return up("one")(h) && h.Server("two").GetPid() == 0 && strings.Contains(h.Server("two").GetMessage(), "nobody.knows")
	})
}

func TestTwoServersOnOnePortAreFoundBeforeAnythingStarts(t *testing.T) {
	port := porttest.Free(t)
	c := controllerlinktest.Start(t)
	fixed := func(s *servergroups.HostSnapshot) {
		s.Sockets["sockets"]["socket-binding"] = map[string]any{"http": map[string]any{"port": port}}
	}
	c.Publish("host1", snapshotOf(t, 1, fixed, "one", "two"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "the clash is named", func(h *controllerlinktest.Host) bool {
		text := h.Server("one").GetMessage()
		return strings.Contains(text, fmt.Sprint(port)) && strings.Contains(text, `"one"`) && strings.Contains(text, `"two"`) && h.Server("one").GetPid() == 0
	})
}

func TestAnUnwantedServerIsStoppedAndForgotten(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one", "two"))
	one, two := pidOf(c, "one"), pidOf(c, "two")
	c.Publish("host1", snapshotOf(t, 2, nil, "one"))
	c.Await("host1", "two is gone", func(h *controllerlinktest.Host) bool { return len(h.Servers) == 1 })
	if alive(two) || !alive(one) {
		t.Errorf("alive: one %v, two %v", alive(one), alive(two))
	}
}

func TestARefusedHostWithNothingToWorkFromEndsWithAClearError(t *testing.T) {
	c := controllerlinktest.Start(t)
	token := c.Token("host1")
	token.Secret = "wrong"
	a, err := hostagent.New(configOf(hostOf{Dir: t.TempDir(), Token: token.Encode(), Controller: c.Address}))
	if err != nil {
		t.Fatal(err)
	}
	err = a.Run(t.Context())
	if !problem.Is(err, problem.Unauthorized) || strings.Contains(err.Error(), "wrong\"") {
		t.Errorf("Run = %v, want Unauthorized", err)
	}
	token = c.Token("host1")
	token.Fingerprint = "sha256:00"
	if a, err = hostagent.New(configOf(hostOf{Dir: t.TempDir(), Token: token.Encode(), Controller: c.Address})); err != nil {
		t.Fatal(err)
	}
	if err = a.Run(t.Context()); !problem.Is(err, problem.Unauthorized) || !strings.Contains(err.Error(), "cannot trust the controller") {
		t.Errorf("a false controller: Run = %v", err)
	}
}

// A frozen process keeps its sockets open and answers nothing.
func TestAFrozenServerIsRestarted(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address, Timing: supervisor.DefaultTiming}
	h.Timing.LiveEvery, h.Timing.Dump = 50*time.Millisecond, 50*time.Millisecond
	start(t, h)
	c.Await("host1", "up", up("one"))
	pid := pidOf(c, "one")
	frozen := time.Now()
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	c.Await("host1", "another process is ready", func(h *controllerlinktest.Host) bool {
		return up("one")(h) && int(h.Server("one").GetPid()) != pid
	})
	t.Logf("replaced %s after SIGSTOP", time.Since(frozen))
}

func TestAFollowedLogGoesOnUntilItIsCancelled(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one"))
	type end struct {
		result *hostlink.OrderResult
		output []byte
	}
	done := make(chan end, 1)
	go func() {
		r, output := c.Order(context.Background(), "host1", &hostlink.Order{Kind: "read-log", Server: "one", Parameters: []byte(`{"lines":0,"follow":true}`)})
		done <- end{r, output}
	}()
	await(t, func() bool { return c.Orders() == 1 })
	order(t, c, "reload", "one", nil) // writes a line
	await(t, func() bool { return strings.Contains(c.Output("host1", "1"), "command reload") })
	c.Send("host1", &hostlink.Instruction{Instruction: &hostlink.Instruction_Cancel{Cancel: &hostlink.Cancel{Order: "1"}}})
	if e := <-done; e.result.GetProblem() != "" || strings.Contains(string(e.output), "configuration 1") {
		t.Errorf("a followed log ended with %v after %q", e.result, e.output)
	}
}
