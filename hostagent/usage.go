package hostagent

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// measure reads what the servers use of the machine, until ctx ends.
func (a *Agent) measure(ctx context.Context) error {
	tick := a.config.Clock.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for _, s := range a.supervisor.Status() {
			if s.PID == 0 {
				continue
			}
			u, err := supervisor.Measure(s.Name, s.PID)
			if err != nil {
				continue // it has just ended
			}
			a.mu.Lock()
			v := a.server(s.Name)
			v.usage = &hostlink.ServerUsage{CpuSeconds: u.CPUSeconds, ResidentBytes: u.ResidentBytes,
				OpenFiles: uint32(u.OpenFiles), Connections: v.usage.GetConnections(),
				Requests: v.usage.GetRequests(), Errors: v.usage.GetErrors(), Backends: v.usage.GetBackends(),
				GroupMemoryBytes: u.GroupMemoryBytes, GroupCpuSeconds: u.GroupCPUSeconds}
			a.mu.Unlock()
		}
		a.changed()
	}
}

// facts are what this machine is.
func facts(dir string) *hostlink.Facts {
	f := &hostlink.Facts{Cores: uint32(runtime.NumCPU()), Os: runtime.GOOS + "/" + runtime.GOARCH, Pid: uint32(os.Getpid())}
	var disk unix.Statfs_t
	if unix.Statfs(dir, &disk) == nil {
		f.DiskFreeBytes = disk.Bavail * uint64(disk.Bsize)
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if kb, ok := strings.CutPrefix(line, "MemTotal:"); ok {
				n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
				f.MemoryBytes = n << 10
			}
		}
	}
	return f
}
