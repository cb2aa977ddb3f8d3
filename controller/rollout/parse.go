package rollout

import (
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// ParsePlan reads a plan in WildFly's syntax: groups in series are parted by
// commas, groups at the same time by "^", properties stand in parentheses, and
// "rollback-across-groups" at the end:
//
//	web(rolling-to-servers=true,max-failed-servers=1),api^batch(batch-size=2,canary=1,soak=30s) rollback-across-groups
func ParsePlan(text string) (Plan, error) {
	var p Plan
	rest, across := strings.CutSuffix(strings.TrimSpace(text), "rollback-across-groups")
	p.AcrossGroups = across
	rest = strings.TrimSpace(rest)
	rest = strings.TrimPrefix(rest, "in-series=")
	for _, step := range split(rest, ',') {
		var groups []Group
		for _, one := range split(step, '^') {
			g, err := parseGroup(strings.TrimSpace(one))
			if err != nil {
				return Plan{}, problem.Invalid.Errorf("cannot read the rollout plan %q: %w", text, err)
			}
			groups = append(groups, g)
		}
		p.Series = append(p.Series, groups)
	}
	return p, nil
}

// split cuts at a separator outside parentheses.
func split(s string, at rune) []string {
	depth, start := 0, 0
	var out []string
	for i, c := range s {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == at && depth == 0:
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

const validProperties = "rolling-to-servers, max-failed-servers, max-failure-percentage, batch-size, canary, soak"

func parseGroup(s string) (Group, error) {
	name, properties, has := strings.Cut(s, "(")
	g := Group{Name: strings.TrimSpace(name)}
	if g.Name == "" {
		return g, problem.Invalid.Errorf("a server group's name is missing")
	}
	if !has {
		return g, nil
	}
	properties, closed := strings.CutSuffix(properties, ")")
	if !closed {
		return g, problem.Invalid.Errorf("group %s: a parenthesis is not closed", g.Name)
	}
	for _, property := range strings.Split(properties, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(property), "=")
		if err := g.set(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return g, problem.Invalid.Errorf("group %s: %w", g.Name, err)
		}
	}
	return g, nil
}

func (g *Group) set(key, value string) (err error) {
	number := func(to *int, most int) {
		if *to, err = strconv.Atoi(value); err != nil || *to < 0 || *to > most {
			err = problem.Invalid.Errorf("%s is %q, want a number from 0 to %d", key, value, most)
		}
	}
	const many = 1_000_000
	switch key {
	case "rolling-to-servers":
		rolling, bad := strconv.ParseBool(value)
		if bad != nil {
			return problem.Invalid.Errorf("%s is %q, want true or false", key, value)
		}
		g.AllAtOnce = !rolling
	case "max-failed-servers":
		number(&g.MaxFailed, many)
	case "max-failure-percentage":
		number(&g.MaxFailedPercent, 100)
	case "batch-size":
		number(&g.BatchSize, many)
	case "canary":
		number(&g.Canary, many)
	case "soak":
		if g.Soak, err = time.ParseDuration(value); err != nil || g.Soak < 0 {
			return problem.Invalid.Errorf("%s is %q, want a duration like 30s", key, value)
		}
	default:
		return problem.Invalid.Errorf("there is no property %q (valid: %s)", key, validProperties)
	}
	return err
}
