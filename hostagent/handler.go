package hostagent

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/hostagent/controllerlink"
	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// handler is what a controller talks to: controllerlink.Handler.
type handler struct{ a *Agent }

func (h handler) Hello() *hostlink.Hello {
	a := h.a
	local := localAddress(a.controllers) // networks come and go
	a.mu.Lock()
	defer a.mu.Unlock()
	a.local = local
	return &hostlink.Hello{
		Host: a.host, Installation: a.store.Installation(), Boot: a.boot, Version: a.config.Version,
		Protocol: hostlink.NewestProtocol, OldestProtocol: hostlink.OldestProtocol,
		HostOperations: a.operations, Revision: a.snapshot.Revision, Checksum: a.snapshot.Checksum,
		Address: a.local, Facts: facts(a.config.Dir),
	}
}

// Snapshot takes a new snapshot. It is on the disk before it counts: what the
// host acknowledged, it boots from.
func (h handler) Snapshot(s *hostlink.Snapshot) *hostlink.Acknowledge {
	a := h.a
	ack := &hostlink.Acknowledge{Revision: s.GetRevision(), Checksum: s.GetChecksum()}
	next := localstate.Snapshot{Revision: s.GetRevision(), Checksum: s.GetChecksum(), Content: s.GetContent()}
	err := a.check(next)
	if err == nil {
		err = a.store.SaveSnapshot(next)
	}
	if err == nil {
		err = a.accept(next)
	}
	if err != nil {
		a.config.Log.Error().Err(err).Uint64("revision", s.GetRevision()).Msg("refused a snapshot")
		ack.Problem = err.Error()
		return ack
	}
	a.config.Log.Info().Uint64("revision", s.GetRevision()).Msg("took a snapshot")
	a.poke()
	a.changed()
	return ack
}

func (h handler) Statuses() *hostlink.ServerStatuses { return h.a.statuses() }

func (h handler) Facts() *hostlink.Facts { return facts(h.a.config.Dir) }

func (h handler) Linked(s controllerlink.State) {
	if s.Connected {
		return
	}
	h.a.mu.Lock()
	h.a.directory.waits = false // for a controller that does not answer
	h.a.mu.Unlock()
	h.a.redirect()
	h.a.config.Log.Debug().Str("link", s.String()).Msg("working without a controller")
}

func (h handler) Order(ctx context.Context, o *hostlink.Order, output func([]byte) error) ([]byte, error) {
	return h.a.order(ctx, o, output)
}
