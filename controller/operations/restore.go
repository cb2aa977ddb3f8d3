package operations

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/rollout"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Restore implements rollout.Restorer: it takes back what the rollout's revision
// changed, and nothing that anybody changed since. What it made is known by its
// comment: a leader that was lost between the revision and its note of it has
// still made it.
func (d *Desk) Restore(ctx context.Context, ro rollout.Rollout) (rollout.Restoration, error) {
	mark := "rollout " + ro.ID + " failed: "
	s, _ := d.replica.State()
	for _, revision := range s.History() {
		if revision.Number > ro.Revision && strings.HasPrefix(revision.Comment, mark) {
			return restoredAs(s, ro, revision.Number)
		}
	}
	r := request{
		caller: access.Caller{Name: ro.Author, Mechanism: access.Local},
		op:     profiles.Operation{Name: "restore", Params: map[string]any{"rollout": ro.ID}, Headers: map[string]any{"comment": mark + ro.Problem}},
	}
	var kept []profiles.Retained
	response, err := d.change(ctx, r, func(s domain.State) (tree profiles.Tree, _ any, err error) {
		tree, kept, err = withoutRevisions(s, ro.Before, ro.Revision)
		return tree, nil, err
	})
	return rollout.Restoration{Revision: response.Revision, Kept: placesOf(kept)}, err
}

// restoredAs is the restoration that made a revision.
func restoredAs(s domain.State, ro rollout.Rollout, made uint64) (rollout.Restoration, error) {
	then, err := s.At(made - 1)
	if err != nil {
		return rollout.Restoration{}, err
	}
	_, kept, err := takeBack(s, ro.Before, ro.Revision, then)
	return rollout.Restoration{Revision: made, Kept: placesOf(kept)}, err
}

// withoutRevisions is the newest model without what led from one revision to a
// later one. One that would be wrong as a whole is refused.
func withoutRevisions(s domain.State, before, made uint64) (profiles.Tree, []profiles.Retained, error) {
	now := s.Tree()
	tree, kept, err := takeBack(s, before, made, now)
	if err != nil {
		return now, nil, err
	}
	known := now.Check() // by an older version, say
	for _, issue := range tree.Check() {
		if !slices.ContainsFunc(known, func(k profiles.Issue) bool { return k.String() == issue.String() }) {
			return now, nil, problem.WithHint(problem.Invalid.Errorf("cannot take back what revision %d changed: it does not fit to what was changed since: %s", made, issue),
				"change that, and then :revert or write what is wanted")
		}
	}
	return tree, kept, nil
}

func takeBack(s domain.State, before, made uint64, now profiles.Tree) (profiles.Tree, []profiles.Retained, error) {
	base, err := s.At(before)
	if err != nil {
		return now, nil, err
	}
	failed, err := s.At(made)
	if err != nil {
		return now, nil, err
	}
	tree, kept := profiles.TakeBack(base, failed, now)
	return tree, kept, nil
}

func placesOf(kept []profiles.Retained) []string {
	var list []string
	for _, k := range kept {
		list = append(list, k.String())
	}
	return list
}

// keptText ends a sentence about what was taken back.
func keptText(kept []string) string {
	if len(kept) == 0 {
		return ""
	}
	return "; it stays as it is, since it was changed again: " + strings.Join(kept, ", ")
}
