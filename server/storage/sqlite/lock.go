package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// locker makes locks of advisory file locks beside the database: the kernel
// frees them when their holder dies, however it dies.
type locker struct {
	path    string
	options storage.Options
}

// Lock implements relational.Locker.
func (l *locker) Lock(ctx context.Context, name string, wait time.Duration) (storage.Unlock, error) {
	path := l.path + "." + fileName(name) + ".lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Unavailable.Errorf("cannot take lock %q: %w", name, err)
	}
	deadline := l.options.Clock.Now().Add(wait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return l.held(f), nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(problem.Unavailable.Errorf("cannot take lock %q: %w", name, err), f.Close())
		}
		left := deadline.Sub(l.options.Clock.Now())
		if left <= 0 {
			return nil, errors.Join(problem.Timeout.Errorf("cannot take lock %q within %s: %s holds it", name, wait, holder(f)), f.Close())
		}
		if err := clock.Sleep(ctx, l.options.Clock, min(left, l.options.LockRecheck)); err != nil {
			return nil, errors.Join(problem.Timeout.Errorf("cannot take lock %q: %w; %s holds it", name, err, holder(f)), f.Close())
		}
	}
}

// held writes who holds the lock, for those who wait. The file stays: removing
// it would let a waiter lock a file that nobody else sees.
func (l *locker) held(f *os.File) storage.Unlock {
	who := l.options.Holder
	if who == "" {
		host, _ := os.Hostname() // unknown is as good as empty here
		who = fmt.Sprintf("process %d on %s", os.Getpid(), host)
	}
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(who), 0) // only for messages
	}
	return sync.OnceValue(func() error {
		_ = f.Truncate(0) // only for messages
		return f.Close()
	})
}

func holder(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 300))
	if err != nil || len(text) == 0 {
		return "another process"
	}
	return string(text)
}

// fileName is name with what is not plain replaced.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, name)
}
