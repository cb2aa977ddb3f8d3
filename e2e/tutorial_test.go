package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEveryCommandOfTheTutorialRuns runs the sh blocks of docs/tutorial.md in
// their order, in one shell, on a network of its own so that the ports are
// free. Only the first block, which builds the program, is left out.
func TestEveryCommandOfTheTutorialRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a domain; run without -short")
	}
	needNetworks(t)
	needTools(t, "bash", "curl", "jq")
	text, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := blocksOf(string(text))[1:]
	if len(blocks) < 8 {
		t.Fatalf("found %d blocks of commands", len(blocks))
	}
	script := "set -eo pipefail\nip link set lo up\n"
	for _, block := range blocks {
		script += block
		if strings.Contains(block, "gatehouse domain") { // a reader opens the login page
			script += "until curl -sfL -o page.html http://localhost:8080/auth/realms/master/account; do sleep 0.1; done\n"
		}
	}
	out := inShell(t, script)
	for _, want := range []string{`"running"`, "display-name: undefined -> ", "reload-required", "refused with exit code 11", "was restored", "no difference"} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// TestTheReadmesChangeOfTheDemoRuns boots the demo and runs the README's command
// on it.
func TestTheReadmesChangeOfTheDemoRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("boots the demo; run without -short")
	}
	needNetworks(t)
	needTools(t, "bash", "curl", "grep")
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, command, found := strings.Cut(string(text), "go run ./cmd/gatehouse cli ")
	command, _, _ = strings.Cut(command, "```")
	if !found {
		t.Fatal("the README changes nothing any more")
	}
	out := inShell(t, `set -eo pipefail
ip link set lo up
gatehouse demo --dir data/demo > demo.log 2>&1 &
until grep -q "Ctrl-C" demo.log; do kill -0 $! || { cat demo.log; exit 1; }; sleep 0.1; done
gatehouse cli `+command+`
until curl -sfL http://localhost:8080/auth/realms/demo/account | grep -q Hello; do sleep 0.1; done
echo every server says it
kill $!; wait
`)
	if !strings.Contains(out, "every server says it") {
		t.Errorf("%s", out)
	}
}

// needTools skips a test of pages whose commands need programs that this machine
// does not have.
func needTools(t *testing.T, names ...string) {
	t.Helper()
	for _, tool := range names {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the commands are tried with %s, which is not installed", tool)
		}
	}
}

// inShell runs a script in a folder and a network of its own, with the program
// in the path, and gives what it printed.
func inShell(t *testing.T, script string) string {
	t.Helper()
	program := filepath.Dir(gatehouse(t)) // before the clock runs: it may have to be built
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = shortDir(t)
	cmd.Env = append(os.Environ(), "PATH="+program+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // what it left running
		}
	}
	return string(out)
}

// blocksOf gives the sh blocks of a Markdown text.
func blocksOf(text string) []string {
	var blocks []string
	for _, part := range strings.Split(text, "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	return blocks
}
