package standalone_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/management/standalone"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

var _ api.Model = (*standalone.Model)(nil)

func TestChangesAreOnDiskToldAndUndoable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "standalone.toml")
	config := standalone.Config{File: file, Clock: clock.Real()}
	m, err := standalone.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := standalone.Open(config); err != nil {
		t.Errorf("the file that the first start wrote: %v", err)
	}
	server := &fake{state: "running"}
	m.Drive(server)
	identity := profiles.Address{{Type: "subsystem", Name: "identity"}}
	run := func(op profiles.Operation) (api.Response, error) {
		return m.Execute(t.Context(), access.LocalSuperUser(), op)
	}
	change := profiles.Operation{Name: "write-attribute", Address: identity, Params: map[string]any{"name": "web-context", "value": "sso"}}
	dry := change
	dry.Headers = map[string]any{"dry-run": true}
	if r, err := run(dry); err != nil || r.Revision != 0 || server.told != 0 {
		t.Fatalf("a dry run: %+v, %v", r, err)
	}
	if r, err := run(change); err != nil || r.Revision != 1 || server.told != 1 {
		t.Fatalf("%+v, %v, told %d", r, err, server.told)
	}
	again, err := standalone.Open(config)
	if err != nil || again.Tree().Value(identity, "web-context") != "sso" {
		t.Errorf("read again: %v, %v", again.Tree().Value(identity, "web-context"), err)
	}
	bad := change
	bad.Params = map[string]any{"name": "web-contxt", "value": "x"}
	if _, err := run(bad); err == nil || server.told != 1 {
		t.Errorf("an invalid change: %v, told %d", err, server.told)
	}
	stale := change
	stale.Params = map[string]any{"name": "web-context", "value": "y"}
	stale.Headers = map[string]any{"expect-revision": int64(0)}
	if _, err := run(stale); !problem.Is(err, problem.Precondition) {
		t.Errorf("a stale change: %v", err)
	}
	if r, err := run(profiles.Operation{Name: "revert", Params: map[string]any{"to": int64(0)}}); err != nil || r.Revision != 2 {
		t.Errorf("revert: %+v, %v", r, err)
	}
	if m.Tree().Value(identity, "web-context") != "auth" {
		t.Errorf("after the revert: %v", m.Tree().Value(identity, "web-context"))
	}
	for name, parameter := range map[string]string{"revert": "to", "read-config-as-toml": "revision", "diff": "from"} {
		if _, err := run(profiles.Operation{Name: name, Params: map[string]any{parameter: int64(99)}}); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s of a revision that is not there: %v", name, err)
		}
	}
	if _, err := run(profiles.Operation{Name: "apply", Params: map[string]any{"toml": "mode = \"domain\"\n"}}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a domain's file: %v", err)
	}
}

// fake is a server that counts.
type fake struct {
	told, reloads, stops int
	state, suspension    string
	limit                time.Duration
	restarts             bool
	unreadable           error
}

func (f *fake) Check(profiles.Tree) error { return f.unreadable }
func (f *fake) Configure(context.Context, profiles.Tree) error {
	f.told++
	return nil
}
func (f *fake) Reload(context.Context) error {
	f.reloads++
	f.state = "running"
	return nil
}
func (f *fake) Suspend(_ context.Context, limit time.Duration) error {
	f.suspension, f.limit = "SUSPENDED", limit
	return nil
}
func (f *fake) Resume(context.Context) error { f.suspension = "RUNNING"; return nil }
func (f *fake) Shutdown(restart bool)        { f.stops++; f.restarts = restart }
func (f *fake) State() (state, suspension string) {
	return f.state, f.suspension
}

func TestTheServerRefusesBeforeTheFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "standalone.toml")
	m, err := standalone.Open(standalone.Config{File: file, Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	reload := profiles.Operation{Name: "reload"}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), reload); !problem.Is(err, problem.Precondition) {
		t.Errorf("a reload without a server: %v", err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	server := &fake{state: "running", unreadable: problem.Invalid.Errorf("no")}
	m.Drive(server)
	change := profiles.Operation{Name: "write-attribute", Address: profiles.Address{{Type: "subsystem", Name: "identity"}}, Params: map[string]any{"name": "web-context", "value": "sso"}}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), change); !problem.Is(err, problem.Invalid) {
		t.Errorf("a change that the server cannot read: %v", err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) || server.told != 0 {
		t.Errorf("the file changed (%v), told %d", err, server.told)
	}
	server.unreadable, server.state = nil, "reload-required"
	r, err := m.Execute(t.Context(), access.LocalSuperUser(), change)
	if err != nil || r.Headers["operation-requires-reload"] != true || r.Headers["process-state"] != "reload-required" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := m.Execute(t.Context(), access.LocalSuperUser(), profiles.Operation{Name: "whoami"}); r.Headers["process-state"] != "reload-required" {
		t.Errorf("a later operation: %+v, %v", r, err)
	}
	state := profiles.Operation{Name: "read-attribute", Params: map[string]any{"name": "server-state"}}
	if r, err := m.Execute(t.Context(), access.LocalSuperUser(), state); err != nil || r.Result != "reload-required" {
		t.Errorf("the server's state: %+v, %v", r, err)
	}
	if r, err := m.Execute(t.Context(), access.LocalSuperUser(), reload); err != nil || server.reloads != 1 || r.Headers["process-state"] != nil {
		t.Errorf("reload: %+v, %v, %d", r, err, server.reloads)
	}
	// By hand: not overwritten, taken over by a reload, refused when it is wrong.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	byHand := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	byHand(strings.Replace(string(text), `web-context = "sso"`, `web-context = "by-hand"`, 1))
	change.Params = map[string]any{"name": "display-name", "value": "x"}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), change); !problem.Is(err, problem.Conflict) {
		t.Errorf("a change over an edited file: %v", err)
	}
	if r, err := m.Execute(t.Context(), access.LocalSuperUser(), reload); err != nil || r.Revision != 2 || m.Tree().Value(change.Address, "web-context") != "by-hand" {
		t.Errorf("a reload of an edited file: %+v, %v", r, err)
	}
	byHand("mode = \"standalone\"\n[subsystem.identity]\nweb-contxt = \"x\"\n")
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), reload); !problem.Is(err, problem.Invalid) || !strings.Contains(err.Error(), "standalone.toml:3") || server.reloads != 2 {
		t.Errorf("a reload of a broken file: %v, %d reloads", err, server.reloads)
	}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), profiles.Operation{Name: "apply", Params: map[string]any{"toml": string(text)}}); err != nil {
		t.Errorf("apply over it: %v", err)
	}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), profiles.Operation{Name: "shutdown"}); err != nil || server.stops != 1 {
		t.Errorf("shutdown: %v, %d", err, server.stops)
	}
}

func TestAServerIsSuspendedResumedAndStartedAgain(t *testing.T) {
	dir := t.TempDir()
	m, err := standalone.Open(standalone.Config{File: filepath.Join(dir, "standalone.toml"), Logs: filepath.Join(dir, "log"), Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	server := &fake{state: "running", suspension: "RUNNING"}
	m.Drive(server)
	run := func(name string, params map[string]any) any {
		t.Helper()
		op := profiles.Operation{Name: name, Params: params}
		if strings.HasSuffix(name, "-log-files") || strings.HasSuffix(name, "-log-file") {
			op.Address = profiles.Address{{Type: "subsystem", Name: "logging"}}
		}
		r, err := m.Execute(t.Context(), access.LocalSuperUser(), op)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return r.Result
	}
	state := func(want string) {
		t.Helper()
		if got := run("read-attribute", map[string]any{"name": "suspend-state"}); got != want {
			t.Errorf("suspend-state is %v, want %s", got, want)
		}
	}
	run("suspend", map[string]any{"timeout": int64(7)}) // WildFly's older name
	state("SUSPENDED")
	if server.limit != 7*time.Second {
		t.Errorf("waited for %s", server.limit)
	}
	run("resume", nil)
	state("RUNNING")
	run("shutdown", map[string]any{"restart": true})
	if server.stops != 1 || !server.restarts {
		t.Errorf("%+v", server)
	}
	if _, err := m.Execute(t.Context(), access.LocalSuperUser(), profiles.Operation{Name: "shutdown", Params: map[string]any{"restrt": true}}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a parameter that is none: %v", err)
	}

	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "audit.log"), []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(run("read-log-file", map[string]any{"name": "audit.log", "lines": int64(1), "skip": int64(1)})); got != "[two]" {
		t.Errorf("lines %s", got)
	}
	if got := fmt.Sprint(run("list-log-files", nil)); !strings.Contains(got, "audit.log") {
		t.Errorf("files %s", got)
	}
}

func TestEveryOperationOfAStandaloneServerIsAnswered(t *testing.T) {
	dir := t.TempDir()
	m, err := standalone.Open(standalone.Config{File: filepath.Join(dir, "standalone.toml"), Logs: dir, Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	m.Drive(&fake{state: "running"})
	ofUsers := []string{"whoami", "list-users", "add-user", "remove-user", "set-user-password", "set-user-roles", "end-user-sessions"} // management/api
	for _, at := range []profiles.Address{nil, {{Type: "subsystem", Name: "logging"}}} {
		d, err := profiles.Standalone.Describe(at)
		if err != nil {
			t.Fatal(err)
		}
		for _, od := range d.Operations {
			if slices.Contains(ofUsers, od.Name) {
				continue
			}
			if _, err := m.Execute(t.Context(), access.LocalSuperUser(), profiles.Operation{Name: od.Name, Address: at}); problem.Is(err, problem.Unsupported) {
				t.Errorf("%s:%s is described and nobody answers: %v", at, od.Name, err)
			}
		}
	}
}
