package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// locker makes locks of advisory locks, each held by the session of a
// connection of its own: PostgreSQL frees it when that connection ends, and so
// when its holder dies. They do not work through a pooler that shares
// connections between transactions.
type locker struct {
	config  *pgx.ConnConfig
	options storage.Options
}

// closeTimeout bounds saying goodbye to the server; it frees the lock anyway.
const closeTimeout = 5 * time.Second

// Lock implements relational.Locker.
func (l *locker) Lock(ctx context.Context, name string, wait time.Duration) (storage.Unlock, error) {
	config := l.config.Copy()
	config.RuntimeParams["application_name"] = l.holder()
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot take lock %q: %w", name, err)
	}
	free := sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_, err := c.Exec(ctx, "SELECT pg_advisory_unlock_all()") // at once, not when the server notices
		return errors.Join(err, c.Close(ctx))
	})
	key := lockKey(name)
	deadline := l.options.Clock.Now().Add(wait)
	for {
		var got bool
		if err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil {
			return nil, errors.Join(problem.Unavailable.Errorf("cannot take lock %q: %w", name, err), free())
		}
		if got {
			return free, nil
		}
		left := deadline.Sub(l.options.Clock.Now())
		if left <= 0 {
			err := problem.Timeout.Errorf("cannot take lock %q within %s: %s holds it", name, wait, holding(ctx, c, key))
			return nil, errors.Join(err, free())
		}
		if err := clock.Sleep(ctx, l.options.Clock, min(left, l.options.LockRecheck)); err != nil {
			return nil, errors.Join(problem.Timeout.Errorf("cannot take lock %q: %w", name, err), free())
		}
	}
}

func (l *locker) holder() string {
	who := l.options.Holder
	if who == "" {
		host, _ := os.Hostname() // unknown is as good as empty here
		who = fmt.Sprintf("process %d on %s", os.Getpid(), host)
	}
	return strings.ToValidUTF8(who[:min(len(who), 63)], "") // what PostgreSQL keeps of a name
}

// holding says who holds the lock, in words.
func holding(ctx context.Context, c *pgx.Conn, key int64) string {
	var who, from string
	var pid int
	err := c.QueryRow(ctx, `SELECT a.application_name, COALESCE(host(a.client_addr), 'this host'), a.pid FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295 LIMIT 1`, key).Scan(&who, &from, &pid)
	if err != nil {
		return "another server"
	}
	return fmt.Sprintf("%s (from %s, database session %d)", who, from, pid)
}

// lockKey is the number PostgreSQL knows a lock by.
func lockKey(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("gatehouse/" + name)) // never fails
	return int64(h.Sum64())
}
