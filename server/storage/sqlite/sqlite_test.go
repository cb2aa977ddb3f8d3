package sqlite_test

import (
	"context"
	"testing"

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
