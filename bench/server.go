package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

//go:embed bench-realm.json
var benchRealm []byte

// server is one identity server under measurement, a process of its own on one
// processor.
type server struct {
	cmd    *exec.Cmd
	port   int
	health int
	// ready is the time from the start of the process until it served.
	ready time.Duration
}

func (s *server) realm(name string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/auth/realms/%s", s.port, name)
}

// pin puts this thread, and so what it starts, on one processor.
func pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// startServer starts the binary on a database in dir and waits until it serves
// the realm "bench".
func startServer(ctx context.Context, c clock.Clock, binary, dir string, extra ...string) (*server, error) {
	port, health, err := twoPorts()
	if err != nil {
		return nil, err
	}
	realm := filepath.Join(dir, "bench-realm.json")
	if err := os.WriteFile(realm, benchRealm, 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"start-dev", "--dir", dir, "--http-port", strconv.Itoa(port), "--health-port", strconv.Itoa(health), "--import-realm", realm}, extra...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=bench-admin")
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	begin := c.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, port: port, health: health}
	if err := s.waitReady(ctx, c); err != nil {
		s.stop()
		text, _ := os.ReadFile(log.Name()) // the log is all there is to say
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	s.ready = clock.Since(c, begin)
	return s, nil
}

func (s *server) waitReady(ctx context.Context, c clock.Clock) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		if resp, err := http.Get(s.realm("bench")); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := clock.Sleep(ctx, c, 2*time.Millisecond); err != nil {
			return problem.Timeout.Errorf("the server did not become ready in a minute")
		}
	}
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	_ = s.cmd.Wait()
}

// resident is the server's resident memory in MiB.
func (s *server) resident() (float64, error) { return residentOf(s.cmd.Process.Pid) }

// residentOf is a process's resident memory in MiB.
func residentOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, problem.Unsupported.Errorf("cannot read the resident memory of process %d", pid)
}

// metric is the value of a metric without labels.
func (s *server) metric(name string) (float64, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", s.health))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, problem.NotFound.Errorf("the server has no metric %s", name)
}

// sendLoad runs a load as a process of its own on another processor than the
// server's, where there is one.
func sendLoad(ctx context.Context, l load) (o outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	cmd := exec.CommandContext(ctx, self, "load", "--target", l.Target, "--kind", l.Kind, "--workers", strconv.Itoa(l.Workers),
		"--for", l.For.String(), "--count", strconv.Itoa(l.Count), "--rate", strconv.FormatFloat(l.Rate, 'f', -1, 64), "--client", l.Client, "--user", l.User)
	cmd.Env = append(os.Environ(), secretVariable+"="+l.Secret, passwordVariable+"="+l.Pass)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return o, fmt.Errorf("the %s load failed: %w: %s", l.Kind, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &o); err != nil {
		return o, err
	}
	if o.Failed > 0 {
		return o, problem.Internal.Errorf("%d of %d %s requests failed, first: %s", o.Failed, o.Failed+o.Done, l.Kind, o.Error)
	}
	return o, nil
}

func twoPorts() (a, b int, err error) {
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}
