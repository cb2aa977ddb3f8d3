package caches

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// Floor is the epoch before which whatever was written is doubtful, as far as
// this member knows; 0: nothing is. Who keeps copies of what is elsewhere
// ignores those from before it.
func (d *Distributed) Floor() uint64 {
	p, _ := d.current()
	return p.Floor
}

// Raise puts the floor above all that is written until now, and returns when
// no member that can be reached acts below it any more.
func (d *Distributed) Raise(ctx context.Context) error {
	before, changed := d.current()
	target, err := json.Marshal(max(before.Epoch, 1))
	if err != nil {
		return err
	}
	for p := before; ; p, changed = d.current() {
		if p.Floor > before.Epoch {
			return d.raised(ctx, p)
		}
		if p.Epoch != 0 {
			d.askToRaise(ctx, target)
		}
		wait, done := until(ctx, changed)
		_ = clock.Sleep(wait, d.cfg.Clock, askLimit)
		done()
		if ctx.Err() != nil {
			return problem.Timeout.Errorf("cannot raise the floor of cache %s: %w", d.cfg.Name, ctx.Err())
		}
	}
}

func (d *Distributed) raised(ctx context.Context, p *placement) error {
	if !d.fence(ctx, p) {
		return problem.Timeout.Errorf("cannot raise the floor of cache %s: not every member is above it", d.cfg.Name)
	}
	return nil
}

func (d *Distributed) askToRaise(ctx context.Context, target []byte) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	view, _ := d.cfg.Mesh.View()
	var err error
	if oldest := view.Oldest().Name; oldest == d.self.Name {
		_, err = d.onRaise(ctx, d.self.Name, target)
	} else {
		_, err = d.cfg.Mesh.Call(ctx, oldest, d.name("raise"), target)
	}
	if err != nil {
		d.log.Debug().Err(err).Msg("the coordinator does not hear that the floor is to rise; asking again")
	}
}

// onRaise notes that the floor is to be above an epoch.
func (d *Distributed) onRaise(_ context.Context, _ string, payload []byte) ([]byte, error) {
	var target uint64
	if err := json.Unmarshal(payload, &target); err != nil {
		return nil, problem.Invalid.Errorf("cannot raise the floor: %w", err)
	}
	d.coordination.Lock()
	defer d.coordination.Unlock()
	d.coordination.raise = max(d.coordination.raise, target)
	signal(d.kick)
	return nil, nil
}

// Fence returns nil when none of the named members acts in an epoch before the
// given one: none reads from a primary of before. A process that has ended
// acts no more.
func (d *Distributed) Fence(ctx context.Context, epoch uint64, members []string) error {
	message := binary.AppendUvarint(nil, epoch)
	answers := make(chan error, len(members))
	for _, m := range members {
		go func() {
			_, err := d.cfg.Mesh.Call(ctx, m, d.name("fence"), message)
			if errors.Is(err, cluster.ErrRefused) {
				err = nil
			}
			answers <- err
		}()
	}
	own := d.reached(ctx, epoch)
	errs := []error{own}
	for range members {
		errs = append(errs, <-answers)
	}
	return errors.Join(errs...)
}

// reached waits until this member is in an epoch or a later one.
func (d *Distributed) reached(ctx context.Context, epoch uint64) error {
	unlock, err := d.within(ctx, epoch)
	switch {
	case err == nil:
		unlock()
	case problem.Is(err, problem.Precondition): // a later one
		return nil
	}
	return err
}

// Covers reports whether every member of this server's view takes part in the
// cache.
func (d *Distributed) Covers() bool {
	p, _ := d.current()
	if p.Epoch == 0 || p.Degraded {
		return false
	}
	view, _ := d.cfg.Mesh.View()
	for _, m := range view.Members {
		if is := p.find(m.Name); is == nil || is.Born != m.Born {
			return false
		}
	}
	return true
}
