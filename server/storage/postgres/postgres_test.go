package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres/postgrestest"
	"github.com/gatehouse-idp/gatehouse/server/storage/storagetest"
)

func open(ctx context.Context, address string, o storage.Options) (storage.Store, error) {
	return postgres.Open(ctx, address, o)
}

func TestMain(m *testing.M) { storagetest.Main(m, open) }

func TestTheStorageContract(t *testing.T) {
	server := postgrestest.Server(t)
	storagetest.Run(t, func(t testing.TB) string { return postgrestest.Database(t, server) }, open)
}

func BenchmarkLoginsPaced(b *testing.B)   { storagetest.BenchmarkLogins(b, newDatabase, open, 0) }
func BenchmarkLoginsUnpaced(b *testing.B) { storagetest.BenchmarkLogins(b, newDatabase, open, -1) }

func newDatabase(t testing.TB) string { return postgrestest.DSN(t) }

func TestConnectionsThatDieAreReplaced(t *testing.T) {
	ctx, address := context.Background(), newDatabase(t)
	s, err := open(ctx, address, storage.Options{Clock: clock.Real(), CommitRate: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	admin, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(ctx) }()
	for i := range 5 {
		if err := s.Sessions().SingleUse.Put(ctx, "r", fmt.Sprint("before", i), nil, 1<<40); err != nil {
			t.Fatal(err)
		}
		terminate(t, admin)
		for try := 0; ; try++ { // one refusal, which says so, for each connection there was
			_, err := s.Sessions().SingleUse.Take(ctx, "r", fmt.Sprint("before", i))
			if err == nil {
				break
			}
			if !problem.Is(err, problem.Unavailable) || try > 20 {
				t.Fatalf("round %d, try %d: %v", i, try, err)
			}
		}
	}
}

// terminate ends all other connections to the database, and returns when they
// have ended.
func terminate(t *testing.T, admin *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var ended []int32
	err := admin.QueryRow(ctx, "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&ended)
	if err == nil {
		_, err = admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", ended)
	}
	for left := len(ended); left > 0 && err == nil; {
		err = admin.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", ended).Scan(&left)
	}
	if err != nil {
		t.Fatal(err)
	}
}
