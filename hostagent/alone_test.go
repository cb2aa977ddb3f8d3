package hostagent_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// listed is the last directory that a test server wrote to its log: what it
// knows of every server, "host/name=STATE" in their order.
func listed(t *testing.T, dir, server string) string {
	t.Helper()
	log, err := os.ReadFile(dir + "/servers/" + server + "/log/server.log")
	if err != nil {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(log)) {
		if text, ok := strings.CutPrefix(line, "directory "); ok {
			last = strings.TrimSpace(text)
		}
	}
	return last
}

// elsewhere is a directory as the domain gives it: a server of another host,
// and one of ours as the domain believes it to be.
func elsewhere(version uint64, ours string) *hostlink.Instruction {
	return &hostlink.Instruction{Instruction: &hostlink.Instruction_Directory{Directory: &hostlink.Directory{Version: version,
		Servers: []*hostlink.DirectoryServer{{Host: "host1", Name: "two", State: ours}, {Host: "host2", Name: "far", State: "STARTED", Healthy: true}}}}}
}

func TestWithoutAControllerServersOfAHostLearnOfEachOther(t *testing.T) {
	port := porttest.Free(t)
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, func(s *servergroups.HostSnapshot) {
		s.Sockets["of two"] = map[string]any{"default-interface": "public", "socket-binding": map[string]any{"http": map[string]any{"port": port}}}
		s.Servers[1].Sockets = "of two"
	}, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	a, stop := start(t, h)
	c.Await("host1", "up", up("one", "two"))
	if text := listed(t, h.Dir, "one"); text != "" {
		t.Errorf("before the domain gave a directory, a server was told %q", text)
	}
	c.Send("host1", elsewhere(7, "STARTED"))
	await(t, func() bool { return listed(t, h.Dir, "one") == "host1/one=STARTED host1/two=STARTED host2/far=STARTED" })
	c.Down()
	await(t, func() bool { return !a.State().Connected })

	// A crash, and the return, are known beside it; the far server stays, though
	// after aloneAfter nobody here can tell how it is. Somebody has two's port: it
	// stays away until its neighbour was seen to know.
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Servers() {
		if s.GetName() == "two" {
			_ = syscall.Kill(int(s.GetPid()), syscall.SIGKILL)
		}
	}
	await(t, func() bool {
		return strings.HasPrefix(listed(t, h.Dir, "one"), "host1/one=STARTED host1/two=BACKOFF host2/far=")
	})
	_ = taken.Close()
	await(t, func() bool {
		return strings.HasPrefix(listed(t, h.Dir, "one"), "host1/one=STARTED host1/two=STARTED host2/far=")
	})
	stop()

	// The next agent, still alone, has the domain's list from the disk.
	if err := os.Remove(h.Dir + "/servers/one/log/server.log"); err != nil {
		t.Fatal(err)
	}
	start(t, h)
	await(t, func() bool {
		return strings.HasPrefix(listed(t, h.Dir, "one"), "host1/one=STARTED host1/two=STARTED host2/far=")
	})
}

func TestTheDomainsOldWordOfAServerDoesNotHideItFromItsNeighbours(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	start(t, h)
	c.Await("host1", "up", up("one", "two"))
	c.Send("host1", elsewhere(7, "STOPPED"))
	await(t, func() bool { return listed(t, h.Dir, "one") == "host1/one=STARTED host1/two=STARTED host2/far=STARTED" })
}

