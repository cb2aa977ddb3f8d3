package boot

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// resolveOnFreePorts is what flags for any free ports do.
func resolveOnFreePorts(tree profiles.Tree) (servergroups.ServerConfig, error) {
	return servergroups.Standalone(tree, servergroups.Lookup{
		Properties: map[string]string{"jboss.http.port": "0", "gatehouse.health.port": "0"},
		Env:        func(string) (string, bool) { return "", false },
	})
}

// running is an Alone that is ready, with its tree.
func running(t *testing.T) (*Alone, profiles.Tree, <-chan error) {
	t.Helper()
	tree, err := profiles.Default(profiles.Standalone)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAlone(Process{Dir: t.TempDir(), Getenv: func(string) string { return "" }, Version: "test", Clock: clock.Real(), Logs: logs.Discard()}, tree, resolveOnFreePorts)
	if err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- a.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-a.over })
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(2 * time.Minute):
		t.Fatal("not ready in two minutes")
	}
	return a, tree, done
}

func serverState(a *Alone) string { state, _ := a.State(); return state }

func written(t *testing.T, tree profiles.Tree, at, name string, value any) profiles.Tree {
	t.Helper()
	address, err := profiles.ParseAddress(at)
	if err != nil {
		t.Fatal(err)
	}
	next, _, _, err := profiles.Apply(tree, profiles.Operation{Name: "write-attribute", Address: address, Params: map[string]any{"name": name, "value": value}})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestWhatAChangeNeedsIsTheState(t *testing.T) {
	a, tree, done := running(t)
	identity := "/subsystem=identity"
	for _, step := range []struct{ at, name, value, state string }{
		{identity, "display-name", "Live", "running"},
		{identity, "web-context", "sso", "reload-required"},
		{identity, "import-strategy", "overwrite", "restart-required"},
		{identity, "import-strategy", "ignore-existing", "reload-required"},
		{identity, "web-context", "auth", "running"}, // as it was: nothing is required
		{"/socket-binding-group=standard-sockets/socket-binding=management-http", "port", "19990", "restart-required"},
	} {
		tree = written(t, tree, step.at, step.name, step.value)
		if err := a.Configure(t.Context(), tree); err != nil || serverState(a) != step.state {
			t.Errorf("%s=%s: %q, want %q (%v)", step.name, step.value, serverState(a), step.state, err)
		}
	}
	// The management interface's port is not opened anew.
	if err := a.Reload(t.Context()); err != nil || serverState(a) != "restart-required" {
		t.Errorf("after the reload: %q, %v", serverState(a), err)
	}
	a.Shutdown(false)
	if err := <-done; err != nil {
		t.Errorf("shut down: %v", err)
	}
	for name, err := range map[string]error{"reload": a.Reload(t.Context()), "change": a.Configure(t.Context(), tree)} {
		if !problem.Is(err, problem.Unavailable) {
			t.Errorf("a %s after the end: %v", name, err)
		}
	}
}

func TestAReloadThatCannotStartIsTakenBack(t *testing.T) {
	a, tree, _ := running(t)
	taken, err := net.Listen("tcp", porttest.Address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := int64(taken.Addr().(*net.TCPAddr).Port)
	next := written(t, tree, "/socket-binding-group=standard-sockets/socket-binding=http", "port", port)
	if err := a.Configure(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Reload(t.Context()); !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Fatalf("a reload onto a port that is taken: %v", err)
		}
		if serverState(a) != "restart-required" {
			t.Errorf("after it: %q", serverState(a))
		}
	}
	taken.Close()
	if err := a.Reload(t.Context()); err != nil || serverState(a) != "running" {
		t.Errorf("with the port free: %q, %v", serverState(a), err)
	}
	if conn, err := net.Dial("tcp", taken.Addr().String()); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}
}

func TestChangesAndReloadsAtOnce(t *testing.T) {
	a, tree, _ := running(t)
	other := written(t, tree, "/subsystem=identity", "web-context", "sso")
	live := written(t, tree, "/subsystem=identity", "display-name", "Live")
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			var err error
			switch i % 4 {
			case 0:
				err = a.Reload(t.Context())
			case 1:
				err = a.Configure(t.Context(), other)
			case 2:
				err = a.Configure(t.Context(), live)
			default:
				err = a.Check(other)
			}
			if err != nil && !problem.Is(err, problem.Precondition) { // a reload during a start
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := a.Configure(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(t.Context()); err != nil || serverState(a) != "running" {
		t.Errorf("in the end: %q, %v", serverState(a), err)
	}
}

func TestFeaturesAreRefusedByName(t *testing.T) {
	for _, c := range []struct{ name, file, property, reason string }{
		{"none", "", "", ""},
		{"an unknown one in the file", "feature.nonsense=enabled", "", profileProperties},
		{"an unknown one in a property", "", "nonsense", `"nonsense"`},
		{"one without what it needs", "feature.upload_scripts=enabled", "", `"scripts"`},
		{"the property goes before the file", "feature.upload_scripts=enabled", "scripts", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, profileProperties), []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := servergroups.ServerConfig{Name: "one", SystemProperties: map[string]string{}}
			if c.property != "" {
				cfg.SystemProperties["keycloak.profile.feature."+c.property] = "enabled"
			}
			_, err := features(dir, cfg)
			if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, want %q", err, c.reason)
			}
		})
	}
}

func TestASuspendedServerTakesNoRequestsUntilItIsResumed(t *testing.T) {
	a, tree, _ := running(t)
	suspension := func(want string) {
		t.Helper()
		if _, got := a.State(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for range 2 { // twice is once
		if err := a.Suspend(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		suspension("SUSPENDED")
	}
	// A live change does not open it, a reload does.
	if err := a.Configure(t.Context(), written(t, tree, "/subsystem=identity", "display-name", "x")); err != nil {
		t.Fatal(err)
	}
	suspension("SUSPENDED")
	if err := a.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	suspension("RUNNING")
	if err := a.Suspend(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	suspension("RUNNING")
}
