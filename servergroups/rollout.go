package servergroups

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Plan says how a change is carried to the servers: steps in series, the groups
// of a step at the same time. Its text is WildFly's:
//
//	rollout (id=my-plan) main(rolling-to-servers=false,max-failed-servers=1), other^third rollback-across-groups
//	in-series: comma; concurrent-groups: ^
//
// and beyond it batch-size, canary, soak, max-error-rate and require-cluster.
type Plan struct {
	ID                   string `json:"id,omitempty"` // a stored plan; the steps are then its
	Steps                []Step `json:"in-series,omitempty"`
	RollbackAcrossGroups bool   `json:"rollback-across-groups"`
}

// Step is the groups that are rolled to at the same time.
type Step struct {
	Groups []GroupPlan `json:"concurrent-groups"`
}

// GroupPlan says how the servers of one group are rolled to.
type GroupPlan struct {
	Group   string `json:"server-group"`
	Rolling bool   `json:"rolling-to-servers"` // batch after batch; otherwise all at once
	// MaxFailedServers and MaxFailurePercentage are how many servers may fail
	// before the group is rolled back; the percentage holds when it is not 0.
	MaxFailedServers     int           `json:"max-failed-servers"`
	MaxFailurePercentage int           `json:"max-failure-percentage,omitempty"`
	BatchSize            int           `json:"batch-size"`       // servers at the same moment, at least 1
	Canary               int           `json:"canary,omitempty"` // servers of the first batch, before all others; 0 for none
	Soak                 time.Duration `json:"soak,omitempty"`   // how long a batch must stay healthy before the next, nanoseconds
	// MaxErrorRate is how many percent of the requests to a server may fail from
	// its restart to the end of its soak: those that it answers with 5xx, and those
	// that load balancers see fail; nil: it is not asked. Judging takes time: a plan
	// with an error rate and no soak soaks for DefaultErrorSoak.
	MaxErrorRate *float64 `json:"max-error-rate,omitempty"`
	// RequireCluster: all servers of the group and site that are up must see the
	// same members before a server has passed its gate.
	RequireCluster bool `json:"require-cluster,omitempty"`
}

// DefaultErrorSoak is how long a server is watched for errors when its plan has
// no soak: hosts tell the counts of requests every 10 s, and errors at once.
const DefaultErrorSoak = 30 * time.Second

// Watch is how long a batch is watched after its gate.
func (g GroupPlan) Watch() time.Duration {
	if g.Soak == 0 && g.MaxErrorRate != nil {
		return DefaultErrorSoak
	}
	return g.Soak
}

// The gate of the default plan: a server is watched for SafeSoak after it became
// ready, and fails if more than SafeErrorRate percent of the requests to it do.
// Servers that work answer next to nothing with 5xx, those that do not nearly
// everything; errors are known within two seconds. Load balancers spare a server
// for 10 s: shorter, and in a quiet domain there is too little to judge.
const (
	SafeSoak      = 10 * time.Second
	SafeErrorRate = 20.0
)

// DefaultPlan is the safe one: group after group, one server at a time, each
// watched for errors; stop and restore at the first failure.
func DefaultPlan(groups []string) Plan {
	p := Plan{RollbackAcrossGroups: true}
	for _, name := range groups {
		g, rate := defaultGroup(name), SafeErrorRate
		g.Soak, g.MaxErrorRate = SafeSoak, &rate
		p.Steps = append(p.Steps, Step{[]GroupPlan{g}})
	}
	return p
}

func defaultGroup(name string) GroupPlan {
	return GroupPlan{Group: name, Rolling: true, BatchSize: 1}
}

// Allowed is how many of a group's servers may fail.
func (g GroupPlan) Allowed(servers int) int {
	if g.MaxFailurePercentage > 0 {
		return servers * g.MaxFailurePercentage / 100
	}
	return g.MaxFailedServers
}

// Batches puts the servers of a group into the order of the plan: the canaries,
// then batches. Servers keep the order they are given in.
func (g GroupPlan) Batches(servers []string) [][]string {
	var out [][]string
	rest := servers
	if g.Canary > 0 && len(rest) > 0 {
		n := min(g.Canary, len(rest))
		out, rest = append(out, rest[:n]), rest[n:]
	}
	size := max(g.BatchSize, 1)
	if !g.Rolling {
		size = max(len(rest), 1)
	}
	return slices.AppendSeq(out, slices.Chunk(rest, size))
}

// String is the plan's text; ParsePlan reads it back.
func (p Plan) String() string {
	if p.ID != "" {
		return "id=" + p.ID
	}
	var steps []string
	for _, s := range p.Steps {
		var groups []string
		for _, g := range s.Groups {
			groups = append(groups, g.String())
		}
		steps = append(steps, strings.Join(groups, "^"))
	}
	text := strings.Join(steps, ",")
	if p.RollbackAcrossGroups {
		text += " rollback-across-groups"
	}
	return text
}

// String is the group's part of the text: its name and what differs from the
// default.
func (g GroupPlan) String() string {
	var opts []string
	add := func(differs bool, format string, v any) {
		if differs {
			opts = append(opts, fmt.Sprintf(format, v))
		}
	}
	add(!g.Rolling, "rolling-to-servers=%v", g.Rolling)
	add(g.MaxFailedServers != 0, "max-failed-servers=%v", g.MaxFailedServers)
	add(g.MaxFailurePercentage != 0, "max-failure-percentage=%v", g.MaxFailurePercentage)
	add(g.BatchSize != 1, "batch-size=%v", g.BatchSize)
	add(g.Canary != 0, "canary=%v", g.Canary)
	add(g.Soak != 0, "soak=%v", g.Soak)
	if g.MaxErrorRate != nil {
		add(true, "max-error-rate=%v", strconv.FormatFloat(*g.MaxErrorRate, 'f', -1, 64))
	}
	add(g.RequireCluster, "require-cluster=%v", g.RequireCluster)
	if len(opts) == 0 {
		return g.Group
	}
	return g.Group + "(" + strings.Join(opts, ",") + ")"
}

