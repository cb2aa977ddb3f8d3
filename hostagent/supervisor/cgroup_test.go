package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheAgentsOwnGroupIsFoundOnEveryKindOfMachine(t *testing.T) {
	const mount = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	for _, c := range []struct {
		name, own, mounts, want string
	}{
		{"version 2 alone", "0::/system.slice/gatehouse-agent.service/agent\n", mount, "/sys/fs/cgroup/system.slice/gatehouse-agent.service/agent"},
		{"beside version 1", "9:name=systemd:/x\n4:memory:/y\n0::/a/agent\n", "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
			"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/a/agent"},
		{"a container that sees its own part", "0::/docker/1/agent\n", "30 24 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "/sys/fs/cgroup/agent"},
		{"a mount of another part", "0::/a/agent\n", "30 24 0:26 /b /sys/fs/cgroup ro - cgroup2 cgroup rw\n", ""},
		{"a mount with a blank", "0::/agent\n", "30 24 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n", "/my groups/agent"},
		{"version 1 alone", "4:memory:/y\n", mount, ""},
		{"not mounted", "0::/agent\n", "", ""},
	} {
		got, err := unifiedGroup(c.own, c.mounts)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// inDelegatedGroup runs the test t again as a process in a control group that is
// delegated as the agent's unit asks for, and ends t with what came of it. It
// gives false there.
func inDelegatedGroup(t *testing.T) (again bool) {
	t.Helper()
	if os.Getenv("GROUP_TEST") != "" {
		return false
	}
	if os.Getuid() != 0 {
		t.Skip("makes a control group: run as root")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	top, err := unifiedGroup("0::/", string(mounts))
	if err != nil {
		t.Skipf("this machine has control groups of version 1 only: %v", err)
	}
	dir := filepath.Join(top, "gatehouse-test-"+strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(filepath.Join(dir, delegated), 0o755); err != nil {
		t.Skipf("this machine gives no control groups: %v", err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		deadline := time.Now().Add(time.Minute)
		for os.Remove(filepath.Join(dir, delegated)) != nil && time.Now().Before(deadline) {
			_ = os.Remove(filepath.Join(dir, delegated))
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("a server's group was left behind: %v", err)
		}
	})
	_ = os.WriteFile(filepath.Join(top, "cgroup.subtree_control"), []byte("+memory"), 0) // asked for below
	group, err := os.Open(filepath.Join(dir, delegated))
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), "GROUP_TEST="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("in a delegated group: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
	return true
}

func TestAServerHasAControlGroupOfItsOwnThatNothingOutlives(t *testing.T) {
	if inDelegatedGroup(t) {
		return
	}
	s, _ := newTest(t, quick())
	st := begin(t, s, specOf(t, "a/b", "family"))
	dir := filepath.Join(os.Getenv("GROUP_TEST"), "server-a%2Fb")
	members, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || !strings.Contains(string(members), strconv.Itoa(st.PID)) {
		t.Fatalf("its group has %q, %v; want process %d", members, err, st.PID)
	}
	eventually(t, s, "a/b", func(Status) bool {
		u, err := Measure("a/b", st.PID)
		return err == nil && u.GroupCPUSeconds > 0
	})
	if err := s.Kill(t.Context(), "a/b"); err != nil {
		t.Fatal(err)
	}
	// Its child may still be on its way out; the next end removes the group.
	deadline := time.Now().Add(time.Minute)
	for dissolve("a/b"); time.Now().Before(deadline); dissolve("a/b") {
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
	}
	t.Error("the group is still there")
}

func TestAServerOverTheLimitOfItsGroupIsToldAsOutOfMemory(t *testing.T) {
	if inDelegatedGroup(t) {
		return
	}
	controllers, err := os.ReadFile(filepath.Join(os.Getenv("GROUP_TEST"), "cgroup.controllers"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(controllers), "memory") {
		t.Skipf("this machine's memory is in control groups of version 1; those of version 2 have %q", strings.TrimSpace(string(controllers)))
	}
	timing := quick()
	timing.Backoff = []time.Duration{time.Hour}
	s, _ := newTest(t, timing)
	spec := specOf(t, "one", "eat")
	spec.MemoryLimit = 200 << 20
	if err := s.Define(spec); err != nil {
		t.Fatal(err)
	}
	_ = s.Begin("one")
	st := eventually(t, s, "one", func(st Status) bool { return st.Exit != nil })
	if !st.Exit.OutOfMemory || st.Exit.Signal != "SIGKILL" {
		t.Errorf("exit %+v of a server that ate more than its group may have", st.Exit)
	}
}
