package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Fifty identity servers of one host start in under 10 s on two cores that have
// nothing else to do, and stop without an orphan. The processor time that they
// take is the figure that says more on a busy machine.
func TestFiftyServersOnOneHostStartAndStopWithoutAnOrphan(t *testing.T) {
	if !full {
		t.Skip("starts 50 servers; run with GATEHOUSE_E2E_FULL=1")
	}
	const many = 50
	h := host{name: "master", servers: []server{{"balancer", balancers, 0}}}
	for i := 1; i <= many; i++ {
		h.servers = append(h.servers, server{fmt.Sprintf("server-%d", i), identity, i})
	}
	d := newDomain(t, h)
	begin := time.Now()
	d.boot()
	t.Logf("the first boot, of the database too: %s", time.Since(begin).Round(10*time.Millisecond))

	begin = time.Now()
	d.must("/server-group=" + identity + ":stop-servers(blocking=true)")
	t.Logf("stopped after %s", time.Since(begin).Round(10*time.Millisecond))
	for name, pid := range d.pids() {
		if name != "balancer" && pid != 0 {
			t.Errorf("%s still is process %d", name, pid)
		}
	}
	if left := below(filepath.Join(d.dir, "master", "servers")); left != 1 {
		t.Errorf("%d processes are left, want the balancer's", left)
	}

	begin = time.Now()
	d.must("/server-group=" + identity + ":start-servers(blocking=true)")
	took := time.Since(begin)
	seconds := 0.0
	for name, pid := range d.pids() {
		if name != "balancer" {
			seconds += processorSeconds(t, pid)
		}
	}
	t.Logf("started %d servers in %s, with %.2f s of processor time, %.3f s a server; the goal is 10 s on two idle cores",
		many, took.Round(10*time.Millisecond), seconds, seconds/many)
	if limit := 2 * time.Minute; took > limit {
		t.Errorf("%d servers started in %s", many, took)
	}
	eventually(t, "every server serves the realm", func(ctx context.Context) (err error) {
		d.each(func(i int, s server) {
			if err == nil {
				err = answers(d.realm(i, s))(ctx)
			}
		})
		return err
	})
	d.agents["master"].stop(t)
	if left := below(filepath.Join(d.dir, "master")); left != 0 {
		t.Errorf("the agent stopped and left %d processes", left)
	}
}

// below counts the processes that work in a folder or below it.
func below(dir string) (count int) {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && (to == dir || strings.HasPrefix(to, dir+"/")) {
			count++
		}
	}
	return count
}

// processorSeconds is the user and system time of a process: proc_pid_stat(5).
func processorSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system float64
	if _, err := fmt.Sscan(f[11]+" "+f[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	const ticksPerSecond = 100
	return (user + system) / ticksPerSecond
}
