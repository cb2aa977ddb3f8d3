package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

func TestAUnitRunsTheCommandWithTheFlagsGiven(t *testing.T) {
	for _, c := range []struct {
		line, want string
		exit       int
	}{
		{"agent install --host-config a.toml -Da=b -Dc=d --domain-controller x:1,y:2 --dir /srv/host --print",
			" agent --host-config=$DIR/a.toml --properties=a=b --properties=c=d --domain-controller=x:1 --domain-controller=y:2 --dir=/srv/host\n", 0},
		{"agent --host-config a.toml --keep-servers install --low-ports --print --dir /srv/host", "AmbientCapabilities=CAP_NET_BIND_SERVICE", 0},
		{"controller install --advertise 10.0.0.1 --service-user idp --dir /srv/c --print", " controller --advertise=10.0.0.1 --dir=/srv/c\nUser=idp\n", 0},
		{"controller install --service-user no%body --print", "", 2},
	} {
		var out, errs bytes.Buffer
		t.Chdir(t.TempDir())
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		code := run(t.Context(), Env{Args: strings.Fields(c.line), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Clock: clock.Real()})
		if want := strings.ReplaceAll(c.want, "$DIR", here); code != c.exit || !strings.Contains(out.String(), want) {
			t.Errorf("gatehouse %s: exit code %d, no %q in\n%s%s", c.line, code, want, out.String(), errs.String())
		}
	}
}

func TestTheServiceManagerHearsReadyAndStopping_sd_notify(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := Env{Clock: clock.Real(), Getenv: func(name string) string { return map[string]string{"NOTIFY_SOCKET": socket}[name] }}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- supervised(env, ready, func() error { return nil }).Run(ctx) }()
	close(ready)
	heard := func() string {
		text := make([]byte, 100)
		n, err := l.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	if got := heard(); got != "READY=1" {
		t.Errorf("heard %q", got)
	}
	cancel()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("heard %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
