package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Process identifies a server's process beyond its number, which the machine
// uses again.
type Process struct {
	Server string `json:"server"`
	PID    int    `json:"pid"`
	// StartTicks is the process's start since the boot, in clock ticks (field
	// 22 of /proc/<pid>/stat); Boot is the boot's own random id.
	StartTicks uint64 `json:"start_ticks"`
	Boot       string `json:"boot"`
	// Executable is device:inode of the program, which stays when the file is
	// replaced by a newer one.
	Executable string    `json:"executable"`
	Started    time.Time `json:"started"`
}

// inspect identifies the living process pid.
func inspect(server string, pid int, now time.Time) (Process, error) {
	st, err := readStat(pid)
	if err != nil {
		return Process{}, err
	}
	boot, err := BootID()
	if err != nil {
		return Process{}, err
	}
	exe, err := executable(pid)
	if err != nil {
		return Process{}, err
	}
	return Process{Server: server, PID: pid, StartTicks: st.start, Boot: boot, Executable: exe, Started: now}, nil
}

// alive tells whether p is still the same process, and not a zombie.
func (p Process) alive() error {
	st, err := readStat(p.PID)
	if err != nil {
		return problem.NotFound.Errorf("cannot adopt server %q: its process %d is gone", p.Server, p.PID)
	}
	boot, err := BootID()
	if err != nil {
		return err
	}
	if st.state == 'Z' || st.state == 'X' {
		return problem.NotFound.Errorf("cannot adopt server %q: its process %d has ended", p.Server, p.PID)
	}
	exe, err := executable(p.PID)
	if err != nil || boot != p.Boot || st.start != p.StartTicks || exe != p.Executable {
		return problem.NotFound.Errorf("cannot adopt server %q: process %d is another program now", p.Server, p.PID)
	}
	return nil
}

// BootID is the random id of the machine's current boot.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot identify the boot of this machine: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

func executable(pid int) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/exe", &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino), nil
}

// stat is what is used of /proc/<pid>/stat, see proc_pid_stat(5).
type stat struct {
	state   byte
	session int
	cpu     uint64 // user and system time, ticks
	start   uint64 // ticks since the boot
	rss     uint64 // pages
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The second field is the program's name in brackets and may hold
	// anything: the third begins after the last bracket.
	line := string(data)
	f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(f) < 22 {
		return stat{}, fmt.Errorf("cannot read /proc/%d/stat: %d fields", pid, len(f))
	}
	number := func(field int) uint64 { n, _ := strconv.ParseUint(f[field-3], 10, 64); return n }
	return stat{state: f[0][0], session: int(number(6)), cpu: number(14) + number(15), start: number(22), rss: number(24)}, nil
}

// handle holds a process by a pidfd, which never comes to mean another one.
type handle struct {
	Process
	fd   *os.File
	once sync.Once
}

func hold(p Process) (*handle, error) {
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, problem.NotFound.Errorf("cannot watch process %d of server %q: %w", p.PID, p.Server, err)
	}
	return &handle{Process: p, fd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// take holds a process that an earlier agent left. It is NotFound when it has
// ended, or is another by now.
func take(p Process) (*handle, error) {
	if err := p.alive(); err != nil {
		return nil, err
	}
	h, err := hold(p)
	if err != nil {
		return nil, err
	}
	if err := p.alive(); err != nil { // it may have ended before we held it
		h.release()
		return nil, err
	}
	return h, nil
}

// wait blocks until the process has ended, ends what is left of its session
// and says how it ended. It fails only when the handle was released.
func (h *handle) wait(words func(int, time.Time) (int, bool)) (Exit, error) {
	raw, err := h.fd.SyscallConn()
	if err != nil {
		return Exit{}, err
	}
	err = raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
	if err != nil {
		return Exit{}, err
	}
	// The process's number is not free before it is reaped, so its session's
	// number still means this session.
	for _, pid := range sessionMembers(h.PID) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	return h.reap(words), nil
}

// reap collects the end of a child, or finds out about that of an adopted
// process, which is none.
func (h *handle) reap(words func(int, time.Time) (int, bool)) Exit {
	var ws unix.WaitStatus
	for {
		pid, err := unix.Wait4(h.PID, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && pid == h.PID {
			return exitOf(ws)
		}
		return h.witness(words)
	}
}

// signal sends sig to the process and, where group is set, to its whole
// session. It never reaches another process that got the same number.
func (h *handle) signal(sig unix.Signal, group bool) error {
	var err error
	if raw, e := h.fd.SyscallConn(); e == nil {
		_ = raw.Control(func(fd uintptr) { err = unix.PidfdSendSignal(int(fd), sig, nil, 0) })
	}
	if group && err == nil {
		for _, pid := range sessionMembers(h.PID) {
			_ = unix.Kill(pid, sig)
		}
	}
	return err
}

func (h *handle) release() { h.once.Do(func() { _ = h.fd.Close() }) }

// sessionMembers lists the processes of a session other than its leader.
func sessionMembers(session int) []int {
	var members []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == session {
			continue
		}
		if st, err := readStat(pid); err == nil && st.session == session {
			members = append(members, pid)
		}
	}
	return members
}

// pause stops the process and waits until each of its threads stands still;
// the returned function, which may be called twice, lets it go on.
func (h *handle) pause() (resume func()) {
	resume = func() { _ = h.signal(unix.SIGCONT, false) }
	if h.signal(unix.SIGSTOP, false) != nil {
		return resume
	}
	// Writes to a file are not interrupted: a thread stops after its write,
	// microseconds later. The bound is for a disk that hangs.
	const patience = 10_000
	for range patience {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", h.PID))
		still := true
		for _, task := range tasks {
			data, err := os.ReadFile(task)
			if after := strings.LastIndexByte(string(data), ')'); err == nil && after+2 < len(data) {
				still = still && strings.IndexByte("TtZX", data[after+2]) >= 0
			}
		}
		if still {
			break
		}
	}
	return resume
}
