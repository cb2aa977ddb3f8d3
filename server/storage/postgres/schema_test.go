package postgres_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/postgres/postgrestest"
	"github.com/gatehouse-idp/gatehouse/server/storage/storagetest"
)

func TestSoManyConnectionsStayOpen(t *testing.T) {
	ctx, dsn := context.Background(), newDatabase(t)
	hour := clocktest.New(time.Now())
	s, err := open(ctx, dsn, storage.Options{Clock: hour, Log: zerolog.Nop(), MaxConns: 6, MinConns: 4, MaxConnIdle: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	db, err := sql.Open("pgx", dsn+" application_name=test")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const ours = ` FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database()`
	for range 2 { // at the start, and after all were lost
		limit := time.NewTimer(2 * time.Minute)
		for open := 0; open < 4; {
			if err := db.QueryRowContext(ctx, `SELECT count(*)`+ours).Scan(&open); err != nil {
				t.Fatal(err)
			}
			select {
			case <-limit.C:
				t.Fatalf("%d connections are open, want the 4 of min-pool-size", open)
			default:
				hour.Advance(time.Minute)
			}
		}
		if _, err := db.ExecContext(ctx, `SELECT pg_terminate_backend(pid)`+ours); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDatabasesOfNewerPrograms(t *testing.T) {
	server := postgrestest.Server(t)
	storagetest.RunSchema(t, func(t testing.TB) string { return postgrestest.Database(t, server) }, open, func(t testing.TB, address, statement string) {
		db, err := sql.Open("pgx", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTablesAreInTheSchemaThatIsNamed(t *testing.T) {
	ctx, dsn := context.Background(), newDatabase(t)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE SCHEMA "Id P"`); err != nil {
		t.Fatal(err)
	}
	s, err := open(ctx, dsn, storage.Options{Clock: clock.Real(), Log: zerolog.Nop(), Schema: "Id P", MaxConns: 4, InitialConns: 4, MaxConnIdle: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := db.QueryContext(ctx, `SELECT table_schema, count(*) FROM information_schema.tables WHERE table_schema IN ('public', 'Id P') GROUP BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	in := map[string]int{}
	for rows.Next() {
		var schema string
		var tables int
		if err := rows.Scan(&schema, &tables); err != nil {
			t.Fatal(err)
		}
		in[schema] = tables
	}
	if err := rows.Err(); err != nil || in["Id P"] == 0 || in["public"] != 0 {
		t.Errorf("tables by schema: %v (%v)", in, err)
	}
	var idle int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatehouse' AND datname = current_database()`).Scan(&idle); err != nil || idle < 4 {
		t.Errorf("%d connections are open after the start, want at least the 4 of initial-pool-size (%v)", idle, err)
	}
}
