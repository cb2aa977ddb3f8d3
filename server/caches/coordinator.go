package caches

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

const (
	askLimit = time.Second           // for one member's answer to the coordinator
	unrest   = 50 * time.Millisecond // before the coordinator looks again while something is open
	patrol   = 2 * time.Second       // and while nothing is
	sweeping = 10 * time.Second      // between two looks for what has expired
)

// Run takes part until ctx ends. Start it when the cluster has been joined,
// and call Leave before ending it where entries must outlive this server even
// with one owner.
func (d *Distributed) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer d.busy.Wait()
	defer wg.Wait()
	defer func() {
		d.mu.Lock() // see carry
		defer d.mu.Unlock()
		d.end()
	}()
	defer stop()
	wg.Go(func() { d.coordinate(life) })
	wg.Go(func() { d.work(life) })
	tick := d.cfg.Clock.NewTicker(d.cfg.Sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			before := d.now() - sweeping.Milliseconds()
			for i := range d.segs {
				d.segs[i].sweep(before)
			}
			d.sweepIdle(ctx)
		}
	}
}

// coordinate numbers the placements while this member is the oldest.
func (d *Distributed) coordinate(ctx context.Context) {
	for ctx.Err() == nil {
		view, changed := d.cfg.Mesh.View()
		wait := patrol
		if view.Oldest().Name == d.self.Name && !d.decide(ctx, view) {
			wait = unrest
		}
		t := d.cfg.Clock.NewTimer(wait)
		select {
		case <-changed:
		case <-d.kick:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// decide makes the next placement, if one is due, and reports whether all
// members have the last one.
func (d *Distributed) decide(ctx context.Context, view cluster.View) (settled bool) {
	reports, ok := d.query(ctx, view)
	if !ok {
		return false
	}
	in := planInput{coordinator: d.self.Name, owners: d.cfg.Owners, majority: d.cfg.Policy == Majority, departed: peersOf(view.Departed)}
	for _, r := range reports {
		in.alive = append(in.alive, r.from)
		in.highest = max(in.highest, r.has.Epoch)
	}
	d.coordination.Lock()
	in.arrived, in.leaving, in.raise = d.coordination.arrived, d.coordination.leaving, d.coordination.raise
	next, changed := plan(chooseBase(reports), in)
	d.coordination.Unlock()
	if !changed {
		next = chooseBase(reports)
	} else {
		d.log.Debug().Uint64("epoch", next.Epoch>>16).Int("members", len(next.Members)).Bool("degraded", next.Degraded).Msg("a new placement")
	}
	return d.publish(ctx, next, reports) && !changed
}

// query asks all members for their placement. ok is false when one that may
// be alive does not answer: the membership will tell.
func (d *Distributed) query(ctx context.Context, view cluster.View) (reports []report, ok bool) {
	own, _ := d.current()
	reports = make([]report, len(view.Members))
	errs := make([]error, len(view.Members))
	question, err := json.Marshal(own.Epoch)
	if err != nil {
		return nil, false
	}
	var wg sync.WaitGroup
	for i, m := range view.Members {
		reports[i] = report{peer{Name: m.Name, Born: m.Born}, own}
		if m.Name == d.self.Name {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			reply, err := d.cfg.Mesh.Call(ctx, m.Name, d.name("query"), question)
			if err == nil && len(reply) > 0 {
				reports[i].has = &placement{}
				err = json.Unmarshal(reply, reports[i].has)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	var alive []report
	for i, err := range errs {
		switch {
		case err == nil:
			alive = append(alive, reports[i])
		case errors.Is(err, cluster.ErrRefused) || problem.Is(err, problem.Unsupported): // ended, or not started
		default:
			return nil, false
		}
	}
	return alive, true
}

// onQuery gives this member's placement, or nothing if it is the one asked about.
func (d *Distributed) onQuery(_ context.Context, _ string, payload []byte) ([]byte, error) {
	var known uint64
	if err := json.Unmarshal(payload, &known); err != nil {
		return nil, problem.Invalid.Errorf("cannot tell the placement: %w", err)
	}
	p, _ := d.current()
	if p.Epoch == known {
		return nil, nil
	}
	return json.Marshal(p)
}

// publish gives a placement to all who have an older one.
func (d *Distributed) publish(ctx context.Context, p *placement, reports []report) bool {
	message, err := json.Marshal(p)
	if err != nil {
		d.log.Error().Err(err).Msg("cannot write a placement")
		return false
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(reports))
	for _, r := range reports {
		if r.has.Epoch == p.Epoch {
			continue
		}
		wg.Go(func() {
			if r.from.same(d.self) {
				d.install(p)
				return
			}
			ctx, cancel := context.WithTimeout(ctx, askLimit)
			defer cancel()
			if _, err := d.cfg.Mesh.Call(ctx, r.from.Name, d.name("install"), message); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	return len(failed) == 0
}

func (d *Distributed) onInstall(_ context.Context, _ string, payload []byte) ([]byte, error) {
	p := &placement{}
	if err := json.Unmarshal(payload, p); err != nil {
		return nil, problem.Invalid.Errorf("cannot install a placement: %w", err)
	}
	d.install(p)
	return nil, nil
}

// install makes a later placement the one that holds.
func (d *Distributed) install(p *placement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	me := p.find(d.self.Name)
	if p.Epoch <= d.place.Epoch || me == nil || !me.same(d.self) {
		return
	}
	returned := d.place.Epoch != 0 && me.Joined > d.place.Epoch
	for s := range p.Segments {
		if !returned && p.holds(s, d.self.Name) {
			continue
		}
		dropped := d.segs[s].take()
		if returned && d.cfg.Policy == Merge {
			for k, e := range dropped {
				d.stale = append(d.stale, keyed{k, e})
			}
		}
	}
	if returned {
		d.log.Warn().Int("entries", len(d.stale)).Msg("back among the others after having been taken for lost")
		d.synced = [segments]uint64{}
	}
	d.countMoves(d.place, p)
	d.place = p
	close(d.changed)
	d.changed = make(chan struct{})
	signal(d.installed)
}

func (p *placement) holds(s int, name string) bool {
	own := p.Segments[s]
	for _, o := range own.Owners {
		if p.Members[o].Name == name {
			return true
		}
	}
	for _, j := range own.Joiners {
		if p.Members[j.Peer].Name == name {
			return true
		}
	}
	return false
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// onArrived notes that joiners have got their segments whole.
func (d *Distributed) onArrived(_ context.Context, _ string, payload []byte) ([]byte, error) {
	var list []arrival
	if err := json.Unmarshal(payload, &list); err != nil {
		return nil, problem.Invalid.Errorf("cannot note an arrival: %w", err)
	}
	d.coordination.Lock()
	defer d.coordination.Unlock()
	for _, a := range list {
		d.coordination.arrived[a] = true
	}
	signal(d.kick)
	return nil, nil
}

// onLeave notes that a member wants to hand over what it holds.
func (d *Distributed) onLeave(_ context.Context, from string, payload []byte) ([]byte, error) {
	var born int64
	if err := json.Unmarshal(payload, &born); err != nil {
		return nil, problem.Invalid.Errorf("cannot let %s leave: %w", from, err)
	}
	d.coordination.Lock()
	defer d.coordination.Unlock()
	d.coordination.leaving[from] = born
	signal(d.kick)
	return nil, nil
}

// Leave hands over all that this member holds and returns when others have
// it, or with ctx's error.
func (d *Distributed) Leave(ctx context.Context) error {
	born, err := json.Marshal(d.self.Born)
	if err != nil {
		return err
	}
	for {
		p, changed := d.current()
		held := false
		for s := range p.Segments {
			held = held || p.Epoch != 0 && p.holds(s, d.self.Name)
		}
		stays := slices.ContainsFunc(p.Members, func(m peer) bool { return !m.Leaving })
		if !held || !stays || len(p.Members) == 1 { // there is nothing to hand over, or nobody to take it
			return nil
		}
		view, _ := d.cfg.Mesh.View()
		limit, cancel := context.WithTimeout(ctx, askLimit)
		if oldest := view.Oldest().Name; oldest == d.self.Name {
			_, err = d.onLeave(limit, d.self.Name, born)
		} else {
			_, err = d.cfg.Mesh.Call(limit, oldest, d.name("leave"), born)
		}
		cancel()
		if err != nil {
			d.log.Debug().Err(err).Msg("the coordinator does not hear that this member leaves; asking again")
		}
		wait, done := until(ctx, changed)
		_ = clock.Sleep(wait, d.cfg.Clock, askLimit)
		done()
		if ctx.Err() != nil {
			return problem.Timeout.Errorf("cannot hand over cache %s: %w", d.cfg.Name, ctx.Err())
		}
	}
}
