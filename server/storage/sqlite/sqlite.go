// Package sqlite is the storage driver for SQLite: one database file that the
// servers of one host share, in write-ahead-log mode. It owns opening the file
// and its locks; the queries are relational's. It must not know what is stored.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/relational"
)

// Pragmas of every connection. busy_timeout comes first: the ones after it
// already meet other processes. synchronous=FULL makes a commit survive a power
// failure; group commit pays for it.
const pragmas = "_pragma=busy_timeout(15000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-8000)&_pragma=temp_store(MEMORY)"

// Open opens the database file at path, creating it and its directory, and
// brings its schema up to date. Any number of processes of one host may do so
// at once. The file must be on a local disk.
func Open(ctx context.Context, path string, o storage.Options) (*relational.Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot open database %q: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, problem.Unavailable.Errorf("cannot open database: %w", err)
	}
	// The file holds secrets: create it before SQLite does, for its owner only.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	name := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragmas
	write, err := sql.Open("sqlite", name+"&_txlock=immediate")
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot open database %q: %w", path, err)
	}
	// SQLite has one writer: waiting for our own in the pool is fair and exact,
	// waiting in busy_timeout is neither.
	write.SetMaxOpenConns(1)
	read, err := sql.Open("sqlite", name+"&_pragma=query_only(true)")
	if err != nil {
		return nil, errors.Join(problem.Unavailable.Errorf("cannot open database %q: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(o.MaxConns)
	read.SetMaxIdleConns(o.MaxConns)
	read.SetConnMaxIdleTime(o.MaxConnIdle)
	if err := first(ctx, write, o.Clock); err != nil {
		return nil, errors.Join(problem.Unavailable.Errorf("cannot open database %q: %w", path, err), write.Close(), read.Close())
	}
	return relational.Open(ctx, relational.Config{
		Read: read, Write: write, Session: write, Options: o,
		Dialect: dialect(), Locker: &locker{path: path, options: o},
	})
}

// How often, and after how long, the first connection is tried again: together
// as long as busy_timeout.
const (
	firstTries = 1500
	firstAgain = 10 * time.Millisecond
)

// first makes the file a write-ahead-log one. Of several processes that do so at
// the same moment SQLite turns some away at once, whatever busy_timeout says:
// waiting could be a deadlock, as far as it knows.
func first(ctx context.Context, db *sql.DB, c clock.Clock) error {
	for try := 1; ; try++ {
		err := db.PingContext(ctx)
		if code(err)&0xff != sqlite3.SQLITE_BUSY || try == firstTries || c == nil {
			return err
		}
		if clock.Sleep(ctx, c, firstAgain) != nil {
			return err
		}
	}
}

func dialect() relational.Dialect {
	return relational.Dialect{
		Name: "sqlite", Blob: "BLOB", Greatest: "MAX", Plans: true,
		Taken: func(err error) bool {
			return code(err) == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code(err) == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
		},
		Retry: func(err error) bool {
			return code(err)&0xff == sqlite3.SQLITE_BUSY || code(err)&0xff == sqlite3.SQLITE_LOCKED
		},
		Lost: func(err error) bool {
			switch code(err) & 0xff {
			case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY:
				return true
			}
			return false
		},
		Refused: func(err error) string {
			if code(err)&0xff == sqlite3.SQLITE_TOOBIG {
				return "it is too large"
			}
			return ""
		},
	}
}

// code is SQLite's extended result code, -1 for errors of others.
func code(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code()
	}
	return -1
}
