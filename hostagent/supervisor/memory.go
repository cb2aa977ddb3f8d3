package supervisor

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// A memory limit works three times, softest first:
//   - GOMEMLIMIT at nine tenths of it: the runtime collects harder;
//   - memory.max of a control group of the server's own, where there is one;
//   - RLIMIT_DATA where there is not: a bound on writable private memory, with
//     headroom because the runtime maps memory before it uses it.
const (
	goLimitTenths   = 9
	dataHeadroom    = 192 << 20
	dataHeadroomDiv = 4 // plus a quarter of the limit
)

// memoryEnv is what tells a Go program its limit, or nothing.
func memoryEnv(limit int64) []string {
	if limit <= 0 {
		return nil
	}
	return []string{"GOMEMLIMIT=" + strconv.FormatInt(limit/10*goLimitTenths, 10)}
}

// limitMemory encloses and bounds the process, which has not begun its work yet.
func limitMemory(server string, pid int, limit int64) error {
	if enclose(server, pid, limit) == nil || limit <= 0 {
		return nil
	}
	data := uint64(limit + limit/dataHeadroomDiv + dataHeadroom)
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: data, Max: data}, nil); err != nil {
		return fmt.Errorf("cannot limit the memory of server %q to %d bytes: %w", server, limit, err)
	}
	return nil
}
