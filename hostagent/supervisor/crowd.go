package supervisor

import (
	"strconv"
	"sync/atomic"
)

// crowdedFrom is from how many servers a processor on a server gets fewer threads
// than there are processors.
const crowdedFrom = 4

// crowd is how many servers share the machine's processors. A Go program that has
// a thread for each of them looks for work with every one: fifty servers on two
// processors spend a quarter of their time on it.
type crowd struct {
	processors int
	servers    atomic.Int64
}

// threads is how many processors a server that starts now uses at the same moment.
func (c *crowd) threads() int {
	servers := max(1, int(c.servers.Load()))
	return min(c.processors, (crowdedFrom*c.processors+servers-1)/servers)
}

// env tells a Go program, or is nothing where it would find the same by itself.
func (c *crowd) env() []string {
	if n := c.threads(); n < c.processors {
		return []string{"GOMAXPROCS=" + strconv.Itoa(n)}
	}
	return nil
}
