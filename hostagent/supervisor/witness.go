package supervisor

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel gives a process's end to its parent alone, wait(2). A server that
// was adopted is no child of ours: init, or whoever is set for it, reaps it. How
// it ended is then found out from others, the surest first:
//   - the process while it is a zombie, /proc/<pid>/stat;
//   - its pidfd once it was reaped: kernels since 6.15 keep the end there;
//   - what the server wrote down itself (Spec.LastWords), which a server that
//     was killed could not.

// reapedWithin is how long init may take to reap: it does at once.
const reapedWithin = 500 * time.Millisecond

// witness finds out how a process ended that is not our child, whose pidfd says
// that it has.
func (h *handle) witness(words func(pid int, since time.Time) (int, bool)) Exit {
	if ws, ok := zombieEnd(h.Process); ok {
		return exitOf(ws)
	}
	var ws unix.WaitStatus
	known := false
	if raw, err := h.fd.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { ws, known = kept(int(fd)) })
	}
	if known {
		return exitOf(ws)
	}
	return h.Process.missed(words)
}

// missed is how a process ended that nobody of us watched.
func (p Process) missed(words func(pid int, since time.Time) (int, bool)) Exit {
	if words != nil {
		if code, ok := words(p.PID, p.Started); ok {
			return Exit{Code: code}
		}
	}
	if boot, err := BootID(); err == nil && boot != p.Boot {
		return Exit{Unknown: true, Problem: "ended with the machine, which was booted anew"}
	}
	return Exit{Unknown: true}
}

// zombieEnd reads the end of a process that nobody has reaped yet. The kernel shows
// it to the process's own user.
func zombieEnd(p Process) (ws unix.WaitStatus, ok bool) {
	st, err := readStat(p.PID)
	if err != nil || st.state != 'Z' || st.start != p.StartTicks {
		return 0, false
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/stat")
	if err != nil {
		return 0, false
	}
	const exitCode = 52
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(f) < exitCode-2 {
		return 0, false
	}
	code, err := strconv.ParseUint(f[exitCode-3], 10, 32)
	// 0 is also what is shown to those who may not know.
	return unix.WaitStatus(code), err == nil && code != 0
}

// kept asks a pidfd for the end of its process, once that was reaped.
func kept(fd int) (ws unix.WaitStatus, ok bool) {
	for {
		// Reaped: the pidfd hangs up.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, int(reapedWithin.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return 0, false
		}
		break
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false
	}
	return unix.WaitStatus(info.Exit_code), true
}
