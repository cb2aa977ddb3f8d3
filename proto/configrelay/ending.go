package configrelay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// endingFile is where a server writes down how it ended, below its folder.
const endingFile = "data/ended.json"

// Ending is a server's own record of how its process ended: its agent, which may
// have been started after it, is not its parent then and learns it nowhere else
// on kernels before 6.15. A process that is killed leaves none.
type Ending struct {
	PID  int       `json:"pid"`
	Code int       `json:"code"` // that it exits with
	At   time.Time `json:"at"`
}

// Write replaces the record in a server's folder as a whole.
func (e Ending) Write(dir string) error {
	text, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot write down how the server ended: %w", err)
	}
	path := filepath.Join(dir, endingFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("cannot write down how the server ended: %w", err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("cannot write down how the server ended: %w", err)
	}
	return os.Rename(path+".new", path)
}

// EndingOf reads the record that the process pid, which began at since, left in
// a server's folder; found is false where it left none. A record of an earlier
// process is none.
func EndingOf(dir string, pid int, since time.Time) (e Ending, found bool) {
	text, err := os.ReadFile(filepath.Join(dir, endingFile))
	if err != nil || json.Unmarshal(text, &e) != nil {
		return Ending{}, false
	}
	// The clock may have been set back a little meanwhile; the number is not used
	// again that soon.
	const slack = time.Minute
	return e, e.PID == pid && pid > 0 && e.At.After(since.Add(-slack))
}
