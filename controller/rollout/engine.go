package rollout

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Run carries out rollouts until ctx ends, beginning with one that an earlier
// leader did not finish. Only the leader calls it. A rollout may also be recorded by
// a controller that led until then.
func (e *Engine) Run(ctx context.Context) {
	for seen := uint64(0); ctx.Err() == nil; {
		newer := e.records.Newer()
		if newest := e.newest(); newest != seen {
			seen = newest
			e.carryAll(ctx)
		}
		select {
		case <-newer:
		case <-ctx.Done():
		}
	}
}

// newest is the version of the rollout's record that was written last.
func (e *Engine) newest() (version uint64) {
	for _, rec := range e.records.Records(KindRollout) {
		version = max(version, rec.Version)
	}
	return version
}

func (e *Engine) carryAll(ctx context.Context) {
	list, err := e.List()
	if err != nil {
		e.log.Error().Err(err).Msg("cannot go on with rollouts")
	}
	for _, r := range list {
		if !r.Over() && ctx.Err() == nil {
			e.carry(ctx, r)
		}
	}
}

// run is a rollout being carried out.
type run struct {
	*Engine
	revision uint64

	mu sync.Mutex
	r  Rollout
}

// carry carries a rollout to its end, or to the end of ctx.
func (e *Engine) carry(ctx context.Context, r Rollout) {
	x := &run{Engine: e, revision: r.Revision, r: r}
	e.log.Info().Str("rollout", r.ID).Uint64("revision", r.Revision).Str("state", string(r.State)).Msg("rollout begins or goes on")
	if r.State == Running {
		err := x.forward(ctx)
		switch {
		case ctx.Err() != nil:
			return // the next leader goes on from the record
		case err == nil:
			x.finish(Done, "")
			return
		}
		x.update(func(r *Rollout) { r.State, r.Problem = Restoring, err.Error() })
		e.log.Warn().Str("rollout", r.ID).Err(err).Bool("takes-back", r.Before != 0).Msg("rollout failed")
	}
	if x.r.Before == 0 {
		x.finish(Failed, x.r.Problem)
		return
	}
	if err := x.restore(ctx); err != nil {
		if ctx.Err() == nil {
			x.finish(Failed, x.r.Problem+"; and what it changed could not be taken back everywhere: "+err.Error())
		}
		return
	}
	x.finish(Restored, x.r.Problem)
}

func (x *run) finish(s State, why string) {
	x.update(func(r *Rollout) { r.State, r.Problem, r.Ended = s, why, x.clock.Now().UTC() })
	x.log.Info().Str("rollout", x.r.ID).Str("state", string(s)).Str("problem", why).Msg("rollout ended")
}

// update changes the rollout and records it, for those who follow it, too. What
// cannot be recorded, because the lead was lost, is found out anew by the next
// leader.
func (x *run) update(change func(*Rollout)) {
	x.mu.Lock()
	change(&x.r)
	r := x.r
	r.Servers = slices.Clone(r.Servers)
	value, err := encode(r)
	if err == nil {
		err = x.records.PutAsLeader(KindRollout, r.ID, value, domain.Any)
	}
	x.mu.Unlock()
	if err != nil {
		x.log.Warn().Err(err).Str("rollout", r.ID).Msg("cannot record a step of the rollout")
	}
}

func (x *run) setServer(i int, s State, why string) {
	x.update(func(r *Rollout) { r.Servers[i].State, r.Servers[i].Problem = s, why })
}

// view is a copy of the rollout as it is.
func (x *run) view() Rollout {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.r
	r.Servers = slices.Clone(r.Servers)
	return r
}

func (x *run) server(i int) Server {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.r.Servers[i]
}

