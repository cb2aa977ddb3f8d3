package supervisor

import (
	"fmt"
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
	dataHeadroom    = 64 << 20
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

// limitByGroup moves the process to a control group beside the agent's own.
func limitByGroup(server string, pid int, limit int64) error {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(own)), "0::")
	if !ok || strings.Contains(path, "\n") {
		return fmt.Errorf("control groups of version 2 are not in use alone")
	}
	parent := filepath.Dir(filepath.Join("/sys/fs/cgroup", path))
	dir := filepath.Join(parent, "gatehouse-server-"+server)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}
