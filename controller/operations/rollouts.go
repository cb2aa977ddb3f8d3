package operations

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/rollout"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// rollouts lists the rollouts kept, the newest first.
func (d *Desk) rollouts(context.Context, request) (api.Response, error) {
	list, err := d.engine.List()
	slices.Reverse(list)
	if list == nil {
		list = []rollout.Rollout{}
	}
	return api.Response{Result: list}, err
}

// LastRollout is the newest rollout that is kept, if there is one.
func (d *Desk) LastRollout() (rollout.Rollout, bool) {
	list, err := d.engine.List()
	if err != nil || len(list) == 0 {
		return rollout.Rollout{}, false
	}
	return list[len(list)-1], true
}

// rollingRestart restarts the servers of the domain or a group, in order, behind
// health gates. A failure stops it; there is nothing to restore.
func (d *Desk) rollingRestart(ctx context.Context, r request) (api.Response, error) {
	s, _ := d.replica.State()
	var reached []rollout.Server
	for _, one := range d.below(r.op.Address) {
		reached = append(reached, rollout.Server{Host: one.host, Name: one.name, Group: one.group, Need: rollout.NeedRestart})
	}
	return d.roll(ctx, r, api.Response{Revision: s.Revision()}, rollout.Rollout{Revision: s.Revision(), Servers: reached})
}

// carryFurther rolls a committed change out, when its operation asked for it
// with the header rollout (or rollout-plan).
func (d *Desk) carryFurther(ctx context.Context, r request, response api.Response, before domain.State) (api.Response, error) {
	if _, _, asked := planHeader(r); !asked {
		return response, nil
	}
	after, _ := d.replica.State()
	p, err := d.plan(before.Tree(), after.Tree(), profiles.Diff(before.Tree(), after.Tree()))
	if err != nil {
		return response, err
	}
	var reached []rollout.Server
	for _, a := range p.Servers {
		need := map[profiles.Effect]rollout.Need{profiles.Reload: rollout.NeedReload, profiles.Restart: rollout.NeedRestart}[a.Effect]
		if need == "" {
			need = rollout.NeedNothing
		}
		reached = append(reached, rollout.Server{Host: a.Host, Name: a.Server, Group: a.Group, Need: need})
	}
	return d.roll(ctx, r, response, rollout.Rollout{Revision: response.Revision, Before: before.Revision(), Servers: reached})
}

// roll starts a rollout and waits until it is over.
func (d *Desk) roll(ctx context.Context, r request, response api.Response, ro rollout.Rollout) (api.Response, error) {
	if len(ro.Servers) == 0 {
		return response, nil
	}
	plan, err := d.planFor(r, ro.Servers)
	if err != nil {
		return response, err
	}
	ro.Plan, ro.Author = plan, r.caller.Name
	if ro, err = d.engine.Start(ctx, ro); err != nil {
		return response, err
	}
	ro, err = d.engine.Follow(ctx, ro.ID, func(e rollout.Event) error {
		if r.emit == nil {
			return nil
		}
		return r.emit(e)
	})
	if err != nil {
		return response, err
	}
	response.Result = ro
	if ro, err = d.seen(r, ro); err != nil {
		return response, err
	}
	switch ro.State {
	case rollout.Restored:
		return response, problem.Precondition.Errorf("rollout %s of revision %d failed: %s; what it changed was restored as revision %d%s", ro.ID, ro.Revision, ro.Problem, ro.RestoredAs, keptText(ro.Kept))
	case rollout.Failed:
		if ro.Before == 0 {
			return response, problem.WithHint(problem.Precondition.Errorf("rollout %s failed: %s; no further server was restarted, and no change was taken back", ro.ID, ro.Problem),
				"a restart makes no change of its own; if a change that waited for it is at fault, find it with :history and take it back with :revert(to=REVISION){rollout default}")
		}
		return response, problem.Precondition.Errorf("rollout %s of revision %d failed: %s", ro.ID, ro.Revision, ro.Problem)
	}
	return response, nil
}

// seen is a rollout as its caller may see it.
func (d *Desk) seen(r request, ro rollout.Rollout) (seen rollout.Rollout, err error) {
	visible, err := access.Filter(r.caller, r.op, d.Tree(), ro)
	if err != nil {
		return ro, err
	}
	text, err := json.Marshal(visible)
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	if err != nil {
		return ro, problem.Internal.Errorf("cannot read rollout %s: %w", ro.ID, err)
	}
	return seen, nil
}

// planHeader is the plan that an operation's headers ask for, by text or by the
// name of a stored one.
func planHeader(r request) (text, stored string, asked bool) {
	for _, name := range []string{"rollout", "rollout-plan"} {
		switch v := r.op.Headers[name].(type) {
		case string:
			return v, "", true
		case bool:
			return "", "", v
		case map[string]any:
			if id, ok := v["id"].(string); ok {
				return "", id, true
			}
			if id, ok := v["name"].(string); ok {
				return "", id, true
			}
			return "", "", true
		}
	}
	return "", "", false
}

// planFor gives the plan of a rollout: the one asked for, completed by the groups
// that it does not name; otherwise the safe one.
func (d *Desk) planFor(r request, reached []rollout.Server) (servergroups.Plan, error) {
	var groups []string
	for _, s := range reached {
		groups = append(groups, s.Group)
	}
	slices.Sort(groups)
	safe := servergroups.DefaultPlan(slices.Compact(groups))
	text, stored, _ := planHeader(r)
	if stored == "" && (text == "" || text == "default") {
		return safe, nil
	}
	plan, err := d.readPlan(text, stored)
	if err != nil {
		return plan, err
	}
	for _, step := range plan.Steps {
		for _, g := range step.Groups {
			if !d.Tree().Has(profiles.Address{{Type: "server-group", Name: g.Group}}) {
				return plan, problem.NotFound.Errorf("cannot use the rollout plan: there is no server group %q (groups: %v)", g.Group, d.Tree().Names(nil, "server-group"))
			}
			safe.Steps = slices.DeleteFunc(safe.Steps, func(s servergroups.Step) bool { return s.Groups[0].Group == g.Group })
		}
	}
	plan.Steps = append(plan.Steps, safe.Steps...)
	return plan, nil
}

// readPlan reads a plan, given by its text or by the name of a stored one.
func (d *Desk) readPlan(text, stored string) (servergroups.Plan, error) {
	if stored == "" {
		plan, err := servergroups.ParsePlan(text)
		if err != nil || plan.ID == "" {
			return plan, err
		}
		stored = plan.ID
	}
	at := profiles.Address{{Type: "rollout-plan", Name: stored}}
	if !d.Tree().Has(at) {
		return servergroups.Plan{}, problem.NotFound.Errorf("cannot find rollout plan %q (plans: %v)", stored, d.Tree().Names(nil, "rollout-plan"))
	}
	content, _ := d.Tree().Attribute(at, "content").(string)
	return servergroups.ParsePlan(content)
}
