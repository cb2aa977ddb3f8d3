package relational

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// schemaLockWait is how long a server waits for another one that migrates: the
// longest migration of a large database, and a bit.
const schemaLockWait = 10 * time.Minute

// Schema is the version of the schema that this program makes, and the oldest
// version whose programs may use it too.
func Schema() (version, oldest int64, err error) {
	steps, err := readSteps(schemaFiles)
	return int64(len(steps)), oldestUser(steps), err
}

// step makes one version of the schema out of the one before: the n-th file
// makes version n.
type step struct {
	text string
	// additive: programs of the version before work on with this one, reading and
	// writing, as after a new table or a new column that may be empty.
	additive bool
}

// readSteps reads the steps of files. The first line of each says what it means
// to older programs: "-- additive: what" or "-- breaking: what".
func readSteps(files fs.FS) ([]step, error) {
	names, err := fs.Glob(files, "schema/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]step, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		s := step{text: string(text), additive: strings.HasPrefix(string(text), "-- additive: ")}
		if !s.additive && !strings.HasPrefix(s.text, "-- breaking: ") {
			return nil, problem.Internal.Errorf("cannot use schema step %s: its first line has to be \"-- additive: what\" or \"-- breaking: what\"", name)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// oldestUser is the oldest version whose programs may use a database that
// has all steps: that of the last breaking one.
func oldestUser(steps []step) int64 {
	for n := len(steps); n > 0; n-- {
		if !steps[n-1].additive {
			return int64(n)
		}
	}
	return 1
}

// migrate brings the schema to the version that steps make. An up to date
// database costs one query. One of a newer program is used as it is, where it
// says that this program may.
func (s *Store) migrate(ctx context.Context, steps []step) error {
	want := int64(len(steps))
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return s.explain(err)
	}
	if have == want {
		return nil
	}
	if have > want {
		return s.newer(ctx, have, want)
	}
	unlock, err := s.cfg.Locker.Lock(ctx, "schema", schemaLockWait)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	if have, err = s.schemaVersion(ctx); err != nil {
		return s.explain(err)
	}
	if have > want { // a newer program was faster
		return s.newer(ctx, have, want)
	}
	told := false
	if have > 0 {
		if _, told, err = s.oldestSchema(ctx); err != nil {
			return s.explain(err)
		}
	}
	for ; have < want; have++ {
		apply := func(tx *sql.Tx) error { return s.step(ctx, tx, steps[:have+1], told) }
		if err := s.once(ctx, s.cfg.Write, apply); err != nil {
			return problem.Internal.Errorf("cannot bring the schema to version %d: %w", have+1, err)
		}
		told = true
	}
	return nil
}

// newer accepts or refuses a database of a newer program.
func (s *Store) newer(ctx context.Context, have, want int64) error {
	oldest, told, err := s.oldestSchema(ctx)
	if err != nil {
		return s.explain(err)
	}
	if !told {
		oldest = have
	}
	if oldest > want {
		return problem.WithHint(problem.Precondition.Errorf("cannot open the database: its schema has version %d, which programs that know version %d or later may use; this program knows versions up to %d", have, oldest, want),
			"run the newer program, or restore the backup that was made before the upgrade")
	}
	s.cfg.Options.Log.Info().Int64("schema", have).Int64("known", want).Msg("using the database of a newer program: its schema has what this one needs")
	return nil
}

// step makes the version that the last of steps makes, in one transaction with
// its number and the oldest version that may use it. told is whether there is
// room for the latter.
func (s *Store) step(ctx context.Context, tx *sql.Tx, steps []step, told bool) error {
	version := len(steps)
	statements := []string{}
	switch {
	case version == 1:
		statements = append(statements, "CREATE TABLE schema_version (version BIGINT NOT NULL, oldest BIGINT)", "INSERT INTO schema_version VALUES (0, 0)")
	case !told:
		statements = append(statements, "ALTER TABLE schema_version ADD COLUMN oldest BIGINT")
	}
	text := strings.ReplaceAll(steps[version-1].text, "@BLOB@", s.cfg.Dialect.Blob)
	for _, statement := range strings.Split(text, ";\n") {
		if strings.TrimSpace(statement) != "" {
			statements = append(statements, statement)
		}
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	_, err := conn{tx, s}.exec(ctx, "UPDATE schema_version SET version = ?, oldest = ?", version, oldestUser(steps))
	return err
}

// schemaVersion is the database's version, 0 when it is empty.
func (s *Store) schemaVersion(ctx context.Context) (version int64, err error) {
	err = s.cfg.Read.QueryRowContext(ctx, "SELECT version FROM schema_version").Scan(&version)
	if err != nil && strings.Contains(err.Error(), "schema_version") { // no such table, in the words of each database
		return 0, nil
	}
	return version, err
}

// oldestSchema is the oldest version whose programs may use the database; told
// is false where its program was older than that record.
func (s *Store) oldestSchema(ctx context.Context) (oldest int64, told bool, err error) {
	err = s.cfg.Read.QueryRowContext(ctx, "SELECT oldest FROM schema_version").Scan(&oldest)
	if err != nil && strings.Contains(err.Error(), "oldest") { // no such column, in the words of each database
		return 0, false, nil
	}
	return oldest, err == nil, err
}
