package rollout

import (
	"slices"
	"time"
)

// Plan is the order in which a change reaches the server groups: WildFly's
// rollout plan, and more.
type Plan struct {
	// Series are carried out one after the other; the groups of one at the same
	// time.
	Series [][]Group `json:"in-series"`
	// AcrossGroups takes back the groups that were done when a later one fails.
	// The model is restored in any case.
	AcrossGroups bool `json:"rollback-across-groups,omitempty"`
}

// Group is how a change reaches one server group.
type Group struct {
	Name string `json:"server-group"`
	// AllAtOnce is WildFly's rolling-to-servers=false.
	AllAtOnce bool `json:"all-at-once,omitempty"`
	// MaxFailed servers may fail before the group has; MaxFailedPercent, if not 0,
	// stands for it.
	MaxFailed        int `json:"max-failed-servers,omitempty"`
	MaxFailedPercent int `json:"max-failure-percentage,omitempty"`
	// Canary servers go first, alone; then BatchSize at a time (0 is 1).
	Canary    int `json:"canary,omitempty"`
	BatchSize int `json:"batch-size,omitempty"`
	// Soak is how long the servers of a batch must stay healthy before the next.
	Soak time.Duration `json:"soak,omitempty"` // nanoseconds
}

// Safe is the default plan: the groups one after the other in the order of their
// names, one server at a time, back at the first failure.
func Safe(groups []string) Plan {
	p := Plan{AcrossGroups: true}
	for _, g := range slices.Compact(slices.Sorted(slices.Values(groups))) {
		p.Series = append(p.Series, []Group{{Name: g}})
	}
	return p
}

// Names lists the groups of the plan.
func (p Plan) Names() []string {
	var list []string
	for _, step := range p.Series {
		for _, g := range step {
			list = append(list, g.Name)
		}
	}
	return list
}

// batches cuts the servers of a group, given by their indexes, into those that
// go together.
func (g Group) batches(servers []int) [][]int {
	if g.AllAtOnce || len(servers) == 0 {
		return [][]int{servers}
	}
	var out [][]int
	if g.Canary > 0 {
		n := min(g.Canary, len(servers))
		out, servers = append(out, servers[:n]), servers[n:]
	}
	return append(out, slices.Collect(slices.Chunk(servers, max(1, g.BatchSize)))...)
}

// tolerated is how many of n servers may fail.
func (g Group) tolerated(n int) int {
	if g.MaxFailedPercent > 0 {
		return n * g.MaxFailedPercent / 100
	}
	return g.MaxFailed
}
