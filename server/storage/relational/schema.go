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

// migrate brings the schema to this program's version. An up to date database
// costs one query.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := fs.Glob(schemaFiles, "schema/*.sql") // sorted; the n-th makes version n
	if err != nil {
		return err
	}
	want := int64(len(steps))
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return s.explain(err)
	}
	if have == want {
		return nil
	}
	unlock, err := s.cfg.Locker.Lock(ctx, "schema", schemaLockWait)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	if have, err = s.schemaVersion(ctx); err != nil {
		return s.explain(err)
	}
	if have > want {
		return problem.Precondition.Errorf("cannot open the database: its schema has version %d, this program knows versions up to %d; run the newer program", have, want)
	}
	for ; have < want; have++ {
		text, err := schemaFiles.ReadFile(steps[have])
		if err != nil {
			return err
		}
		if err := s.once(ctx, s.cfg.Write, func(tx *sql.Tx) error { return s.step(ctx, tx, have+1, string(text)) }); err != nil {
			return problem.Internal.Errorf("cannot bring the schema to version %d: %w", have+1, err)
		}
	}
	return nil
}

// step makes one version of the schema, in one transaction with its number.
func (s *Store) step(ctx context.Context, tx *sql.Tx, version int64, text string) error {
	text = strings.ReplaceAll(text, "@BLOB@", s.cfg.Dialect.Blob)
	statements := []string{}
	if version == 1 {
		statements = append(statements, "CREATE TABLE schema_version (version BIGINT NOT NULL)", "INSERT INTO schema_version VALUES (0)")
	}
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
	_, err := conn{tx, s}.exec(ctx, "UPDATE schema_version SET version = ?", version)
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
