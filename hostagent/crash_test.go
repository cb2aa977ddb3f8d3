package hostagent_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
)

// serversOf finds the processes of the servers of one agent's directory.
func serversOf(dir string) map[int]string {
	found := map[int]string{}
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environments {
		env, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(env), hostagent.EnvRelay+"="+dir+"/") {
			continue
		}
		for _, e := range strings.Split(string(env), "\x00") {
			if name, ok := strings.CutPrefix(e, hostagent.EnvServer+"="); ok {
				pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
				found[pid] = name
			}
		}
	}
	return found
}

// Whenever the agent is killed, also while it starts servers, the next one has
// every server once: none is lost, none runs twice, none is an orphan.
func TestNoKillOfTheAgentLosesOrDoublesAServer(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	names := []string{"a", "b", "c", "d", "e", "f"}
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, names...))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	for range 12 {
		agent := startProcess(t, h)
		live := time.NewTimer(time.Duration(random.IntN(250)) * time.Millisecond)
		<-live.C
		_ = agent.Kill()
		_, _ = agent.Wait()
		if random.IntN(3) == 0 { // and some of its servers with it
			for pid := range serversOf(h.Dir) {
				if random.IntN(2) == 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	}
	_, stop := start(t, h)
	c.Await("host1", "every server up", up(names...))
	await(t, func() bool { return len(serversOf(h.Dir)) == len(names) })
	running := map[string]int{}
	for pid, name := range serversOf(h.Dir) {
		if running[name] != 0 {
			t.Errorf("server %s runs twice: %d and %d", name, running[name], pid)
		}
		running[name] = pid
	}
	for _, name := range names {
		if pidOf(c, name) != running[name] {
			t.Errorf("the agent knows process %d of server %s, there is %d", pidOf(c, name), name, running[name])
		}
	}
	stop()
	if left := serversOf(h.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A host with a very long path has its socket elsewhere.
func TestADeepDirectoryIsFine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	start(t, hostOf{Dir: dir, Token: tokenText(c), Controller: c.Address})
	c.Await("host1", "up", up("one"))
}

// Whatever the domain orders in whatever order, every server ends as it was
// last wanted.
func TestRandomOrdersEndAsTheLastWanted(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	names := []string{"a", "b", "c"}
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, names...))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	start(t, h)
	c.Await("host1", "up", up(names...))
	kinds := []string{"start", "stop", "restart", "reload", "suspend", "resume", "kill", "destroy", "crash"}
	for i := range 60 {
		name, kind := names[random.IntN(len(names))], kinds[random.IntN(len(kinds))]
		if kind == "crash" {
			for pid, n := range serversOf(h.Dir) {
				if n == name {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			continue
		}
		blocking := map[string]any{"blocking": random.IntN(2) == 0, "suspend-timeout": 1}
		if problem := tryOrder(t, c, kind, name, blocking); strings.Contains(problem, "internal") {
			t.Fatalf("order %d, %s %s: %s", i, kind, name, problem)
		}
	}
	for i, name := range names {
		kind := []string{"restart", "stop"}[i%2]
		if problem := tryOrder(t, c, kind, name, nil); problem != "" {
			t.Errorf("%s %s at the end: %s", kind, name, problem)
		}
	}
	c.Await("host1", "a and c run, b does not", func(h *controllerlinktest.Host) bool {
		return up("a", "c")(h) && h.Server("b").GetState() == "STOPPED"
	})
	await(t, func() bool { return len(serversOf(h.Dir)) == 2 })
}

func tryOrder(t *testing.T, c *controllerlinktest.Controller, kind, server string, p map[string]any) string {
	t.Helper()
	r := result(t, c, kind, server, p)
	if r.GetProblem() != "" {
		return fmt.Sprintf("%s: %s", r.GetKind(), r.GetProblem())
	}
	return ""
}
