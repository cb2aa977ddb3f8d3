package boot

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

func TestTheAdministratorsRealmIsMadeUnderItsConfiguredName(t *testing.T) {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "identity.db"), storage.Options{Clock: clock.Real(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	tree := written(t, standaloneTree(t), "/subsystem=identity", "master-realm-name", "operators")
	tree = written(t, tree, "/subsystem=identity", "bootstrap-admin-user", "boss")
	tree = written(t, tree, "/subsystem=identity", "bootstrap-admin-password", "password-of-boss")
	cfg, err := resolveOnFreePorts(tree)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readSettings(cfg, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g := &identity{
		environment: environment{process: Process{Clock: clock.Real(), Logs: logs.Discard()}.named("n", "s"), say: func(string) {}},
		hasher:      passwords.NewHasher(0),
	}
	g.now.Store(&s)
	for range 2 { // and at the next boot there is nothing to do
		if err := g.initialise(ctx, store); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := realmfile.HasAdmin(ctx, store, "operators"); !has || err != nil {
		t.Errorf("the realm operators has an administrator: %v (%v)", has, err)
	}
	if _, err := realmfile.HasAdmin(ctx, store, "master"); !problem.Is(err, problem.NotFound) {
		t.Errorf("a realm master was made too: %v", err)
	}
}
