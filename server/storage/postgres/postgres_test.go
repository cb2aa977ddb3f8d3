package postgres_test

import (
	"context"
	"testing"

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
