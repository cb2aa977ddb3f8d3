package realmfile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres/postgrestest"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

func openSQLite(t *testing.T) storage.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "gatehouse.db"), storage.Options{Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openPostgres(t *testing.T) storage.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), postgrestest.DSN(t), storage.Options{Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func testRealms(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no realm files", err)
	}
	return files
}

func TestEveryRealmFileIsExportedWithoutLoss(t *testing.T) {
	for name, open := range map[string]func(*testing.T) storage.Store{"sqlite": openSQLite, "postgres": openPostgres} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			for _, file := range testRealms(t) {
				t.Run(filepath.Base(file), func(t *testing.T) { roundTrip(t, store, file) })
			}
		})
	}
}

func roundTrip(t *testing.T, store storage.Store, file string) {
	ctx := context.Background()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	report, err := realmfile.Import(ctx, store, data, realmfile.Options{Strategy: realmfile.Overwrite})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range report.Lines() {
		t.Log(line)
	}
	whole, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	realms, ok := whole.([]any)
	if !ok {
		realms = []any{whole}
	}
	for _, want := range realms {
		name := want.(map[string]any)["realm"].(string)
		for _, original := range []bool{false, true} {
			exported, err := realmfile.Export(ctx, store, name, realmfile.ExportOptions{Users: true, Secrets: true, Original: original})
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(exported)
			if err != nil {
				t.Fatal(err)
			}
			if lost := missing(want, got, name); lost != "" {
				t.Errorf("lost in export (original: %v): %s", original, lost)
			}
		}
	}
}
