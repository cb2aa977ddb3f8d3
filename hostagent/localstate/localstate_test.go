package localstate_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func open(t testing.TB, dir string) *localstate.Store {
	t.Helper()
	s, err := localstate.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func snapshot(revision uint64) localstate.Snapshot {
	return localstate.Snapshot{Revision: revision, Checksum: "sum", Content: json.RawMessage(`{"servers":[]}`)}
}

// What an agent forked just before it died holds its lock until it becomes its
// own program.
func TestTheLockOfAnAgentThatDiedIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	_ = open(t, dir).Close()
	held, err := os.Open(filepath.Join(dir, "agent", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	next := make(chan error, 1)
	go func() {
		s, err := localstate.Open(dir)
		if err == nil {
			err = s.Close()
		}
		next <- err
	}()
	_ = held.Close()
	if err := <-next; err != nil {
		t.Error(err)
	}
}

func TestOneAgentAtATimeHasTheState(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	if _, err := localstate.Open(dir); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second agent: %v, want Conflict", err)
	}
	id := first.Installation()
	_ = first.Close()
	if again := open(t, dir).Installation(); again != id || len(id) != 32 {
		t.Errorf("installation id %q after %q", again, id)
	}
}

func TestADamagedSnapshotFallsBackToTheOneBeforeAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for r := uint64(1); r <= 3; r++ {
		if err := s.SaveSnapshot(snapshot(r)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "agent", "snapshot")
	good, _ := os.ReadFile(path)
	for name, bad := range map[string][]byte{
		"cut off":    good[:len(good)/2],
		"empty":      {},
		"one bit":    append(bytes.Clone(good[:len(good)-3]), good[len(good)-3]^1, good[len(good)-2], good[len(good)-1]),
		"other text": []byte("hello\n"),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		got, found, warning, err := s.LastSnapshot()
		if err != nil || !found || got.Revision != 2 {
			t.Errorf("%s: revision %d, %v, %v; want the one before", name, got.Revision, found, err)
		}
		if warning == nil || !strings.Contains(warning.Error(), path) {
			t.Errorf("%s: warning %v, want it to name %s", name, warning, path)
		}
	}
	// The damaged file does not replace the good previous one.
	if err := s.SaveSnapshot(snapshot(4)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _, _, err := s.LastSnapshot(); err != nil || got.Revision != 2 {
		t.Errorf("revision %d, %v; want 2", got.Revision, err)
	}
}

func TestSecretsAreReadableByTheirUserOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.SaveIdentity([]byte("key")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "agent", "identity"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity: %v, %v", info.Mode(), err)
	}
	if text, err := s.Identity(); err != nil || string(text) != "key" {
		t.Errorf("identity %q, %v", text, err)
	}
}

// A crash leaves any prefix of a write's steps done. Whatever it leaves, the
// last or the one before is read.
func TestNoCrashDuringAWriteLosesTheState(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	base := filepath.Join(dir, "agent")
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range []uint64{1, 2} {
			if err := s.SaveSnapshot(snapshot(r)); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(base, "snapshot")
		fresh, _ := os.ReadFile(path)
		switch rapid.IntRange(0, 2).Draw(t, "crash") {
		case 0: // while the new file was written
			n := rapid.IntRange(0, len(fresh)).Draw(t, "bytes")
			_ = os.WriteFile(path+".new", fresh[:n], 0o600)
		case 1: // between the two renames
			_ = os.Rename(path, path+".previous")
		}
		got, found, warning, err := s.LastSnapshot()
		if err != nil || warning != nil || !found || got.Revision != 2 {
			t.Fatalf("after a crash: revision %d, %v, %v, %v", got.Revision, found, warning, err)
		}
	})
}

func TestServersAreRememberedByAnyName(t *testing.T) {
	s := open(t, t.TempDir())
	for _, name := range []string{"server-one", "a.previous", "../up", "ä/ö", "x.new", "."} {
		if err := s.UpdateServer(name, func(v *localstate.Server) { v.Order = "stop"; v.KeyDigest = "d" }); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if err := s.UpdateServer(name, func(v *localstate.Server) { v.Process = &localstate.Process{PID: 7} }); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		list, err := s.Servers()
		if err != nil || len(list) != 1 || list[0].Name != name || list[0].Order != "stop" || list[0].Process.PID != 7 {
			t.Errorf("%q: %+v, %v", name, list, err)
		}
		if err := s.ForgetServer(name); err != nil {
			t.Fatal(err)
		}
	}
}