func TestAHostTellsOfItselfOnItsHealthPort(t *testing.T) {
	address := porttest.Address(t)
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address, Health: address}
	a, _ := start(t, h)
	c.Await("host1", "up", up("one"))
	c.Await("host1", "facts follow a probe", func(h *controllerlinktest.Host) bool { return h.Facts.GetCores() > 0 })
	await(t, func() bool { return a.State().Skew != nil })
	if skew := *a.State().Skew; skew.Abs() > 5*time.Second {
		t.Errorf("a clock skew of %s against this very machine", skew)
	}
	read := func(path string) string {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v", path, answer.Status, err)
		}
		return string(text)
	}
	for _, line := range []string{`gatehouse_host_servers{host="host1",state="STARTED"} 1`, `gatehouse_host_controller_connected{host="host1"} 1`} {
		if !strings.Contains(read("/metrics"), line) {
			t.Errorf("no %s", line)
		}
	}
	c.Down()
	await(t, func() bool { return strings.Contains(read("/health"), "no controller since") })
	if !strings.Contains(read("/metrics"), `gatehouse_host_controller_connected{host="host1"} 0`) {
		t.Error("the lost controller is not in the metrics")
	}
}

// again runs agents one after the other, as the program does when the domain
// has it reload; ended gives how the last one ended.
func again(t *testing.T, h hostOf) (ended chan error, agents chan *hostagent.Agent) {
	ended, agents = make(chan error, 1), make(chan *hostagent.Agent, 8)
	go func() {
		for {
			a, err := hostagent.New(configOf(h))
			if err != nil {
				ended <- err
				return
			}
			agents <- a
			if err := a.Run(t.Context()); err != hostagent.ErrReload {
				ended <- err
				return
			}
		}
	}()
	return ended, agents
}

// bootOf is which agent is connected.
func bootOf(c *controllerlinktest.Controller) (boot string) {
	c.Await("host1", "an agent", func(h *controllerlinktest.Host) bool { boot = h.Hello.GetBoot(); return true })
	return boot
}

func TestAReloadedHostKeepsItsServersAndAShutDownOneStopsThem(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address, Keep: true}
	ended, agents := again(t, h)
	<-agents
	c.Await("host1", "up", up("one"))
	pid, boot := pidOf(c, "one"), bootOf(c)
	order(t, c, "host-reload", "", nil)
	<-agents
	c.Await("host1", "another agent with the same server", func(h *controllerlinktest.Host) bool {
		return h.Hello.GetBoot() != boot && up("one")(h) && int(h.Server("one").GetPid()) == pid
	})
	order(t, c, "host-shutdown", "", nil)
	if err := <-ended; err != nil {
		t.Errorf("a host that was shut down ended with %v", err)
	}
	if alive(pid) {
		t.Error("the host was shut down and left a server")
	}
}

func TestAHostThatRestartsLeavesItsServers(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	ended, _ := again(t, h)
	c.Await("host1", "up", up("one"))
	pid := pidOf(c, "one")
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL); _, _ = syscall.Wait4(pid, nil, 0, nil) })
	order(t, c, "host-shutdown", "", map[string]any{"restart": true})
	if err := <-ended; err != hostagent.ErrRestart {
		t.Errorf("it ended with %v, want ErrRestart", err)
	}
	if !alive(pid) {
		t.Error("the server ended with its agent")
	}
}

func TestAnUnknownOrderNamesTheKnownOnes(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	start(t, hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one"))
	r := result(t, c, "dance", "one", nil)
	if r.GetKind() != problem.Unsupported.String() || !strings.Contains(r.GetProblem(), "host-reload") {
		t.Errorf("%s: %s", r.GetKind(), r.GetProblem())
	}
}

// The very first list is on the disk before any server has it: a machine that
// loses its power then knows the others at its next boot.
func TestAHostKilledWithItsVeryFirstDirectoryHasItAtTheNextBootWithoutAController(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	agent := startProcess(t, h)
	c.Await("host1", "up", up("one", "two"))
	c.Send("host1", elsewhere(7, "STARTED"))
	await(t, func() bool { return listed(t, h.Dir, "one") != "" })
	_ = agent.Kill()
	_, _ = agent.Wait()
	for pid := range serversOf(h.Dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	c.Down()
	if err := os.Remove(h.Dir + "/servers/one/log/server.log"); err != nil {
		t.Fatal(err)
	}
	start(t, h)
	await(t, func() bool { return strings.Contains(listed(t, h.Dir, "one"), "host2/far=") })
}
