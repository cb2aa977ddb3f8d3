package controller

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Survivor is what a stopped controller has on its disk.
type Survivor struct {
	Name string
	// Log is how far its log reaches: of several survivors, the one to recover is
	// the one with the highest term, then the highest index.
	Log consensus.Tail
	// Revision is the newest revision it brings; 0 from Inspect, which reads no
	// entries.
	Revision uint64
}

// Inspect says what the controller in dir, which must not be running, has, and
// changes nothing.
func Inspect(dir string) (Survivor, error) {
	in, err := survivor(dir)
	if err != nil {
		return Survivor{}, err
	}
	tail, err := consensus.Inspect(filepath.Join(dir, "log"))
	return Survivor{Name: in.Name, Log: tail}, err
}

// Recover makes the controller in dir, which must not be running, the only one
// of its domain: the way back when a majority of the controllers is lost for
// good. It keeps what its own log holds; what only the lost ones knew is lost, so
// run it on the controller that was up to date last (see Inspect). Start it then
// as usual: it revokes the others. Add new controllers in new directories; the
// lost ones must never come back.
func Recover(dir string, log zerolog.Logger) (Survivor, error) {
	in, err := survivor(dir)
	if err != nil {
		return Survivor{}, err
	}
	s := Survivor{Name: in.Name}
	if s.Log, err = consensus.Inspect(filepath.Join(dir, "log")); err != nil {
		return s, err
	}
	// Before the log: a recovery that is cut short is done again.
	in.Recovered = true
	if err := in.save(); err != nil {
		return s, err
	}
	machine := statemachine.New()
	// Where it listens it says itself when it starts.
	alone := []consensus.Member{{Name: in.Name, Address: in.Name}}
	err = consensus.Recover(consensus.Config{
		Name: in.Name, Dir: filepath.Join(dir, "log"), Machine: replica.Adapt(machine), Key: in.LogKey, Log: log,
	}, alone)
	state, _ := machine.State()
	s.Revision = state.Revision()
	return s, err
}

func survivor(dir string) (installation, error) {
	in, known, err := loadInstallation(dir)
	if err == nil && !known {
		err = problem.WithHint(problem.NotFound.Errorf("cannot recover: there is no controller in %s", dir), "--dir names the folder that the controller was started with")
	}
	return in, err
}

// forsake ends a recovery, once this controller leads: the members that were
// lost are taken out of the domain's records, and their certificates are good no
// more.
func (p *parts) forsake(ctx context.Context) error {
	members, err := p.replica.Members()
	if err != nil {
		return err
	}
	for _, r := range p.replica.Records(peers.KindController) {
		if slices.ContainsFunc(members, func(m consensus.Member) bool { return m.Name == r.Key }) {
			continue
		}
		if err := p.authority.Revoke(ctx, authority.Controller(r.Key)); err != nil {
			return err
		}
		if err := p.replica.Delete(ctx, peers.KindController, r.Key, domain.Any); err != nil {
			return err
		}
		p.cfg.Log.Warn().Str("controller", r.Key).Msg("recovery: a lost controller was removed from the domain")
	}
	p.installing.Lock()
	defer p.installing.Unlock()
	p.in.Recovered = false
	return p.in.save()
}
