// Package postgrestest gives tests a PostgreSQL database of their own: in the
// server that GATEHOUSE_TEST_POSTGRES names, or in a private one started from
// the installed binaries. It is never compiled into the product.
package postgrestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// DSN is Database on Server: for a test that needs one.
func DSN(t testing.TB) string {
	t.Helper()
	return Database(t, Server(t))
}

// Server finds a server, or starts one for the length of t, and returns its
// address. Without PostgreSQL on the machine the test is skipped.
func Server(t testing.TB) string {
	t.Helper()
	if server := os.Getenv("GATEHOUSE_TEST_POSTGRES"); server != "" {
		return server
	}
	return start(t)
}

// Database creates an empty database, gone when t ends, and returns its address.
func Database(t testing.TB, server string) string {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("cannot reach PostgreSQL: %v", err)
	}
	defer func() { _ = c.Close(ctx) }()
	name := "gatehouse_" + rand.Text()
	if _, err := c.Exec(ctx, `CREATE DATABASE "`+name+`"`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c, err := pgx.Connect(ctx, server)
		if err != nil {
			return // the private server is gone already
		}
		_, _ = c.Exec(ctx, `DROP DATABASE "`+name+`" WITH (FORCE)`)
		_ = c.Close(ctx)
	})
	config := c.Config()
	host, port := config.Host, strconv.Itoa(int(config.Port))
	return fmt.Sprintf("host=%s port=%s user=%s password=%s dbname=%s sslmode=disable", quote(host), port, quote(config.User), quote(config.Password), name)
}

func quote(s string) string { return "'" + s + "'" }

const (
	// socketName is the server's socket in its directory: that directory is its
	// own, so nobody else can have taken the address before it, as with a port.
	socketName = ".s.PGSQL.5432"
	// longestSocket is what an address of a socket holds on every system.
	longestSocket = 103
)

// start runs a private server on a socket of its own for the length of t.
func start(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	path, err := exec.LookPath("initdb")
	if err != nil && len(found) > 0 {
		path, err = found[len(found)-1], nil
	}
	if err != nil {
		t.Skip("PostgreSQL is not installed and GATEHOUSE_TEST_POSTGRES is not set: install postgresql, or set it to the address of a server")
	}
	bin := filepath.Dir(path)
	dir := directory(t)
	as := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	run(t, as, filepath.Join(bin, "initdb"), "-D", data, "-U", "gatehouse", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	// Nothing here outlives the machine, so nothing is forced to disk; measure what
	// a commit costs on a server of GATEHOUSE_TEST_POSTGRES.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", "5432", "-h", "", "-k", dir, "-c", "max_connections=200", "-c", "fsync=off", "-c", "full_page_writes=off")
	server.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT}
	server.Dir = dir
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // immediate shutdown: nothing here is kept
		_ = server.Wait()
	})
	dsn := "host=" + quote(dir) + " port=5432 user=gatehouse dbname=postgres sslmode=disable"
	waitReady(t, dsn)
	return dsn
}

// unprivileged gives dir to the user that the server runs as: PostgreSQL
// refuses to be run by root. nil is the user who runs the test.
func unprivileged(t testing.TB, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("cannot start PostgreSQL as root: there is no user postgres; set GATEHOUSE_TEST_POSTGRES to the address of a server")
	}
	uid, _ := strconv.Atoi(who.Uid) // numbers, on the systems that have initdb there
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func run(t testing.TB, as *syscall.Credential, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	c.Dir = os.TempDir()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// directory is a new one, gone when t ends, that has room for the socket's name.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postgrestest")
	if err == nil && len(filepath.Join(dir, socketName)) > longestSocket {
		_ = os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "postgrestest")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// readyWithin bounds the start of an empty cluster on a busy machine.
const readyWithin = 2 * time.Minute

func waitReady(t testing.TB, dsn string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_ = c.Close(ctx)
			return
		}
		if err := clock.Sleep(ctx, clock.Real(), 20*time.Millisecond); err != nil {
			t.Fatalf("PostgreSQL did not start within %s", readyWithin)
		}
	}
}
