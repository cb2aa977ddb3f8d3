package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestServersThatCrowdTheProcessorsUseFewerAtATime(t *testing.T) {
	for _, c := range []struct{ processors, servers, threads int }{
		{1, 1, 1}, {1, 50, 1},
		{2, 0, 2}, {2, 1, 2}, {2, 4, 2}, {2, 7, 2}, {2, 8, 1}, {2, 50, 1},
		{8, 4, 8}, {8, 5, 7}, {8, 8, 4}, {8, 32, 1}, {8, 200, 1},
		{64, 4, 64}, {64, 50, 6},
	} {
		crowd := crowd{processors: c.processors}
		crowd.servers.Store(int64(c.servers))
		if got := crowd.threads(); got != c.threads {
			t.Errorf("%d servers on %d processors: %d threads each, want %d", c.servers, c.processors, got, c.threads)
		}
		if env := crowd.env(); (len(env) == 0) != (c.threads == c.processors) {
			t.Errorf("%d servers on %d processors: environment %v", c.servers, c.processors, env)
		}
	}
}

// What an operator has set is not overridden.
func TestTheEnvironmentThatIsGivenComesBeforeTheShare(t *testing.T) {
	for given, want := range map[string]string{"": "1", "GOMAXPROCS=7": "7"} {
		path := filepath.Join(t.TempDir(), "output")
		output, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		spec := Spec{Name: "one", Command: []string{"/bin/sh", "-c", `printf %s "$GOMAXPROCS"`}, Dir: t.TempDir()}
		if given != "" {
			spec.Env = []string{given}
		}
		pid, err := spec.launch("/bin/sh", []string{"GOMAXPROCS=1"}, nil, output)
		if err != nil {
			t.Fatal(err)
		}
		var status unix.WaitStatus
		if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
			t.Fatalf("%v, status %v", err, status)
		}
		output.Close()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("given %q: it has %q, %v, want %q", given, got, err, want)
		}
	}
}
