package hostagent_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink/controllerlinktest"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// smallDisk is a folder on a disk of its own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("cannot make a small disk (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all space of a disk; the returned function gives it back.
func fill(t *testing.T, dir string) func() {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A change that cannot be kept is refused and said; what runs goes on, what
// crashes is back as soon as there is space, and nothing that was kept is lost.
func TestAFullDiskLosesNothing(t *testing.T) {
	dir := smallDisk(t)
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one", "two"))
	h := hostOf{Dir: dir, Token: tokenText(c), Controller: c.Address}
	agent := startProcess(t, h)
	c.Await("host1", "up", up("one", "two"))
	one, two := pidOf(c, "one"), pidOf(c, "two")

	free := fill(t, dir)
	large := func(s *servergroups.HostSnapshot) { s.DomainProperties["ballast"] = strings.Repeat("x", 1<<16) }
	c.Publish("host1", snapshotOf(t, 2, large, "one", "two"))
	c.Await("host1", "revision 2 is refused for want of space", func(h *controllerlinktest.Host) bool {
		return h.Acked.GetRevision() == 2 && strings.Contains(h.Acked.GetProblem(), "no space left")
	})
	_ = syscall.Kill(one, syscall.SIGKILL)
	c.Await("host1", "one is missed", func(h *controllerlinktest.Host) bool { return int(h.Server("one").GetPid()) != one })
	// An agent that comes back to a full disk finds what the last one kept.
	_ = agent.Kill()
	_, _ = agent.Wait()
	agent = startProcess(t, h)
	c.Await("host1", "two goes on, adopted", func(h *controllerlinktest.Host) bool { return up("two")(h) && int(h.Server("two").GetPid()) == two })

	free()
	c.Await("host1", "with space one is back", up("one", "two"))
	c.Publish("host1", snapshotOf(t, 3, large, "one", "two"))
	c.Await("host1", "revision 3 is taken", func(h *controllerlinktest.Host) bool {
		return h.Acked.GetRevision() == 3 && h.Acked.GetProblem() == "" && h.Server("two").GetRevision() == 3
	})
	if pidOf(c, "two") != two {
		t.Error("the server that ran throughout was restarted")
	}
	_ = agent.Kill()
	_, _ = agent.Wait()
	for pid := range serversOf(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	await(t, func() bool { return len(serversOf(dir)) == 0 })
}

// Every file of the state, damaged in every way that is thought of: the agent
// starts, or says what is wrong; with a controller the servers run.
func TestADamagedStateDoesNotKeepAHostFromItsServers(t *testing.T) {
	c := controllerlinktest.Start(t)
	c.Publish("host1", snapshotOf(t, 1, nil, "one"))
	h := hostOf{Dir: t.TempDir(), Token: tokenText(c), Controller: c.Address}
	_, stop := start(t, h)
	c.Await("host1", "up", up("one"))
	c.Send("host1", elsewhere(7, "STARTED"))
	await(t, func() bool { return listed(t, h.Dir, "one") != "" })
	stop()
	state := filepath.Join(h.Dir, "agent")
	var files []string
	for _, pattern := range []string{"snapshot*", "directory*", "servers/*"} {
		found, err := filepath.Glob(filepath.Join(state, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 3 {
		t.Fatalf("the state is in %v", files)
	}
	for what, damage := range map[string]func([]byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"cut off": func(b []byte) []byte { return b[:len(b)/2] },
		"other":   func([]byte) []byte { return []byte("hello\n") },
		"a bit":   func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-2] ^= 4; return b },
	} {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // the state has moved on
			}
			if len(text) > 2 {
				if err := os.WriteFile(file, damage(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		a, stop := start(t, h)
		await(t, func() bool {
			list := a.Servers()
			return len(list) == 1 && list[0].GetState() == "STARTED" && list[0].GetHealthy()
		})
		t.Logf("all files %s: the server runs", what)
		stop()
	}
}

// A folder that the agent may not use is named, before anything is started.
func TestAFolderWithoutPermissionIsNamed(t *testing.T) {
	c := controllerlinktest.Start(t)
	for name, path := range map[string]string{"a file in its place": filepath.Join(t.TempDir(), "file"), "a folder that cannot be": "/proc/gatehouse"} {
		if !strings.HasPrefix(path, "/proc") {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		_, err := hostagent.New(configOf(hostOf{Dir: path, Token: tokenText(c), Controller: c.Address}))
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v after %s, want it named", name, err, time.Since(begin))
		}
	}
}
