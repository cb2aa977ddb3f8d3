package hostagent

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// measure reads what the servers use of the machine, until ctx ends.
func (a *Agent) measure(ctx context.Context) error {
	tick := a.config.Clock.NewTicker(measureEvery)
	defer tick.Stop()
	last := a.config.Clock.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		took := clock.Since(a.config.Clock, last)
		last = last.Add(took)
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
			requests, failed := v.rates(took)
			v.usage = &hostlink.ServerUsage{CpuSeconds: u.CPUSeconds, ResidentBytes: u.ResidentBytes,
				OpenFiles: uint32(u.OpenFiles), Connections: v.usage.GetConnections(),
				Requests: v.usage.GetRequests(), Errors: v.usage.GetErrors(), Backends: v.usage.GetBackends(),
				RequestsPerSecond: requests, ErrorsPerSecond: failed,
				GroupMemoryBytes: u.GroupMemoryBytes, GroupCpuSeconds: u.GroupCPUSeconds}
			a.mu.Unlock()
		}
		a.changed()
	}
}

// rates are the requests and errors of each second since they were asked last,
// took ago; Agent.mu is held. A new process begins at nothing.
func (v *server) rates(took time.Duration) (requests, failed float64) {
	now := [2]uint64{v.usage.GetRequests(), v.usage.GetErrors()}
	before := v.answered
	v.answered = now
	if took <= 0 || v.usage == nil || now[0] < before[0] || now[1] < before[1] {
		return 0, 0
	}
	return float64(now[0]-before[0]) / took.Seconds(), float64(now[1]-before[1]) / took.Seconds()
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