// forward carries the plan out. Its error is why the rollout failed.
func (x *run) forward(ctx context.Context) error {
	for _, step := range x.view().Plan.Steps {
		errs := make([]error, len(step.Groups))
		// A group that fails stops the others of its step after their batch.
		stepCtx, stop := context.WithCancelCause(ctx)
		var groups sync.WaitGroup
		for i, g := range step.Groups {
			groups.Go(func() {
				if errs[i] = x.group(ctx, stepCtx, g); errs[i] != nil {
					stop(errs[i])
				}
			})
		}
		groups.Wait()
		stop(nil)
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// group carries the change to one group. ctx ends with the lead; step ends when
// another group of the step failed: a batch that was begun is finished.
func (x *run) group(ctx, step context.Context, g servergroups.GroupPlan) error {
	var members []int
	var names []string
	index := map[string]int{}
	for i, s := range x.view().Servers {
		if s.Group == g.Group {
			name := s.Host + "/" + s.Name
			members, names, index[name] = append(members, i), append(names, name), i
		}
	}
	for _, names := range g.Batches(names) {
		if step.Err() != nil {
			return context.Cause(step)
		}
		batch := make([]int, len(names))
		for i, name := range names {
			batch[i] = index[name]
		}
		x.batch(ctx, batch, g)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := x.verdict(g, members); err != nil {
			return err
		}
	}
	return nil
}

// batch carries the change to some servers at once.
func (x *run) batch(ctx context.Context, servers []int, plan servergroups.GroupPlan) {
	var together sync.WaitGroup
	for _, i := range servers {
		if s := x.server(i).State; s == Pending || s == Running {
			together.Go(func() { x.one(ctx, i, plan) })
		}
	}
	together.Wait()
}

// verdict says whether too many servers of a group have failed.
func (x *run) verdict(g servergroups.GroupPlan, members []int) error {
	failed, last := 0, Server{}
	for _, i := range members {
		if s := x.server(i); s.State == Failed {
			failed, last = failed+1, s
		}
	}
	if failed <= g.Allowed(len(members)) {
		return nil
	}
	return problem.Precondition.Errorf("%s", fmt.Sprintf("group %s: %d of %d servers failed their gate, %d may: %s/%s: %s",
		g.Group, failed, len(members), g.Allowed(len(members)), last.Host, last.Name, last.Problem))
}

// one carries the change to one server.
func (x *run) one(ctx context.Context, i int, plan servergroups.GroupPlan) {
	s := x.server(i)
	x.setServer(i, Running, "")
	state, err := x.bring(ctx, s, x.revision, s.State == Running, plan)
	switch {
	case ctx.Err() != nil: // undecided; it stays running
	case err != nil:
		x.setServer(i, Failed, err.Error())
	default:
		x.setServer(i, state, "")
	}
}

// restore takes back what the revision changed, and brings the servers that got
// it to what is then the newest, all groups at once and as many as there are: the group is down or
// going down. Without rollback-across-groups, groups that were done keep running what
// they run until they are restarted.
func (x *run) restore(ctx context.Context) error {
	r := x.view()
	restoration, err := x.restorer.Restore(ctx, r)
	if err != nil {
		return err
	}
	x.update(func(r *Rollout) { r.RestoredAs, r.Kept = restoration.Revision, restoration.Kept })
	complete := x.completeGroups()
	var together sync.WaitGroup
	errs := make([]error, len(r.Servers))
	for i, s := range r.Servers {
		keep := s.State == Pending || s.State == Skipped || s.State == Restored || complete[s.Group] && !r.Plan.RollbackAcrossGroups
		if keep {
			continue
		}
		together.Go(func() {
			// An earlier leader may have begun: a server that runs the restored
			// revision is left alone.
			if _, errs[i] = x.bring(ctx, s, restoration.Revision, true, servergroups.GroupPlan{}); errs[i] == nil {
				x.setServer(i, Restored, s.Problem)
			}
		})
	}
	together.Wait()
	for i, err := range errs {
		if err != nil {
			return problem.Precondition.Errorf("%s/%s: %w", r.Servers[i].Host, r.Servers[i].Name, err)
		}
	}
	return nil
}

// completeGroups are the groups whose servers are all done.
func (x *run) completeGroups() map[string]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	complete := map[string]bool{}
	for _, s := range x.r.Servers {
		if _, seen := complete[s.Group]; !seen {
			complete[s.Group] = true
		}
		complete[s.Group] = complete[s.Group] && (s.State == Done || s.State == Skipped)
	}
	return complete
}
