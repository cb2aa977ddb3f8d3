package supervisor

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Each server has a control group (version 2) of its own where the agent's is
// delegated to it, as its systemd unit asks for: it bounds and counts the memory
// of all the server's processes, and none of them can leave it.

// delegated is the agent's own group below the one that systemd delegates to
// it: DelegateSubgroup= in its unit. Servers get groups beside it.
const delegated = "agent"

var errNotDelegated = errors.New("no control group of version 2 is delegated to this agent")

// groupOf is where a server's control group is, below what is delegated to the
// agent; an error where nothing is.
func groupOf(server string) (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	agent, err := unifiedGroup(string(own), string(mounts))
	if err != nil {
		return "", err
	}
	if filepath.Base(agent) != delegated {
		return "", errNotDelegated
	}
	return filepath.Join(filepath.Dir(agent), "server-"+url.PathEscape(server)), nil
}

// unifiedGroup is the folder of a process's group of version 2, from its
// /proc/<pid>/cgroup (cgroups(7)) and mountinfo (proc(5)). Beside it there may be
// groups of version 1, which are not used.
func unifiedGroup(own, mounts string) (string, error) {
	path, found := "", false
	for line := range strings.Lines(own) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path, found = p, true
		}
	}
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		if !found || len(f) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		// A mount may show only a part of the hierarchy.
		if below, err := filepath.Rel(f[3], path); err == nil && below != ".." && !strings.HasPrefix(below, "../") {
			return filepath.Join(unescaped(f[4]), below), nil
		}
	}
	return "", errNotDelegated
}

// unescaped reads a path of mountinfo, where blanks are \040.
func unescaped(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

// enclose moves a process to a control group of its server's own and bounds its
// memory there; limit 0 is no bound.
func enclose(server string, pid int, limit int64) error {
	dir, err := groupOf(server)
	if err != nil {
		return err
	}
	return encloseIn(dir, pid, limit)
}

func encloseIn(dir string, pid int, limit int64) error {
	// The group above counts and bounds the memory of those below it only if it
	// says so; a kernel that has memory elsewhere (version 1) refuses.
	above := os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte("+memory"), 0)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	bound := "max"
	if limit > 0 {
		bound = strconv.FormatInt(limit, 10)
	}
	unbounded := os.WriteFile(filepath.Join(dir, "memory.max"), []byte(bound), 0)
	if unbounded == nil { // one process less of a server is no server
		_ = os.WriteFile(filepath.Join(dir, "memory.oom.group"), []byte("1"), 0)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return err
	}
	if limit > 0 && unbounded != nil {
		return problem.Unsupported.Errorf("cannot limit the memory of control group %s: %w", dir, errors.Join(above, unbounded))
	}
	return nil
}

// dissolve ends what is left in the group of a server that has ended, also what
// left its session, and removes the group.
func dissolve(server string) {
	if dir, err := groupOf(server); err == nil {
		dissolveIn(dir)
	}
}

func dissolveIn(dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) // 5.14
	_ = os.Remove(dir)                                                  // not there, or a child still ends: the next start uses it
}

// killsIn is how many processes of a control group the kernel has killed for want
// of memory, of the group's or of the machine's; known is false where it does not
// count.
func killsIn(dir string) (n uint64, known bool) {
	return counter(filepath.Join(dir, "memory.events"), "oom_kill")
}

// counter reads one line "name number" of a file.
func counter(file, name string) (n uint64, found bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err = strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
