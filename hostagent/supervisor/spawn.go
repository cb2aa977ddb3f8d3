package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// spawn starts a server's process. The order makes sure that no crash of the
// agent leaves a server that nobody knows of: the process waits on its
// standard input for the token, which it gets only after the journal has it.
// An end of file instead of a token tells it to end.
func spawn(spec Spec, c *crowd, token string, log *logfile, journal Journal, clk clock.Clock) (*handle, error) {
	if len(spec.Command) == 0 {
		return nil, problem.Invalid.Errorf("cannot start server %q: no command is configured", spec.Name)
	}
	if err := tryPorts(spec.Name, spec.Ports); err != nil {
		return nil, err
	}
	for _, dir := range []string{"data", "tmp"} {
		if err := os.MkdirAll(filepath.Join(spec.Dir, dir), 0o750); err != nil {
			return nil, problem.Internal.Errorf("cannot start server %q: %w", spec.Name, err)
		}
	}
	output, err := log.open()
	if err != nil {
		return nil, problem.Internal.Errorf("cannot start server %q: cannot open its log: %w", spec.Name, err)
	}
	defer func() { _ = output.Close() }()
	stdin, give, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = give.Close() }()

	pid, err := spec.launch(spec.Command[0], c.env(), stdin, output)
	if err != nil && spec.Spare != "" {
		if spare, spareErr := spec.launch(spec.Spare, c.env(), stdin, output); spareErr == nil {
			fmt.Fprintf(output, "started with the agent's own program: %v\n", err)
			pid, err = spare, nil
		}
	}
	_ = stdin.Close()
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot start server %q: %w", spec.Name, err)
	}

	h, err := introduce(spec, pid, journal, clk)
	if err == nil {
		_, err = fmt.Fprintln(give, token)
	}
	if err != nil {
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		dissolve(spec.Name)
		if h != nil {
			h.release()
		}
		return nil, errors.Join(problem.Internal.Errorf("cannot start server %q: %w", spec.Name, err), journal.Ended(spec.Name, Exit{At: clk.Now(), Problem: err.Error()}))
	}
	return h, nil
}

// launch starts a program as the server's process. What the spec's environment says
// overrides share.
func (spec Spec) launch(program string, share []string, stdin, output *os.File) (pid int, err error) {
	cmd := exec.Command(program, spec.Command[1:]...)
	cmd.Dir = spec.Dir
	cmd.Env = slices.Concat(share, spec.Env, memoryEnv(spec.MemoryLimit))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, output, output
	// A session of its own: signals of the agent's terminal do not reach it,
	// it outlives the agent, and what it spawns can be found again.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // waited for by its pidfd
}

func introduce(spec Spec, pid int, journal Journal, c clock.Clock) (*handle, error) {
	p, err := inspect(spec.Name, pid, c.Now())
	if err != nil {
		return nil, err
	}
	if err := limitMemory(spec.Name, pid, spec.MemoryLimit); err != nil {
		return nil, err
	}
	if err := journal.Started(p); err != nil {
		return nil, err
	}
	return hold(p)
}
