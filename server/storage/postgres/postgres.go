// Package postgres is the storage driver for PostgreSQL 13 and later. It owns
// connecting and the advisory locks; the queries are relational's. It must not
// know what is stored.
package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/relational"
)

// Open connects to the database of dsn ("postgres://user:password@host/name" or
// "host=... dbname=...") and brings its schema up to date. Any number of
// servers may do so at once.
func Open(ctx context.Context, dsn string, o storage.Options) (*relational.Store, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the database address: it is neither a postgres:// URL nor key=value pairs")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "gatehouse"
	}
	o = o.WithDefaults()
	if o.Schema != "" {
		config.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	read := pool(config, o, o.MaxConns)
	if err := read.PingContext(ctx); err != nil {
		where := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
		return nil, errors.Join(problem.Unavailable.Errorf("cannot reach the database %q at %s: %w", config.Database, where, err), read.Close())
	}
	return relational.Open(ctx, relational.Config{
		Read: read, Write: pool(config, o, max(o.MaxConns/2, 2)), Session: pool(config, o, 1), Options: o,
		Dialect: dialect(), Locker: &locker{config: config, options: o},
	})
}

func pool(config *pgx.ConnConfig, o storage.Options, most int) *sql.DB {
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	db.SetConnMaxIdleTime(o.MaxConnIdle)
	return db
}

func dialect() relational.Dialect {
	return relational.Dialect{
		Name: "postgres", Blob: "BYTEA", Greatest: "GREATEST", ForUpdate: " FOR UPDATE",
		Number: func(i int) string { return "$" + strconv.Itoa(i) },
		Taken:  func(err error) bool { return code(err) == "23505" },
		Retry:  func(err error) bool { return code(err) == "40001" || code(err) == "40P01" },
		Lost:   lost,
		Refused: func(err error) string {
			switch code(err) {
			case "22021", "22P05":
				return "it contains a character that the database cannot keep"
			case "22001", "54000":
				return "it is too long"
			}
			return ""
		},
	}
}

// code is the SQLSTATE, "" for errors of others.
func code(err error) string {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func lost(err error) bool {
	if c := code(err); c != "" {
		// connection exceptions, insufficient resources, operator intervention
		return strings.HasPrefix(c, "08") || strings.HasPrefix(c, "53") || strings.HasPrefix(c, "57P")
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}