// ParsePlan reads a plan's text. It refuses a group that is there twice, an
// option that does not exist and a value that makes no sense.
func ParsePlan(text string) (Plan, error) {
	p := planParser{text: text}
	plan, err := p.plan()
	if err != nil {
		return Plan{}, problem.Invalid.Errorf("cannot read the rollout plan %q: column %d: %w", text, p.pos+1, err)
	}
	return plan, nil
}

type planParser struct {
	text string
	pos  int
}

// stops end a bare word.
const stops = " \t\r\n,^()=;{}"

func (p *planParser) blanks() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// take skips blanks and one character if it is there.
func (p *planParser) take(c byte) bool {
	p.blanks()
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

func (p *planParser) word() string {
	p.blanks()
	start := p.pos
	for p.pos < len(p.text) && strings.IndexByte(stops, p.text[p.pos]) < 0 {
		p.pos++
	}
	return p.text[start:p.pos]
}

func (p *planParser) plan() (Plan, error) {
	var plan Plan
	p.blanks()
	if rest, ok := strings.CutPrefix(p.text[p.pos:], "rollout "); ok {
		p.pos = len(p.text) - len(rest)
	}
	seen := map[string]bool{}
	for {
		step, err := p.step(seen)
		if err != nil {
			return plan, err
		}
		if len(step.Groups) == 1 && step.Groups[0].Group == "id" && p.take('=') {
			return p.stored(plan)
		}
		plan.Steps = append(plan.Steps, step)
		if !p.take(',') {
			break
		}
	}
	return p.end(plan)
}

// stored reads id=name.
func (p *planParser) stored(plan Plan) (Plan, error) {
	if plan.ID = p.word(); plan.ID == "" {
		return plan, problem.Invalid.Errorf("id= needs the name of a stored plan")
	}
	return p.end(plan)
}

// end reads what may follow the steps.
func (p *planParser) end(plan Plan) (Plan, error) {
	if p.blanks(); p.pos == len(p.text) {
		return plan, nil
	}
	start := p.pos
	if p.word() != "rollback-across-groups" {
		p.pos = start
		return plan, problem.Invalid.Errorf("%q is not expected here (valid: a comma, ^, rollback-across-groups)", p.text[start:])
	}
	plan.RollbackAcrossGroups = true
	if p.take('=') {
		v, err := strconv.ParseBool(p.word())
		if err != nil {
			return plan, problem.Invalid.Errorf("rollback-across-groups must be true or false")
		}
		plan.RollbackAcrossGroups = v
	}
	if p.blanks(); p.pos != len(p.text) {
		return plan, problem.Invalid.Errorf("%q follows the plan", p.text[p.pos:])
	}
	return plan, nil
}

func (p *planParser) step(seen map[string]bool) (Step, error) {
	var s Step
	for {
		name := p.word()
		if name == "" {
			return s, problem.Invalid.Errorf("a server group's name is missing")
		}
		g := defaultGroup(name)
		if p.take('(') {
			if err := p.options(&g); err != nil {
				return s, err
			}
		}
		if seen[name] {
			return s, problem.Invalid.Errorf("server group %q is there twice", name)
		}
		seen[name] = true
		s.Groups = append(s.Groups, g)
		if !p.take('^') {
			return s, nil
		}
	}
}

func (p *planParser) options(g *GroupPlan) error {
	for !p.take(')') {
		name := p.word()
		value := "true" // an option alone is switched on
		if p.take('=') {
			value = p.word()
		}
		if err := g.set(name, value); err != nil {
			return err
		}
		if !p.take(',') && (p.pos >= len(p.text) || p.text[p.pos] != ')') {
			return problem.Invalid.Errorf("a comma or ) is missing after %q", name)
		}
	}
	return nil
}

// set sets one option of a group.
func (g *GroupPlan) set(name, value string) error {
	number := func(to *int, least, most int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return problem.Invalid.Errorf("%s must not be %q (valid: %d to %d)", name, value, least, most)
		}
		*to = n
		return nil
	}
	truth := func(to *bool) error {
		v, err := strconv.ParseBool(value)
		if err != nil {
			return problem.Invalid.Errorf("%s must be true or false, not %q", name, value)
		}
		*to = v
		return nil
	}
	switch name {
	case "rolling-to-servers":
		return truth(&g.Rolling)
	case "require-cluster":
		return truth(&g.RequireCluster)
	case "max-error-rate":
		v, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err != nil || !(v >= 0 && v <= 100) {
			return problem.Invalid.Errorf("%s must not be %q (valid: 0 to 100, in percent, as 0.5)", name, value)
		}
		g.MaxErrorRate = &v
		return nil
	case "max-failed-servers":
		return number(&g.MaxFailedServers, 0, 1<<20)
	case "max-failure-percentage":
		return number(&g.MaxFailurePercentage, 0, 100)
	case "batch-size":
		return number(&g.BatchSize, 1, 1<<20)
	case "canary":
		return number(&g.Canary, 0, 1<<20)
	case "soak":
		v, err := time.ParseDuration(value)
		if err != nil || v < 0 {
			return problem.Invalid.Errorf("%s must not be %q (valid: a time as 30s or 2m)", name, value)
		}
		g.Soak = v
		return nil
	}
	return problem.Invalid.Errorf("there is no option %q (valid: rolling-to-servers, max-failed-servers, max-failure-percentage, batch-size, canary, soak, max-error-rate, require-cluster)", name)
}
