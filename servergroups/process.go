package servergroups

import (
	"maps"
	"slices"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// process puts the process settings of the host, the group and the server
// together: the later limit goes before the earlier, environments merge,
// arguments follow one another. The host's settings hold for the names that the
// group or the server use.
func (r *resolver) process(c *ServerConfig) error {
	for _, owner := range []struct {
		at     profiles.Address
		nested map[string]any
	}{
		{profiles.Address{{Type: "server-group", Name: r.spec.Group}}, r.group},
		{r.at, r.spec.Settings},
	} {
		named, _ := owner.nested["process"].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(named)) {
			shared, _ := r.snapshot.Processes[name].(map[string]any)
			if err := r.merge(&c.Process, r.host.Child("process", name), shared); err != nil {
				return err
			}
			own, _ := named[name].(map[string]any)
			if err := r.merge(&c.Process, owner.at.Child("process", name), own); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *resolver) merge(p *Process, at profiles.Address, nested map[string]any) error {
	if len(nested) == 0 {
		return nil
	}
	resolved, err := r.resolve(at, nested)
	if err != nil {
		return err
	}
	if limit, ok := resolved["memory-limit"].(int64); ok {
		p.MemoryLimit = limit
	}
	environment, _ := resolved["environment"].(map[string]any)
	for k, v := range environment {
		if p.Environment == nil {
			p.Environment = map[string]string{}
		}
		p.Environment[k], _ = v.(string)
	}
	arguments, _ := resolved["arguments"].([]any)
	for _, v := range arguments {
		if s, ok := v.(string); ok && !slices.Contains(p.Arguments, s) {
			p.Arguments = append(p.Arguments, s)
		}
	}
	return nil
}
