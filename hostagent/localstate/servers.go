package localstate

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Server is what an agent remembers of one server over its own restart.
type Server struct {
	Name string `json:"name"`
	// Process is the running one; nil when there is none.
	Process *Process `json:"process,omitempty"`
	// TokenDigest and KeyDigest are of the spawn token that has not been used
	// yet and of the reconnect key: the values themselves are not stored.
	TokenDigest string `json:"token_digest,omitempty"`
	KeyDigest   string `json:"key_digest,omitempty"`
	// Order is what an operator last wanted: "start", "stop", or "" where
	// auto-start decides. It counts until the machine boots again.
	Order string `json:"order,omitempty"`
	Boot  string `json:"boot,omitempty"`
	// Exit is how its last process ended; nil before the first end.
	Exit *Exit `json:"exit,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	At          time.Time `json:"at"`
	Code        int       `json:"code,omitempty"`
	Signal      string    `json:"signal,omitempty"` // for example SIGKILL
	OutOfMemory bool      `json:"out_of_memory,omitempty"`
	Unknown     bool      `json:"unknown,omitempty"` // Code and Signal mean nothing
	Reason      string    `json:"reason"`            // for people
}

// Process identifies a process over the reuse of its number.
type Process struct {
	PID        int       `json:"pid"`
	StartTicks uint64    `json:"start_ticks"` // since the boot
	Boot       string    `json:"boot"`
	Executable string    `json:"executable"` // device:inode
	Started    time.Time `json:"started"`
	// Settings is a digest of the process settings it was started with.
	Settings string `json:"settings,omitempty"`
}

// Servers is every remembered server. Damaged records are left out and
// reported; the others are good.
func (s *Store) Servers() ([]Server, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "servers"))
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var list []Server
	var errs []error
	for _, e := range entries {
		file := strings.TrimSuffix(e.Name(), ".previous")
		if strings.HasSuffix(file, ".new") || seen[file] {
			continue
		}
		seen[file] = true
		v, err := s.server(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, v)
	}
	return list, errors.Join(errs...)
}

// UpdateServer changes what is remembered of a server, durably.
func (s *Store) UpdateServer(name string, change func(*Server)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.server(serverFile(name))
	if err != nil { // damaged beyond reading: what is true now replaces it
		v = Server{}
	}
	v.Name = name
	change(&v)
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.writeLocked(filepath.Join("servers", serverFile(name)), data, 0o600)
}

// ForgetServer remembers a server no longer.
func (s *Store) ForgetServer(name string) error {
	return s.remove(filepath.Join("servers", serverFile(name)))
}

func (s *Store) server(file string) (Server, error) {
	var v Server
	data, _, err := s.read(filepath.Join("servers", file))
	if err != nil || data == nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, problem.Invalid.Errorf("cannot read the record of server %q: %w", file, err)
	}
	return v, nil
}

// serverFile makes a file name of any server name.
func serverFile(name string) string { return strings.ReplaceAll(url.PathEscape(name), ".", "%2E") }
