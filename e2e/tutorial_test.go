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
	if os.Getuid() != 0 {
		t.Skip("cannot make a network without being root")
	}
	for _, tool := range []string{"bash", "curl", "ip", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tutorial is tried with %s, which is not installed", tool)
		}
	}
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
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = shortDir(t)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(gatehouse(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // what it left running
	}
	for _, want := range []string{`"running"`, "display-name: undefined -> ", "reload-required", "refused with exit code 11", "was restored", "no difference"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
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
