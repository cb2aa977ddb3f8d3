package supervisor

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A memory limit works three times, softest first:
//   - GOMEMLIMIT at nine tenths of it: the runtime collects harder;
//   - memory.max of a control group of the server's own, where the agent's
//     group (version 2) is delegated to it, as its systemd unit asks for;
//   - RLIMIT_DATA where it is not: a bound on writable private memory, with
//     headroom because the runtime maps memory before it uses it.
const (
	goLimitTenths   = 9
	dataHeadroom    = 192 << 20
	dataHeadroomDiv = 4 // plus a quarter of the limit
)

// memoryEnv is what tells a Go program its limit, or nothing.
func memoryEnv(limit int64) []string {
	if limit <= 0 {
		return nil
	}
	return []string{"GOMEMLIMIT=" + strconv.FormatInt(limit/10*goLimitTenths, 10)}
}

// limitMemory bounds the process, which has not begun its work yet.
func limitMemory(server string, pid int, limit int64) error {
	if limit <= 0 || limitByGroup(server, pid, limit) == nil {
		return nil
	}
	data := uint64(limit + limit/dataHeadroomDiv + dataHeadroom)
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: data, Max: data}, nil); err != nil {
		return fmt.Errorf("cannot limit the memory of server %q to %d bytes: %w", server, limit, err)
	}
	return nil
}

// delegated is the agent's own group below the one that systemd delegates to
// it: DelegateSubgroup= in its unit. Servers get groups beside it.
const delegated = "agent"

// limitByGroup moves the process to a control group of its own.
func limitByGroup(server string, pid int, limit int64) error {
	dir, err := groupOf(server)
	if err != nil {
		return err
	}
	// The group above may bound the memory of those below it only if it says so.
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// groupOf is where a server's control group is, below what is delegated to the
// agent; an error where nothing is.
func groupOf(server string) (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(own)), "0::")
	if !ok || strings.Contains(path, "\n") || filepath.Base(path) != delegated {
		return "", errNotDelegated
	}
	return filepath.Join("/sys/fs/cgroup", filepath.Dir(path), "server-"+url.PathEscape(server)), nil
}

var errNotDelegated = errors.New("no control group of version 2 is delegated to this agent")

// unlimit removes the group of a server that has ended.
func unlimit(server string) {
	if dir, err := groupOf(server); err == nil {
		_ = os.Remove(dir) // not there, or a child still ends: the next start uses it
	}
}
