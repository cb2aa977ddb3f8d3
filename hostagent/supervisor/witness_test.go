package supervisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// beMiddleman starts a server as an earlier agent would have, and leaves it
// behind.
func beMiddleman() int {
	stdin, give, err := os.Pipe()
	if err != nil {
		return 71
	}
	fmt.Fprintln(give, "token")
	p, err := os.StartProcess("/proc/self/exe", []string{"server"}, &os.ProcAttr{
		Env: []string{"SUPERVISED_MODE=seven", "GORACE=atexit_sleep_ms=0", "SUPERVISED_LISTENS=" + os.Getenv("SUPERVISED_LISTENS")}, Files: []*os.File{stdin, nil, nil}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return 72
	}
	fmt.Println(p.Pid)
	return 0
}

// adopted is a server that no process of this test is the parent of, and that
// handles SIGTERM. Only it knows when it does: Go's runtime has a handler of its
// own from the beginning.
func adopted(t *testing.T, s *Supervisor, spec Spec) Status {
	t.Helper()
	listens := filepath.Join(t.TempDir(), "listens")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"SUPERVISED_MODE=middleman", "GORACE=atexit_sleep_ms=0", "SUPERVISED_LISTENS=" + listens}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	if _, err := fmt.Sscan(string(out), &pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	p, err := inspect(spec.Name, pid, time.Now())
	if err == nil {
		err = s.Adopt(spec, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Reported(spec.Name, Report{State: "ready", Healthy: true})
	return eventually(t, s, spec.Name, func(st Status) bool {
		_, err := os.Stat(listens)
		return err == nil && st.State == Started
	})
}

// keepsEnds: the kernel tells the end of a process to whoever held its pidfd.
func keepsEnds(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 15
}

func TestHowAnAdoptedServerEndedIsKnownWhereTheKernelTells(t *testing.T) {
	for _, c := range []struct {
		name string
		sig  syscall.Signal
		want string
	}{
		{"a signal that it did not handle", syscall.SIGKILL, "ended by SIGKILL"},
		{"an exit code", syscall.SIGTERM, "ended with exit code 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			timing := quick()
			timing.Backoff = []time.Duration{time.Hour}
			s, _ := newTest(t, timing)
			st := adopted(t, s, specOf(t, "one", "serve"))
			_ = syscall.Kill(st.PID, c.sig)
			st = eventually(t, s, "one", func(st Status) bool { return st.Exit != nil })
			if text := st.Exit.String(); text != c.want && (keepsEnds(t) || text != "ended while no parent was there to see how") {
				t.Errorf("it %s, want %q", text, c.want)
			}
		})
	}
}

// A server that ended while there was no agent at all: what it wrote down is all
// there is.
func TestAServerThatEndedWithoutAnyAgentIsExplainedByItsLastWords(t *testing.T) {
	boot, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	words := func(pid int, _ time.Time) (int, bool) { return 9, pid == 1<<22 }
	for _, c := range []struct {
		name  string
		p     Process
		words func(int, time.Time) (int, bool)
		want  string
	}{
		{"it wrote its code down", Process{PID: 1 << 22, Boot: boot}, words, "ended with exit code 9"},
		{"it wrote nothing", Process{PID: 1<<22 + 1, Boot: boot}, words, "ended while no parent was there to see how"},
		{"it cannot write", Process{PID: 1 << 22, Boot: boot}, nil, "ended while no parent was there to see how"},
		{"the machine went down", Process{PID: 1 << 22, Boot: "before"}, nil, "ended with the machine, which was booted anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, f := newTest(t, quick())
			c.p.Server = "one"
			f.journal["one"] = c.p
			spec := specOf(t, "one", "serve")
			spec.LastWords = c.words
			if err := s.Adopt(spec, c.p); !problem.Is(err, problem.NotFound) {
				t.Fatalf("Adopt = %v, want NotFound", err)
			}
			st := eventually(t, s, "one", func(st Status) bool { return st.Exit != nil })
			if st.Exit.String() != c.want || st.Message != c.want || st.Exit.At.IsZero() {
				t.Errorf("%+v; want an exit %q", st, c.want)
			}
			if _, still := f.journal["one"]; still {
				t.Error("the record of the process is still there")
			}
		})
	}
}
