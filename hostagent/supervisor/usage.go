package supervisor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Usage is what a server uses of the machine.
type Usage struct {
	CPUSeconds    float64 // of its process
	ResidentBytes uint64
	OpenFiles     int
	// Of its own control group, where it has one: all its processes, and the
	// page cache that is charged to them. 0 where it has none.
	GroupMemoryBytes uint64
	GroupCPUSeconds  float64
}

// ticksPerSecond is USER_HZ, 100 in Linux's user-space interface on every
// architecture we build for.
const ticksPerSecond = 100

// Measure reads the usage of a server whose process is pid.
func Measure(server string, pid int) (Usage, error) {
	st, err := readStat(pid)
	if err != nil {
		return Usage{}, problem.NotFound.Errorf("cannot measure process %d: %w", pid, err)
	}
	u := Usage{CPUSeconds: float64(st.cpu) / ticksPerSecond, ResidentBytes: st.rss * uint64(os.Getpagesize())}
	if files, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd"); err == nil {
		u.OpenFiles = len(files)
	}
	if dir, err := groupOf(server); err == nil {
		u.measureGroup(dir)
	}
	return u, nil
}

// measureGroup reads a control group of version 2. What its kernel does not
// count stays 0.
func (u *Usage) measureGroup(dir string) {
	if text, err := os.ReadFile(filepath.Join(dir, "memory.current")); err == nil {
		u.GroupMemoryBytes, _ = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	microseconds, _ := counter(filepath.Join(dir, "cpu.stat"), "usage_usec")
	u.GroupCPUSeconds = float64(microseconds) / 1e6
}
