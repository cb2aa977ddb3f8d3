package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// stopGrace is how long a process may take to stop after it was asked: an
// agent stops its servers, whose requests in flight finish first, and on a busy
// machine all of it is slow. Nobody waits for it but who has to kill.
const stopGrace = time.Minute

// process is one process of the demo: a controller or an agent. It ends when
// it is told to, or when the demo itself dies: its standard input is a pipe
// that closes with us.
type process struct {
	name string
	args []string
	log  string // path of the file that has its output

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{} // closed when the running cmd has ended
	err   error         // why it ended; read after done
}

func (d *Demo) process(name string, args ...string) *process {
	return &process{name: name, args: append(args, "--stop-with-stdin"), log: filepath.Join(d.cfg.Dir, "log", name+".log")}
}

func (p *process) start(binary string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(p.log), 0o750); err != nil {
		return err
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer out.Close() // the child has its own
	cmd := exec.Command(binary, p.args...)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: Ctrl-C on the terminal reaches the demo, which stops
	// the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return problem.Internal.Errorf("cannot start the %s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.stdin, p.done = cmd, stdin, done
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// ended is closed when the process has ended.
func (p *process) ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// failure says why the process ended and shows the end of its log.
func (p *process) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return problem.WithHint(problem.Unavailable.Errorf("the %s ended: %v\n%s", p.name, p.err, tail(p.log, 2000)), "its log is %s", p.log)
}

// stop asks the process to end, and kills it after stopGrace.
func (p *process) stop(c clock.Clock) error {
	p.mu.Lock()
	cmd, stdin, done := p.cmd, p.stdin, p.done
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	default:
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	stdin.Close()
	t := c.NewTimer(stopGrace)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		_ = cmd.Process.Kill() // it may have ended meanwhile
		<-done
		return problem.Timeout.Errorf("the %s did not stop within %s and was killed", p.name, stopGrace)
	}
}

// run executes the binary to its end and gives its standard output.
func (d *Demo) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.cfg.Binary, args...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && asExit(err, &exit) {
		return nil, fmt.Errorf("gatehouse %s: %w: %s", args[0], err, exit.Stderr)
	}
	return out, err
}

func tail(path string, max int) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	if len(text) > max {
		text = text[len(text)-max:]
	}
	return text
}
