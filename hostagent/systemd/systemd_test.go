package systemd_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/hostagent/systemd"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

func service(role string) systemd.Service {
	return systemd.Service{Role: role, Binary: "/bin/true", User: "root", Dir: "/var/lib",
		Arguments: []string{"--host-config", "/etc/gate house/host.toml", "-Dname=100%$x"}}
}

func TestUnits(t *testing.T) {
	agent, err := service("agent").Unit()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`ExecStart=/bin/true agent --host-config "/etc/gate house/host.toml" -Dname=100%%$$x`,
		"\nType=notify\n", "\nWatchdogSec=60\n", "\nKillMode=process\n", "\nRestart=on-failure\n", "\nNoNewPrivileges=yes\n",
		"\nReadWritePaths=/var/lib\n", "\nCapabilityBoundingSet=\n",
	} {
		if !strings.Contains(agent, want) {
			t.Errorf("the agent's unit lacks %q:\n%s", want, agent)
		}
	}
	low := service("controller")
	low.LowPorts = true
	text, err := low.Unit()
	if err != nil || !strings.Contains(text, "CAP_NET_BIND_SERVICE") || strings.Contains(text, "Delegate") {
		t.Errorf("the controller's unit: %v\n%s", err, text)
	}
	for what, change := range map[string]func(*systemd.Service){
		"role": func(s *systemd.Service) { s.Role = "server" }, "binary": func(s *systemd.Service) { s.Binary = "gatehouse" },
		"user": func(s *systemd.Service) { s.User = "a\nExecStartPre=/bin/sh" }, "argument": func(s *systemd.Service) { s.Arguments = []string{"a\nb"} },
		"directory": func(s *systemd.Service) { s.Dir = "data" },
	} {
		s := service("agent")
		change(&s)
		if text, err := s.Unit(); err == nil {
			t.Errorf("a wrong %s was accepted:\n%s", what, text)
		}
	}
}

// systemd itself finds nothing wrong, where it is installed.
func TestSystemdAcceptsTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, role := range []string{"agent", "controller"} {
		text, err := service(role).Unit()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), service(role).File())
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "gatehouse-") && !strings.Contains(line, "DelegateSubgroup") { // systemd 254
				t.Errorf("%s: %s (%v)", role, line, err)
			}
		}
	}
}

func TestTheManagerHearsReadyAndAlive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	heard := func() string {
		buf := make([]byte, 1000)
		_ = l.SetReadDeadline(time.Now().Add(time.Minute))
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}
	n := systemd.NewNotifier(func(name string) string { return env[name] })
	if err := n.Ready(); err != nil || heard() != "READY=1" {
		t.Fatal(err)
	}
	clock := clocktest.New(time.Unix(0, 0))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	well := make(chan error, 1)
	go func() { done <- n.Watch(ctx, clock, func() error { return <-well }) }()
	well <- nil
	if got := heard(); got != "WATCHDOG=1" {
		t.Errorf("heard %q", got)
	}
	clock.Advance(30 * time.Second)
	well <- errors.New("the loop\nstands still")
	if got := heard(); got != "STATUS=not well: the loop stands still" {
		t.Errorf("heard %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := systemd.NewNotifier(func(string) string { return "" }).Ready(); err != nil {
		t.Errorf("without a manager: %v", err)
	}
}
