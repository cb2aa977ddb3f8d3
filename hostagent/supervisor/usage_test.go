package supervisor

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAProcessIsMeasured(t *testing.T) {
	u, err := Measure("one", os.Getpid())
	if err != nil || u.ResidentBytes < 1<<20 || u.OpenFiles < 3 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := Measure("one", 1<<30); err == nil {
		t.Error("a process that cannot be was measured")
	}
}

// The files are as cgroups-v2 of the kernel's Admin Guide describes them.
func TestAControlGroupIsMeasured(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"memory.current": "73400320\n",
		"cpu.stat":       "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var u Usage
	u.measureGroup(dir)
	if u.GroupMemoryBytes != 70<<20 || u.GroupCPUSeconds != 2.5 {
		t.Errorf("%+v", u)
	}
	var none Usage
	none.measureGroup(filepath.Join(dir, "not-delegated"))
	if none != (Usage{}) {
		t.Errorf("without a group: %+v", none)
	}
}

func TestASpareProgramStartsAServerWhoseOwnIsBeingReplaced(t *testing.T) {
	s, _ := newTest(t, quick())
	spec := specOf(t, "one", "serve")
	spec.Command = append([]string{filepath.Join(t.TempDir(), "not-there-yet")}, spec.Command[1:]...)
	spec.Spare = "/proc/self/exe"
	begin(t, s, spec)
	says(t, s, "one", "started with the agent's own program: fork/exec")
}
