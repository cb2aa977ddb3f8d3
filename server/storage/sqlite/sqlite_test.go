package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/storage/storagetest"
)

func open(ctx context.Context, address string, o storage.Options) (storage.Store, error) {
	return sqlite.Open(ctx, address, o)
}

func TestMain(m *testing.M) { storagetest.Main(m, open) }

func newDatabase(t testing.TB) string { return t.TempDir() + "/odd name %3F#.db" }

func TestTheStorageContract(t *testing.T) { storagetest.Run(t, newDatabase, open) }

func TestDatabasesOfNewerPrograms(t *testing.T) {
	storagetest.RunSchema(t, newDatabase, open, func(t testing.TB, address, statement string) {
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: address}).EscapedPath()+"?_pragma=busy_timeout(15000)")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkLoginsPaced(b *testing.B)   { storagetest.BenchmarkLogins(b, newDatabase, open, 0) }
func BenchmarkLoginsUnpaced(b *testing.B) { storagetest.BenchmarkLogins(b, newDatabase, open, -1) }

func BenchmarkOpenInitialised(b *testing.B) {
	path := newDatabase(b)
	for b.Loop() {
		s, err := open(context.Background(), path, storage.Options{Clock: clock.Real()})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_ = s.Close()
		b.StartTimer()
	}
}
