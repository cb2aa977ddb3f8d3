package access

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// FileStore keeps the management users of a standalone server in one JSON
// file, mode 0600. It rereads the file for every question, so that several
// processes may use one file as long as only one writes.
type FileStore struct {
	path string
	mu   sync.Mutex
}

// NewFileStore opens the store at path; the file appears with the first user.
func NewFileStore(path string) *FileStore { return &FileStore{path: path} }

// User implements Store.
func (s *FileStore) User(_ context.Context, name string) (User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	users, err := s.read()
	if err != nil {
		return User{}, err
	}
	if i := find(users, name); i >= 0 {
		return users[i], nil
	}
	return User{}, problem.NotFound.Errorf("cannot find management user %q", name)
}

// Fresh implements Store: the file is read for every question.
func (s *FileStore) Fresh(context.Context) {}

// Users implements Store.
func (s *FileStore) Users(context.Context) ([]User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read()
}

// PutUser implements Store.
func (s *FileStore) PutUser(_ context.Context, u User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	users, err := s.read()
	if err != nil {
		return err
	}
	if i := find(users, u.Name); i >= 0 {
		users[i] = u
	} else {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return s.write(users)
}

// RemoveUser implements Store.
func (s *FileStore) RemoveUser(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	users, err := s.read()
	if err != nil {
		return err
	}
	i := find(users, name)
	if i < 0 {
		return problem.NotFound.Errorf("cannot find management user %q", name)
	}
	return s.write(slices.Delete(users, i, i+1))
}

func find(users []User, name string) int {
	return slices.IndexFunc(users, func(u User) bool { return u.Name == name })
}

func (s *FileStore) read() ([]User, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem.Internal.Errorf("cannot read management users: %w", err)
	}
	var users []User
	if err := json.Unmarshal(data, &users); err != nil {
		return nil, problem.Invalid.Errorf("cannot read management users of %s: %w", s.path, err)
	}
	return users, nil
}

// write replaces the file in one step, so that a crash leaves the old or the new.
func (s *FileStore) write(users []User) error {
	data, err := json.MarshalIndent(users, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), ".users-*") // mode 0600
	if err != nil {
		return problem.Internal.Errorf("cannot write management users: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return problem.Internal.Errorf("cannot write management users to %s: %w", s.path, err)
	}
	return nil
}
