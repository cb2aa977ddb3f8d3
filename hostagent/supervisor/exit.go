package supervisor

import (
	"bytes"
	"fmt"
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
	// Unknown: nobody was there who could see how, and Code and Signal mean
	// nothing. The policy on-failure takes it for a failure. See witness.go.
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
		why = "ended while no parent was there to see how"
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

// machineKills is how many processes this machine has killed for want of memory.
func machineKills() uint64 {
	n, _ := counter("/proc/vmstat", "oom_kill")
	return n
}

// memoryMarks are the last words of a program that got no memory: of Go's
// runtime, but the last, which is of the race detector.
var memoryMarks = [...]string{"fatal error: runtime: out of memory", "fatal error: out of memory",
	"runtime: cannot allocate memory", "ThreadSanitizer failed to allocate"}

// ranOutOfMemory looks for the marks of memory exhaustion: the kernel's killer
// at work on the server's own group, or on this machine, or the program's last
// words.
func (e Exit) ranOutOfMemory(server string, before kills, lastLines []byte) bool {
	return e.forWantOfMemory(before, killsOf(server), lastLines)
}

func (e Exit) forWantOfMemory(before, now kills, lastLines []byte) bool {
	if e.Problem != "" && !e.Unknown {
		return false
	}
	if now.counted && now.group > before.group {
		return true
	} else if !now.counted && e.Signal == "SIGKILL" && now.machine > before.machine {
		return true
	}
	if e.Code == 0 && !e.Unknown {
		return false
	}
	for _, mark := range memoryMarks {
		if bytes.Contains(lastLines, []byte(mark)) {
			return true
		}
	}
	return false
}

// kills counts the ends for want of memory up to a moment.
type kills struct {
	group, machine uint64
	counted        bool // there is a group, and its kernel counts
}

func killsOf(server string) kills {
	k := kills{machine: machineKills()}
	if dir, err := groupOf(server); err == nil {
		k.group, k.counted = killsIn(dir)
	}
	return k
}
