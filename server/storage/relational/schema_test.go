package relational

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"
	_ "modernc.org/sqlite" // registers the driver

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// alone is the Locker of a database with one server.
type alone struct{}

func (alone) Lock(context.Context, string, time.Duration) (storage.Unlock, error) {
	return func() error { return nil }, nil
}

// onFile is a store of which only the schema's part is used.
func onFile(t *testing.T, path string) *Store {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	never := func(error) bool { return false }
	o := storage.Options{Clock: clock.Real(), Log: zerolog.Nop()}.WithDefaults()
	return &Store{writes: newGate(db, o), cfg: Config{Read: db, Write: db, Locker: alone{}, Options: o,
		Dialect: Dialect{Blob: "BLOB", Taken: never, Retry: never, Lost: never, Refused: func(error) string { return "" }}}}
}

func steps(t *testing.T, texts ...string) []step {
	t.Helper()
	files := fstest.MapFS{}
	for i, text := range texts {
		files["schema/000"+string(rune('1'+i))+".sql"] = &fstest.MapFile{Data: []byte(text)}
	}
	steps, err := readSteps(files)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestEveryStepSaysWhatItMeansToOlderPrograms(t *testing.T) {
	if version, oldest, err := Schema(); err != nil || oldest < 1 || oldest > version {
		t.Errorf("version %d, oldest %d: %v", version, oldest, err)
	}
	if _, err := readSteps(fstest.MapFS{"schema/0001.sql": {Data: []byte("CREATE TABLE a (id TEXT)")}}); !problem.Is(err, problem.Internal) {
		t.Errorf("a step that does not say: %v", err)
	}
}

func TestTheOldestVersionIsThatOfTheLastBreakingStep(t *testing.T) {
	const (
		first    = "-- breaking: the first\nCREATE TABLE a (id TEXT);\nCREATE TABLE b (id TEXT);\n"
		additive = "-- additive: a column\nALTER TABLE a ADD COLUMN more TEXT;\n"
		breaking = "-- breaking: b goes\nDROP TABLE b;\n"
		table    = "-- additive: a table\nCREATE TABLE c (id TEXT);\n"
	)
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "a.db")
	s := onFile(t, path)
	if err := s.migrate(ctx, steps(t, first)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cfg.Write.ExecContext(ctx, "ALTER TABLE schema_version DROP COLUMN oldest"); err != nil { // as programs left it that recorded none
		t.Fatal(err)
	}
	for _, tt := range []struct {
		program []string
		oldest  int64 // 0: not told
		err     bool
	}{
		{[]string{first}, 0, false},
		{[]string{first, additive}, 1, false},
		{[]string{first}, 1, false}, // goes back
		{[]string{first, additive, breaking}, 3, false},
		{[]string{first, additive}, 3, true},
		{[]string{first, additive, breaking, table}, 3, false},
		{[]string{first, additive, breaking}, 3, false},
		{[]string{first}, 3, true},
	} {
		err := s.migrate(ctx, steps(t, tt.program...))
		if problem.Is(err, problem.Precondition) != tt.err || err != nil && !tt.err {
			t.Errorf("a program of version %d: %v", len(tt.program), err)
		}
		if oldest, told, err := s.oldestSchema(ctx); err != nil || oldest != tt.oldest || told != (tt.oldest > 0) {
			t.Errorf("after a program of version %d the oldest is %d, want %d (%v)", len(tt.program), oldest, tt.oldest, err)
		}
	}
}

func TestAStepThatFailsLeavesTheVersionBefore(t *testing.T) {
	ctx := t.Context()
	s := onFile(t, filepath.Join(t.TempDir(), "a.db"))
	broken := steps(t, "-- breaking: the first\nCREATE TABLE a (id TEXT);\n", "-- additive: half\nCREATE TABLE b (id TEXT);\nCREATE NONSENSE;\n")
	if err := s.migrate(ctx, broken); !problem.Is(err, problem.Internal) {
		t.Fatal(err)
	}
	if version, err := s.schemaVersion(ctx); version != 1 || err != nil {
		t.Errorf("version %d, %v", version, err)
	}
	var id string
	if err := s.cfg.Read.QueryRowContext(ctx, "SELECT id FROM b").Scan(&id); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Error("half of the step is there")
	}
}
