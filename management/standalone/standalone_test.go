package standalone_test

import (
	"path/filepath"
	"testing"

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
	told := 0
	config := standalone.Config{File: file, Clock: clock.Real(), Changed: func(profiles.Tree, profiles.ChangeSet) { told++ }}
	m, err := standalone.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	identity := profiles.Address{{Type: "subsystem", Name: "identity"}}
	run := func(op profiles.Operation) (api.Response, error) {
		return m.Execute(t.Context(), access.LocalSuperUser(), op)
	}
	change := profiles.Operation{Name: "write-attribute", Address: identity, Params: map[string]any{"name": "web-context", "value": "sso"}}
	dry := change
	dry.Headers = map[string]any{"dry-run": true}
	if r, err := run(dry); err != nil || r.Revision != 0 || told != 0 {
		t.Fatalf("a dry run: %+v, %v", r, err)
	}
	if r, err := run(change); err != nil || r.Revision != 1 || told != 1 {
		t.Fatalf("%+v, %v, told %d", r, err, told)
	}
	again, err := standalone.Open(config)
	if err != nil || again.Tree().Value(identity, "web-context") != "sso" {
		t.Errorf("read again: %v, %v", again.Tree().Value(identity, "web-context"), err)
	}
	bad := change
	bad.Params = map[string]any{"name": "web-contxt", "value": "x"}
	if _, err := run(bad); err == nil || told != 1 {
		t.Errorf("an invalid change: %v, told %d", err, told)
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
	for _, name := range []string{"revert", "read-config-as-toml", "diff"} {
		if _, err := run(profiles.Operation{Name: name, Params: map[string]any{"to": int64(99), "revision": int64(99)}}); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s of a revision that is not there: %v", name, err)
		}
	}
	if _, err := run(profiles.Operation{Name: "apply", Params: map[string]any{"toml": "mode = \"domain\"\n"}}); !problem.Is(err, problem.Invalid) {
		t.Errorf("a domain's file: %v", err)
	}
}
