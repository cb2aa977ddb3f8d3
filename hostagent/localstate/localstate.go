// Package localstate owns what an agent keeps on its disk: the last good
// snapshot, the running processes, the reconnect keys of servers, the host's
// identity and its installation id. Everything is readable after a kill -9 at
// any moment: a file is written beside, synced and renamed, carries its
// checksum, and the one before it is kept. It must not know what the contents
// mean beyond that.
//
// One agent at a time: Open locks the directory.
package localstate

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Store is an agent's state directory, open. It is safe for concurrent use.
type Store struct {
	dir          string
	lock         *os.File
	installation string
	mu           sync.Mutex // one writer at a time
}

// Open opens the state below dir, making it at the first start. It fails with
// Conflict when another agent has it open.
func Open(dir string) (*Store, error) {
	dir = filepath.Join(dir, "agent")
	if err := os.MkdirAll(filepath.Join(dir, "servers"), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the state directory: %w", err)
	}
	if err := hold(lock); err != nil {
		_ = lock.Close()
		return nil, problem.Conflict.Errorf("cannot use %s: another agent runs there", dir)
	}
	s := &Store{dir: dir, lock: lock}
	if s.installation, err = s.readInstallation(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// lockPatience is how long the lock of an agent that died may outlive it: what
// it forked last holds the lock too, until it becomes its own program.
const (
	lockPatience = 2 * time.Second
	lockEvery    = 20 * time.Millisecond
)

func hold(lock *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || clock.Sleep(ctx, clock.Real(), lockEvery) != nil {
			return err
		}
	}
}

// Close lets another agent have the state.
func (s *Store) Close() error { return s.lock.Close() }

// Installation is one random value for the life of this directory.
func (s *Store) Installation() string { return s.installation }

func (s *Store) readInstallation() (string, error) {
	text, _, err := s.read("installation")
	if err != nil || len(text) > 0 {
		return string(text), err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	installation := hex.EncodeToString(id)
	return installation, s.write("installation", []byte(installation), 0o600)
}

// Identity is the host's key and certificates as SaveIdentity got them, nil
// before the first.
func (s *Store) Identity() ([]byte, error) {
	text, _, err := s.read("identity")
	return text, err
}

// SaveIdentity keeps the host's key and certificates, readable by the agent's
// user only.
func (s *Store) SaveIdentity(text []byte) error { return s.write("identity", text, 0o600) }

// A file begins with a line that lets its rest be checked:
// "gatehouse-state 1 sha256:<hex>".
const magic = "gatehouse-state 1 sha256:"

func seal(content []byte) []byte {
	sum := sha256.Sum256(content)
	return append([]byte(magic+hex.EncodeToString(sum[:])+"\n"), content...)
}

func unseal(path string, data []byte) ([]byte, error) {
	head, content, ok := bytes.Cut(data, []byte{'\n'})
	want, known := strings.CutPrefix(string(head), magic)
	if !ok || !known {
		return nil, problem.Invalid.Errorf("cannot read %s: it is not a state file of this version", path)
	}
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != want {
		return nil, problem.Invalid.Errorf("cannot read %s: its checksum does not match its content", path)
	}
	return content, nil
}

// previous is where the file before name is kept.
func previous(name string) string { return name + ".previous" }

// read gives the newest readable content of a file: nil where there is none.
// A damaged file falls back to the one before it; warning then says so. Where
// neither can be read, err does.
func (s *Store) read(name string) (content []byte, warning, err error) {
	content, err = s.readOne(name)
	if err == nil && content != nil {
		return content, nil, nil
	}
	older, olderErr := s.readOne(previous(name))
	switch {
	case olderErr == nil && older != nil:
		if err == nil { // ended between the two renames of a write
			return older, nil, nil
		}
		return older, problem.WithHint(err, "the one before it is used"), nil
	case err != nil:
		return nil, nil, errors.Join(err, olderErr)
	}
	return nil, nil, olderErr
}

func (s *Store) readOne(name string) ([]byte, error) {
	path := filepath.Join(s.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return unseal(path, data)
}

// write replaces a file so that a crash leaves the old or the new content, and
// keeps the old one beside it.
func (s *Store) write(name string, content []byte, mode fs.FileMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(name, content, mode)
}

func (s *Store) writeLocked(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(s.dir, name)
	if err := writeSynced(path+".new", seal(content), mode); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	// Only a good file becomes the previous one.
	if _, err := s.readOne(name); err == nil {
		if err := os.Rename(path, filepath.Join(s.dir, previous(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// remove forgets a file and the one before it.
func (s *Store) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range []string{previous(name), name} {
		if err := os.Remove(filepath.Join(s.dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(filepath.Join(s.dir, name)))
}

func writeSynced(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
