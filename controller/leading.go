package controller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// lead is what only the leader does. It starts behind a barrier, when this
// controller has applied all that was acknowledged, and ends with the lead.
func (p *parts) lead(ctx context.Context) {
	if err := p.establish(ctx); err != nil {
		// The next write tells its author; leading goes on.
		p.cfg.Log.Error().Err(err).Msg("cannot do what a new leader does first")
	}
	if ctx.Err() == nil {
		p.tried()
	}
	p.publisher.Lead(true)
	defer p.publisher.Lead(false)
	var rotating sync.WaitGroup
	rotating.Go(func() { p.desk.Rotations(ctx) })
	defer rotating.Wait()
	p.desk.Rollouts(ctx)
}

// establish brings the domain into being at its first boot. Each step is done
// once, whatever was cut short before.
func (p *parts) establish(ctx context.Context) error {
	if p.in.AuthorityKey != nil {
		ca, err := certs.ParseAuthority(p.in.Authority, p.in.AuthorityKey)
		if err != nil {
			return err
		}
		if err := p.authority.Install(ctx, ca); err != nil {
			return err
		}
	}
	if err := p.desk.Seed(ctx, p.cfg.SeedFile, p.cfg.Seed); err != nil {
		return err
	}
	if err := p.announce(ctx); err != nil {
		return err
	}
	if p.in.Recovered {
		if err := p.forsake(ctx); err != nil {
			return err
		}
	}
	if p.in.AuthorityKey != nil {
		p.installing.Lock()
		defer p.installing.Unlock()
		p.in.AuthorityKey = nil // the authority is replicated now
		return p.in.save()
	}
	return nil
}

// announce keeps where this controller is, as a member and in the domain's
// records.
func (p *parts) announce(ctx context.Context) error {
	if err := p.replica.Add(p.in.Name, p.place.Replication); err != nil {
		return err
	}
	value, err := json.Marshal(p.place)
	if err != nil {
		return err
	}
	if r, ok := p.replica.Record(peers.KindController, p.in.Name); ok && string(r.Value) == string(value) {
		return nil
	}
	return p.replica.Put(ctx, peers.KindController, p.in.Name, value, domain.Any)
}

// rejoinEvery is how often a controller that is not a member yet, or is known at
// another address, tries again.
const rejoinEvery = time.Second

// keepMembership makes this controller a member at its present address, tells
// the hosts where the controllers are, and says when all is ready.
func (p *parts) keepMembership(ctx context.Context) error {
	var told []string
	ready := false
	for {
		_, newer := p.replica.State()
		changed := p.replica.Changed()
		if addresses := p.controllers(); len(addresses) > 0 && !slices.Equal(addresses, told) {
			told = addresses
			p.publisher.SetControllers(addresses)
			p.remember(addresses)
		}
		settled := p.settled(ctx)
		if settled && !ready {
			ready = true
			close(p.ready)
			p.cfg.Log.Info().Str("leader", p.replica.Leader().Name).Msg("controller ready")
		}
		retry := p.cfg.Clock.NewTimer(rejoinEvery)
		select {
		case <-newer:
		case <-changed:
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return nil
		}
		retry.Stop()
	}
}

// remember keeps the controllers' addresses for the next boot.
func (p *parts) remember(addresses []string) {
	p.installing.Lock()
	defer p.installing.Unlock()
	if slices.Equal(p.in.Controllers, addresses) {
		return
	}
	p.in.Controllers = addresses
	if err := p.in.save(); err != nil {
		p.cfg.Log.Warn().Err(err).Msg("cannot remember where the controllers are")
	}
}

func (p *parts) remembered() []string {
	p.installing.Lock()
	defer p.installing.Unlock()
	return p.in.Controllers
}

// settled reports whether this controller is a member where it should be; if
// not, it asks for it.
func (p *parts) settled(ctx context.Context) bool {
	_, known := p.replica.Record(peers.KindController, p.in.Name)
	if p.replica.Leads() {
		return known
	}
	members, err := p.replica.Members()
	if err != nil {
		return false
	}
	for _, m := range members {
		if m.Name == p.in.Name && m.Address == p.place.Replication && m.Voter && known {
			return p.replica.Leader().Name != ""
		}
	}
	if len(members) == 1 && members[0].Name == p.in.Name {
		return false // alone, as the domain's first: it leads in a moment, and asks nobody
	}
	if err := p.join(ctx); err != nil && ctx.Err() == nil {
		p.outside.tell(p, err)
	}
	return false
}

// outside is what a controller that is no member said of it last. It tries every
// second, and may do so for good.
type outside struct {
	leaderless bool
	at         time.Time
}

func (o *outside) tell(p *parts, why error) {
	leaderless, now := errors.Is(why, peers.ErrNoLeader), p.cfg.Clock.Now()
	if leaderless == o.leaderless && now.Sub(o.at) < sayAgain {
		return
	}
	*o = outside{leaderless, now}
	line := p.cfg.Log.Warn().Err(why)
	if !leaderless {
		line = line.Str("hint", "if this controller was removed from the domain, or its certificate revoked, stop it; "+
			"to have it back: ':add-controller(name="+p.in.Name+")' at another one, then start it with the new token and an empty directory")
	}
	line.Msg("cannot become a member yet; it is tried again every second")
}

// join asks to be a member at this place: the leader when it is known, else any
// controller that is. A controller that moved cannot be reached by the leader,
// and so knows none.
func (p *parts) join(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if p.replica.Leader().Name != "" {
		return p.leader.Join(ctx, peers.Newcomer{Name: p.in.Name, At: p.place})
	}
	err := problem.Precondition.Errorf("cannot become a member: this controller knows no other")
	for _, address := range slices.Concat(p.controllers(), p.remembered(), p.cfg.Join) {
		if address == p.place.Native {
			continue
		}
		if err = peers.JoinAt(ctx, address, p.identity, p.allow, p.place); err == nil {
			return nil
		}
	}
	return err
}

// controllers lists the native addresses of the controllers.
func (p *parts) controllers() []string {
	var list []string
	for _, r := range p.replica.Records(peers.KindController) {
		var at peers.Place
		if err := json.Unmarshal(r.Value, &at); err == nil && at.Native != "" {
			list = append(list, at.Native)
		}
	}
	slices.Sort(list)
	return list
}

// keepRelay carries this controller's hosts to the leader, whenever that is
// another.
func (p *parts) keepRelay(ctx context.Context) error {
	for {
		changed := p.replica.Changed()
		_, newer := p.replica.State()
		if leader := p.replica.Leader().Name; leader != "" && leader != p.in.Name {
			p.relay(ctx, changed)
			if clock.Sleep(ctx, p.cfg.Clock, 200*time.Millisecond) != nil {
				return nil
			}
			continue
		}
		select {
		case <-changed:
		case <-newer:
		case <-ctx.Done():
			return nil
		}
	}
}

// relay relays until the stream breaks or the leader may be another.
func (p *parts) relay(ctx context.Context, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	stream, err := p.leader.Relay(ctx)
	if err == nil {
		err = p.publisher.Relay(stream)
	}
	p.cfg.Log.Debug().Err(err).Msg("relay to the leader ended")
}
