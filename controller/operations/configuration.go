package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/raftlog"
)

// configure runs an operation of the management model.
func (d *Desk) configure(ctx context.Context, r request) (api.Response, error) {
	if r.op.ReadOnly() && !r.flag("dry-run") {
		s, _ := d.replica.State()
		_, _, result, err := profiles.Apply(s.Tree(), r.op)
		return api.Response{Result: result, Revision: s.Revision()}, err
	}
	return d.change(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		next, _, result, err := profiles.Apply(s.Tree(), r.op)
		return next, result, err
	})
}

// attempts bounds how often a change is decided anew because another controller
// wrote a revision meanwhile. That can only be one that led before.
const attempts = 3

// change decides a change on the newest revision, commits it, and rolls it out
// when it was asked to. decide gives the next tree and the operation's result;
// it changes nothing itself.
func (d *Desk) change(ctx context.Context, r request, decide func(domain.State) (profiles.Tree, any, error)) (api.Response, error) {
	// A plan that cannot be used is refused before anything is committed.
	if _, _, asked := planHeader(r); asked {
		if _, err := d.planFor(r, nil); err != nil {
			return api.Response{}, err
		}
	}
	var before domain.State
	response, err := d.commitOnce(ctx, r, func(s domain.State) (profiles.Tree, any, error) {
		before = s
		return decide(s)
	})
	if err != nil || response.Revision == before.Revision() {
		return response, err
	}
	return d.carryFurther(ctx, r, response, before)
}

func (d *Desk) commitOnce(ctx context.Context, r request, decide func(domain.State) (profiles.Tree, any, error)) (api.Response, error) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	for attempt := 1; ; attempt++ {
		response, err := d.try(ctx, r, decide)
		if !problem.Is(err, problem.Conflict) || attempt == attempts || r.op.Headers["expect-revision"] != nil {
			return response, err
		}
		s, _ := d.replica.State()
		if s.Revision() == response.Revision {
			return response, err // not for a newer revision
		}
	}
}

func (d *Desk) try(ctx context.Context, r request, decide func(domain.State) (profiles.Tree, any, error)) (api.Response, error) {
	s, _ := d.replica.State()
	base := api.Response{Revision: s.Revision()}
	if err := expected(s, r); err != nil {
		return base, err
	}
	next, result, err := decide(s)
	if err != nil {
		return base, err
	}
	changes := profiles.Diff(s.Tree(), next)
	if r.flag("dry-run") {
		base.Result, err = d.plan(s.Tree(), next, changes)
		return base, err
	}
	if len(changes) == 0 {
		base.Result = result
		return base, nil
	}
	revision, err := d.commit(ctx, r, s.Revision(), changes)
	if err != nil {
		return base, err
	}
	return api.Response{Result: result, Revision: revision, Headers: d.needed(s.Tree(), next, changes)}, nil
}

// commit writes a decided change.
func (d *Desk) commit(ctx context.Context, r request, base uint64, changes profiles.ChangeSet) (uint64, error) {
	text, err := json.Marshal(changes)
	if err != nil {
		return 0, problem.Internal.Errorf("cannot encode the change: %w", err)
	}
	asked, err := json.Marshal(access.MaskOperation(r.op, profiles.Domain))
	if err != nil {
		return 0, problem.Internal.Errorf("cannot encode the operation: %w", err)
	}
	comment, _ := r.op.Headers["comment"].(string)
	return d.replica.Propose(ctx, &raftlog.Entry{
		Author: r.caller.Name,
		Change: &raftlog.Entry_Commit{Commit: &raftlog.Commit{Base: base, Comment: comment, Changes: text, Operation: asked}},
	})
}

// expected refuses a change whose author has not seen the newest revision (the
// header expect-revision, If-Match), and shows what changed in between.
func expected(s domain.State, r request) error {
	header, given := r.op.Headers["expect-revision"]
	if !given {
		return nil
	}
	want, ok := header.(int64)
	if !ok || want < 0 {
		return problem.Invalid.Errorf("cannot run %s: header expect-revision is %v, want a revision's number", r.op.Name, header)
	}
	if uint64(want) == s.Revision() {
		return nil
	}
	var between strings.Builder
	for _, rev := range s.History() {
		if rev.Number > uint64(want) {
			fmt.Fprintf(&between, "\n  revision %d by %s at %s", rev.Number, rev.Author, rev.Time.Format("2006-01-02 15:04:05 UTC"))
			cs, err := rev.ChangeSet()
			if err != nil {
				return err
			}
			for _, c := range masked(s.Tree().Mode(), cs) {
				between.WriteString("\n    " + c.String())
			}
		}
	}
	return problem.Precondition.Errorf("cannot run %s: the domain is at revision %d, not %d; changed in between:%s", r.op.Name, s.Revision(), want, between.String())
}

// masked is a copy of the changes without sensitive values, for texts.
func masked(mode profiles.Mode, cs profiles.ChangeSet) profiles.ChangeSet {
	out := make(profiles.ChangeSet, len(cs))
	for i, c := range cs {
		if d, err := mode.Describe(c.Address); err == nil {
			if a, ok := d.Attribute(c.Attribute); ok && a.Sensitive {
				c.Old, c.New = mask(c.Old), mask(c.New)
			}
			c.Old, c.New = maskAll(d, c.Old), maskAll(d, c.New)
		}
		out[i] = c
	}
	return out
}

func mask(v any) any {
	if v == nil {
		return nil
	}
	return access.Masked
}

// maskAll masks the sensitive attributes of a whole resource.
func maskAll(d *profiles.Description, v any) any {
	attrs, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(attrs))
	for name, value := range attrs {
		if a, ok := d.Attribute(name); ok && a.Sensitive {
			value = mask(value)
		}
		out[name] = value
	}
	return out
}
