package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// alone are operations that make revisions or records of their own, which as a
// step could not be taken back with the others, or whose answer is a stream.
var alone = []string{"revert", "apply", "add-host", "remove-host", "revoke", "register-host", "add-controller",
	"remove-controller", "transfer-leadership", "composite", "support-bundle"}

// runs reports whether a step of a composite concerns what runs, and not the
// configuration.
func runs(op profiles.Operation) bool {
	if op.Name == "composite" {
		return slices.ContainsFunc(stepsOf(op), runs)
	}
	at := shapeOf(op.Address.Canonical())
	if own(at, op.Name) == nil {
		return false
	}
	if (at == atHost || at == atConfig) && strings.HasPrefix(op.Name, "read-") && op.Name != "read-log" {
		// Read with the configuration, unless it asks for more.
		return asks(op, "include-runtime") || op.Params["child-type"] == "server" || runtimeAttribute(op)
	}
	return true
}

// stepsOf are the steps of a composite, as far as they can be read.
func stepsOf(op profiles.Operation) []profiles.Operation {
	steps, err := op.Steps()
	if err != nil {
		return nil // told when it is carried out
	}
	return steps
}

// composite runs steps of both kinds: what they change in the configuration
// becomes one revision; then the others are carried out in their order. A step
// of those that fails ends it and takes the revision back (unless the header
// rollback-on-runtime-failure is false); what the steps before it did to what
// runs stays done.
func (d *Desk) composite(ctx context.Context, r request) (api.Response, error) {
	steps, err := r.op.Steps()
	if err != nil {
		return api.Response{}, err
	}
	if !slices.ContainsFunc(steps, runs) {
		return d.configure(ctx, r)
	}
	configuration, err := inConfiguration(steps)
	if err != nil {
		return api.Response{}, err
	}
	before, _ := d.replica.State()
	response, err := d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		before = s
		next, _, result, err := profiles.Apply(s.Tree(), configuration)
		return next, result, err
	})
	if p, planned := response.Result.(plan); planned {
		for i, step := range steps {
			if runs(step) {
				p.Notes = append(p.Notes, fmt.Sprintf("step %d, %s:%s, is carried out after the changes were made", i+1, step.Address, step.Name))
			}
		}
		response.Result = p
		return response, err
	}
	if err != nil {
		return response, err
	}
	return d.runSteps(ctx, r, steps, response, before.Revision())
}

// inConfiguration is the composite with a harmless read in the place of each
// step that is not of the configuration: the numbers of steps stay.
func inConfiguration(steps []profiles.Operation) (profiles.Operation, error) {
	list := slices.Clone(steps)
	for i, step := range list {
		if !runs(step) {
			continue
		}
		if slices.Contains(alone, step.Name) {
			return profiles.Operation{}, problem.Invalid.Errorf("cannot run composite: step %d, %s, cannot be a step: run it alone", i+1, step.Name)
		}
		list[i] = profiles.Operation{Name: "read-children-types"}
	}
	return profiles.Composite(list...), nil
}

// runSteps carries out the steps that concern what runs.
func (d *Desk) runSteps(ctx context.Context, r request, steps []profiles.Operation, response api.Response, before uint64) (api.Response, error) {
	results, ok := response.Result.(map[string]any)
	if !ok { // a rollout's
		results = map[string]any{}
	}
	for i, step := range steps {
		name := fmt.Sprintf("step-%d", i+1)
		if !runs(step) {
			if results[name] == nil {
				results[name] = map[string]any{"outcome": "success"}
			}
			continue
		}
		step.Address = step.Address.Canonical()
		answer, err := d.carryOut(ctx, request{caller: r.caller, op: step, emit: r.emit})
		if err != nil {
			err = problem.KindOf(err).Errorf("cannot run composite: step %d of %d failed: %w; %s", i+1, len(steps), err, d.undo(ctx, r, before, response.Revision))
			return api.Response{Revision: response.Revision}, err
		}
		results[name] = map[string]any{"outcome": "success", "result": answer.Result}
	}
	response.Result = results
	return response, nil
}

// undo takes the revision back that a composite made, and says what is in force.
func (d *Desk) undo(ctx context.Context, r request, before, made uint64) string {
	switch {
	case made == before:
		return "the configuration was not changed"
	case r.op.Headers["rollback-on-runtime-failure"] == false || r.op.Headers["rollback-on-runtime-failure"] == "false":
		return fmt.Sprintf("revision %d stays, as was asked for", made)
	}
	back := request{caller: r.caller, op: profiles.Operation{Name: "restore", Params: map[string]any{"revision": int64(made)},
		Headers: map[string]any{"comment": fmt.Sprintf("a composite failed after revision %d", made)}}}
	var kept []profiles.Retained
	response, err := d.change(ctx, back, func(s domain.State) (tree profiles.Tree, _ any, err error) {
		tree, kept, err = withoutRevisions(s, before, made)
		return tree, nil, err
	})
	if err != nil {
		return fmt.Sprintf("revision %d could not be taken back: %s", made, err)
	}
	return fmt.Sprintf("revision %d was taken back as revision %d%s", made, response.Revision, keptText(placesOf(kept)))
}
