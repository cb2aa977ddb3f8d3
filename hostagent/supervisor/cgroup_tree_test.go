package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// tree is a folder with the files of a control group that is delegated to an
// agent, as cgroup-v2 in the kernel's Admin Guide describes them, with a group of a
// server in it: the kernel makes the files of a group when the group is made.
type tree struct{ top, server string }

func newTree(t *testing.T) tree {
	t.Helper()
	tr := tree{top: t.TempDir()}
	tr.server = filepath.Join(tr.top, "server-one")
	for _, group := range []string{".", delegated, "server-one"} {
		if err := os.MkdirAll(filepath.Join(tr.top, group), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"cgroup.subtree_control", "cgroup.procs", "cgroup.kill", "memory.max", "memory.oom.group"} {
			if err := os.WriteFile(filepath.Join(tr.top, group, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tr
}

// refuses has a file refuse to be written, as the kernel does where it has memory
// in control groups of version 1.
func (tr tree) refuses(t *testing.T, file string) {
	t.Helper()
	path := filepath.Join(tr.top, file)
	_ = os.Remove(path)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func (tr tree) says(t *testing.T, file, want string) {
	t.Helper()
	if text, err := os.ReadFile(filepath.Join(tr.top, file)); err != nil || string(text) != want {
		t.Errorf("%s has %q, %v; want %q", file, text, err, want)
	}
}

func (tr tree) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(tr.server, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAServersMemoryIsBoundedInAGroupOfItsOwn(t *testing.T) {
	tr := newTree(t)
	for _, step := range []struct {
		pid   int
		limit int64
		bound string
	}{{4711, 200 << 20, "209715200"}, {4712, 0, "max"}, {4713, 1 << 30, "1073741824"}} {
		if err := encloseIn(tr.server, step.pid, step.limit); err != nil {
			t.Fatal(err)
		}
		tr.says(t, "cgroup.subtree_control", "+memory") // or no group below has memory.max
		tr.says(t, "server-one/memory.max", step.bound)
		tr.says(t, "server-one/memory.oom.group", "1")
		tr.says(t, "server-one/cgroup.procs", map[int]string{4711: "4711", 4712: "4712", 4713: "4713"}[step.pid])
	}
	// A new server's group is made; here without its files.
	fresh := filepath.Join(tr.top, "server-new")
	if err := encloseIn(fresh, 4714, 1<<30); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(fresh); err != nil || !info.IsDir() {
		t.Errorf("the group of a new server: %v", err)
	}
	dissolveIn(tr.server)
	tr.says(t, "server-one/cgroup.kill", "1") // nothing outlives its server
	tr.says(t, "agent/cgroup.kill", "")
}

func TestAGroupThatCannotBoundMemoryStillHoldsItsServerAndSaysSo(t *testing.T) {
	tr := newTree(t)
	tr.refuses(t, "cgroup.subtree_control")
	tr.refuses(t, "server-one/memory.max")
	err := encloseIn(tr.server, 4711, 200<<20)
	if !problem.Is(err, problem.Unsupported) || !strings.Contains(err.Error(), tr.server) || !strings.Contains(err.Error(), "memory.max") {
		t.Errorf("%v; want Unsupported that names the group", err)
	}
	tr.says(t, "server-one/cgroup.procs", "4711")
	tr.says(t, "server-one/memory.oom.group", "")
	if err := encloseIn(tr.server, 4712, 0); err != nil {
		t.Errorf("a server without a limit: %v", err)
	}
	tr.refuses(t, "server-two/cgroup.procs")
	if err := encloseIn(filepath.Join(tr.top, "server-two"), 4713, 0); err == nil {
		t.Error("a group that takes no process was taken for one")
	}
	if err := encloseIn(filepath.Join(tr.top, "no", "such", "group"), 4714, 0); err == nil {
		t.Error("a group that cannot be made was taken for one")
	}
}

// What the kernel counts of a group decides, whoever else was killed on the
// machine.
func TestTheKillsOfAGroupSayThatAServerRanOutOfMemory(t *testing.T) {
	tr := newTree(t)
	if _, counted := killsIn(tr.server); counted {
		t.Error("a kernel that does not count counts")
	}
	if err := encloseIn(tr.server, 4711, 200<<20); err != nil {
		t.Fatal(err)
	}
	tr.write(t, "memory.events", "low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 1\n")
	if n, counted := killsIn(tr.server); n != 3 || !counted {
		t.Errorf("%d, %v; want 3", n, counted)
	}
	if _, found := counter(filepath.Join(tr.server, "memory.events"), "oom_killer"); found {
		t.Error("found what is not there")
	}
	killed, ended := Exit{Code: 137, Signal: "SIGKILL"}, Exit{Code: 1}
	for _, c := range []struct {
		name        string
		exit        Exit
		before, now kills
		last        string
		want        bool
	}{
		{"its group had a kill", killed, kills{group: 3, counted: true}, kills{group: 4, counted: true}, "", true},
		{"a child of it was killed, and it ended by itself", ended, kills{group: 3, counted: true}, kills{group: 4, counted: true}, "", true},
		{"somebody else of the machine was killed", killed, kills{group: 3, machine: 7, counted: true}, kills{group: 3, machine: 8, counted: true}, "", false},
		{"no group counts, and the machine had a kill", killed, kills{machine: 7}, kills{machine: 8}, "", true},
		{"no group counts, and it ended by itself", ended, kills{machine: 7}, kills{machine: 8}, "", false},
		{"nobody was killed, and its runtime says why", ended, kills{counted: true}, kills{counted: true}, "fatal error: runtime: out of memory\n", true},
		{"it was well", Exit{}, kills{}, kills{}, "fatal error: runtime: out of memory\n", false},
		{"it could not be started", Exit{Problem: "no such file"}, kills{}, kills{group: 1, counted: true}, "", false},
	} {
		if got := c.exit.forWantOfMemory(c.before, c.now, []byte(c.last)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
