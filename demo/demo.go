// Package demo boots a whole domain on one machine, each part its own process,
// and can drive all of it unattended. It uses the binary as an operator does,
// through its commands, its ports and its command line: it imports no wing.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	files "github.com/gatehouse-idp/gatehouse/examples/demo"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Config is what a demo needs.
type Config struct {
	// Dir keeps everything: the domain's files, the database, logs. The next
	// demo in the same folder goes on with it.
	Dir string
	// Binary is the gatehouse executable.
	Binary string
	Ports  Ports
	Stdout io.Writer
	Clock  clock.Clock
}

// Demo is a running demo.
type Demo struct {
	cfg        Config
	controller *process
	agents     []*process
}

// hosts are the demo's hosts and their files.
var hosts = []struct{ name, file string }{
	{"master", "host-master.toml"},
	{"host2", "host-agent.toml"},
}

// bootLimit is how long the whole domain may take to become ready: generous,
// for a first boot on a small and busy machine.
const bootLimit = 90 * time.Second

// New prepares a demo; nothing is started yet.
func New(cfg Config) (*Demo, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, problem.Invalid.Errorf("cannot make the demo's folder: %w", err)
	}
	d := &Demo{cfg: cfg}
	return d, d.writeFiles()
}

// writeFiles lays the example files out in the demo's folder. A file that is
// there already is the user's and stays.
func (d *Demo) writeFiles() error {
	names, err := files.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(d.cfg.Dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		text, err := files.FS.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o640); err != nil {
			return problem.Invalid.Errorf("cannot write the demo's files: %w", err)
		}
	}
	return nil
}

// Start boots the domain and returns when a person can log in. On an error
// everything that was started is stopped again.
func (d *Demo) Start(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop())
		}
	}()
	if err := d.StartController(ctx); err != nil {
		return err
	}
	if err := d.ensureAdministrator(ctx); err != nil {
		return err
	}
	for i := range hosts {
		if err := d.StartAgent(ctx, i); err != nil {
			return err
		}
	}
	return d.WaitReady(ctx)
}

// StartController starts the domain controller and waits until it takes
// commands.
func (d *Demo) StartController(ctx context.Context) error {
	p := d.cfg.Ports
	d.controller = d.process("controller", "controller",
		"--config", filepath.Join(d.cfg.Dir, "domain.toml"),
		"--dir", d.controllerDir(),
		"--native", loopback(p.Native), "--http", loopback(p.HTTP), "--raft", loopback(p.Raft))
	if err := d.controller.start(d.cfg.Binary); err != nil {
		return err
	}
	return d.until(ctx, "the controller takes commands", func() error {
		_, err := d.CLI(ctx, ":read-children-names(child-type=server-group)")
		return err
	})
}

// StartAgent starts the agent of one host; at the first boot it makes the
// host's join token.
func (d *Demo) StartAgent(ctx context.Context, i int) error {
	host := hosts[i]
	token := filepath.Join(d.cfg.Dir, host.name+".token")
	if _, err := os.Stat(token); err != nil {
		if _, err := d.run(ctx, "add-user", "--host", host.name, "--out", token, "--controller", d.socket()); err != nil {
			return problem.Internal.Errorf("cannot make the join token of host %s: %w", host.name, err)
		}
	}
	p := d.cfg.Ports
	agent := d.process("agent-"+host.name, "agent",
		"--host-config", filepath.Join(d.cfg.Dir, host.file),
		"--dir", filepath.Join(d.cfg.Dir, host.name),
		"--join-token", token,
		"--domain-controller", loopback(p.Native),
		"--health", loopback(p.Hosts+i),
		"-Ddemo.dir="+d.cfg.Dir,
		"-Djboss.http.port="+strconv.Itoa(p.Balancer),
		"-Dgatehouse.health.port="+strconv.Itoa(p.Health),
		"-Dgatehouse.cluster.port="+strconv.Itoa(p.Cluster),
		"-Ddemo.server-one.offset="+strconv.Itoa(p.OneShift),
		"-Ddemo.server-two.offset="+strconv.Itoa(p.TwoShift))
	d.agents = append(d.agents, agent)
	return agent.start(d.cfg.Binary)
}

// WaitReady waits until the balancer serves the demo's realm from both
// servers.
func (d *Demo) WaitReady(ctx context.Context) error {
	for _, s := range []struct {
		what string
		port int
	}{
		{"server-one serves the realm", d.cfg.Ports.Balancer + d.cfg.Ports.OneShift},
		{"server-two serves the realm", d.cfg.Ports.Balancer + d.cfg.Ports.TwoShift},
		{"the balancer serves the realm", d.cfg.Ports.Balancer},
	} {
		address := fmt.Sprintf("http://%s/auth/realms/demo/.well-known/openid-configuration", loopback(s.port))
		if err := d.until(ctx, s.what, func() error { return d.ok(ctx, address) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *Demo) ok(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return problem.Unavailable.Errorf("%s answers %s", address, resp.Status)
	}
	return nil
}

// Watch waits until ctx ends and starts what dies meanwhile again, as a system
// manager would: kill any process of the demo and see.
func (d *Demo) Watch(ctx context.Context) error {
	for {
		died := make(chan *process, 1+len(d.agents))
		stop := make(chan struct{})
		for _, p := range append([]*process{d.controller}, d.agents...) {
			go func() {
				select {
				case <-p.ended():
					died <- p
				case <-stop:
				}
			}()
		}
		select {
		case <-ctx.Done():
			close(stop)
			return nil
		case p := <-died:
			close(stop)
			fmt.Fprintf(d.cfg.Stdout, "the %s ended; starting it again\n", p.name)
			if err := p.start(d.cfg.Binary); err != nil {
				return err
			}
			// A process that cannot run must not spin.
			if clock.Sleep(ctx, d.cfg.Clock, time.Second) != nil {
				return nil
			}
		}
	}
}

// Stop ends the domain: the agents, which stop their servers, then the
// controller.
func (d *Demo) Stop() error {
	errs := make(chan error, len(d.agents))
	for _, a := range d.agents {
		go func() { errs <- a.stop(d.cfg.Clock) }()
	}
	var all []error
	for range d.agents {
		all = append(all, <-errs)
	}
	if d.controller != nil {
		all = append(all, d.controller.stop(d.cfg.Clock))
	}
	return errors.Join(all...)
}

// CLI runs one command of the management command line against the demo's
// controller and gives its answer, JSON.
func (d *Demo) CLI(ctx context.Context, command string) ([]byte, error) {
	return d.run(ctx, "cli", "--controller="+d.socket(), "--output=json", "--command="+command)
}

func (d *Demo) controllerDir() string { return filepath.Join(d.cfg.Dir, "controller") }

func (d *Demo) socket() string { return filepath.Join(d.controllerDir(), "management.sock") }

// until repeats f until it succeeds, a process of the demo ends, or ctx ends.
func (d *Demo) until(ctx context.Context, what string, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		for _, p := range append([]*process{d.controller}, d.agents...) {
			select {
			case <-p.ended():
				return p.failure()
			default:
			}
		}
		if clock.Sleep(ctx, d.cfg.Clock, 25*time.Millisecond) != nil {
			return problem.Timeout.Errorf("waited too long until %s: %w", what, err)
		}
	}
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

func asExit(err error, target **exec.ExitError) bool { return errors.As(err, target) }
