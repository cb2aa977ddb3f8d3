package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended, or why there was none.
type Exit struct {
	At     time.Time
	Code   int
	Signal string // "", or for example SIGKILL
	// OutOfMemory: the machine, or Go's runtime, had no memory left for it.
	OutOfMemory bool
	// Unknown: the exit code cannot be known, and Code and Signal mean nothing.
	// It was adopted from an earlier agent's process, so it was never our child:
	// the kernel gives a child's end to its parent alone, wait(2). The policy
	// on-failure takes it for a failure. An agent that reloads, or restarts its
	// program in the same process, keeps its children and knows their ends.
	Unknown bool
	// Problem is why it could not be started, or why we ended it.
	Problem string
}

func exitOf(ws unix.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: 128 + int(ws.Signal()), Signal: unix.SignalName(ws.Signal())}
	}
	return Exit{Code: ws.ExitStatus()}
}

// fine tells an end with exit code 0.
func (e Exit) fine() bool { return e.Code == 0 && !e.Unknown && e.Problem == "" }

// String is the reason for people.
func (e Exit) String() string {
	var why string
	switch {
	case e.Problem != "":
		return e.Problem
	case e.Unknown:
		why = "ended (exit code unknown: it was adopted)"
	case e.Signal != "":
		why = "ended by " + e.Signal
	default:
		why = fmt.Sprintf("ended with exit code %d", e.Code)
	}
	if e.OutOfMemory {
		why += ", out of memory"
	}
	return why
}

// oomKills is how many processes this machine has killed for want of memory.
func oomKills() uint64 {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, _ := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
			return kills
		}
	}
	return 0
}

// memoryMarks are the last words of a program that got no memory: of Go's
// runtime, but the last, which is of the race detector.
var memoryMarks = [...]string{"fatal error: runtime: out of memory", "fatal error: out of memory",
	"runtime: cannot allocate memory", "ThreadSanitizer failed to allocate"}

// ranOutOfMemory looks for the marks of memory exhaustion: the kernel's killer
// at work since the start, or the program's last words.
func (e Exit) ranOutOfMemory(killsAtStart uint64, lastLines []byte) bool {
	switch {
	case e.Signal == "SIGKILL" && e.Problem == "":
		return oomKills() > killsAtStart
	case e.Code != 0:
		for _, mark := range memoryMarks {
			if bytes.Contains(lastLines, []byte(mark)) {
				return true
			}
		}
	}
	return false
}
