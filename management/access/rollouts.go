package access

import (
	"strings"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// isRollout reports whether a value is a rollout, or one of its events: both name
// it. Of its servers, groups and problems only those in scope are shown.
func isRollout(v map[string]any) bool {
	_, named := v["rollout"].(string)
	return named && v["state"] != nil
}

// elsewhere reports whether a value is a rollout of which nothing is in scope.
func (f filter) elsewhere(value any) bool {
	v, ok := value.(map[string]any)
	if !ok || !isRollout(v) {
		return false
	}
	servers, _ := v["servers"].([]any)
	return len(servers) > 0 && len(f.servers(servers)) == 0
}

func (f filter) servers(list []any) []any {
	kept := make([]any, 0, len(list))
	for _, s := range list {
		if at, ok := place(s); !ok || f.visible(at) {
			kept = append(kept, s)
		}
	}
	return kept
}

// rollout filters a rollout or an event of one.
func (f filter) rollout(v map[string]any) map[string]any {
	if f.caller.scopedOnly() { // how many there are in all is not theirs to know
		delete(v, "done")
		delete(v, "total")
	}
	all, whole := v["servers"].([]any)
	if !whole {
		return v
	}
	visible := f.servers(all)
	v["servers"] = visible
	if plan, ok := v["plan"].(map[string]any); ok {
		f.plan(plan)
	}
	if len(visible) < len(all) && v["problem"] != nil {
		v["problem"] = problemsOf(visible)
	}
	if kept, ok := v["kept"].([]any); ok {
		v["kept"] = f.places(kept)
	}
	return v
}

// problemsOf is why a rollout failed as far as these servers are concerned.
func problemsOf(servers []any) string {
	var texts []string
	for _, s := range servers {
		one, _ := s.(map[string]any)
		if text, ok := one["problem"].(string); ok && text != "" {
			at, _ := place(s)
			texts = append(texts, at[0].Name+"/"+at[1].Name+": "+text)
		}
	}
	if len(texts) == 0 {
		return "it was stopped"
	}
	return strings.Join(texts, "; ")
}

// plan takes the groups out of a plan that are not in scope, and the steps that
// are then empty.
func (f filter) plan(plan map[string]any) {
	steps, ok := plan["in-series"].([]any)
	if !ok {
		return
	}
	kept := []any{}
	for _, s := range steps {
		step, _ := s.(map[string]any)
		groups, _ := step["concurrent-groups"].([]any)
		inScope := []any{}
		for _, g := range groups {
			group, _ := g.(map[string]any)
			name, _ := group["server-group"].(string)
			if f.visible(profiles.Address{{Type: "server-group", Name: name}}) {
				inScope = append(inScope, g)
			}
		}
		if len(inScope) > 0 {
			step["concurrent-groups"] = inScope
			kept = append(kept, step)
		}
	}
	plan["in-series"] = kept
}

// places filters texts that begin with an address.
func (f filter) places(list []any) []any {
	kept := []any{}
	for _, element := range list {
		text, _ := element.(string)
		end := len(text)
		if i := strings.IndexAny(text, " :"); i >= 0 {
			end = i
		}
		if at, err := profiles.ParseAddress(text[:end]); err == nil && f.visible(at) {
			kept = append(kept, element)
		}
	}
	return kept
}

// scopedOnly reports whether every role of the caller holds for a part only.
func (c Caller) scopedOnly() bool {
	for _, g := range c.Grants {
		if !g.Scoped() {
			return false
		}
	}
	return true
}
