package loadbalancer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Why a request that waits for an answer of a server is given up there.
var (
	errDead   = errors.New("the server has ended")
	errSilent = errors.New("the server answers neither its health check nor the request") // its retry is paid for
)

// flight is one request that was sent to a server, and no answer has begun.
type flight struct {
	since   time.Time
	movable func() bool // whether it may still go to another server, though it may have been carried out
	end     context.CancelCauseFunc
}

// givenUp is why a request was given up, or nil.
func givenUp(ctx context.Context) error {
	if cause := context.Cause(ctx); cause == errDead || cause == errSilent {
		return cause
	}
	return nil
}

// bury gives up everything that a server still owes that is known to have
// ended: where its host vanished, nothing else would tell. p.mu is held.
func (p *pool) bury(m *member) {
	for r, f := range m.awaiting {
		p.giveUp(m, r, f, errDead)
	}
	p.forget()
}

// abandon takes requests away from a server that answers no health check and
// has not begun to answer them for longer than one may take. It may be alive
// and only slow, so what changes something stays there, and so does what has
// nowhere to go: no other server is well, or there were enough retries. A host
// that vanished ends those by vanishLimit. p.mu is held.
func (p *pool) abandon(m *member) {
	now := p.clock.Now()
	if m.silent < probesDown || !slices.ContainsFunc(p.members, func(o *member) bool { return o != m && o.well(now) }) {
		return
	}
	for r, f := range m.awaiting {
		if clock.Since(p.clock, f.since) < probeLimit || !f.movable() {
			continue
		}
		if !p.budget.spend() {
			break
		}
		p.giveUp(m, r, f, errSilent)
	}
	p.forget()
}

// giveUp ends one request at a member, once; p.mu is held.
func (p *pool) giveUp(m *member, r *http.Request, f *flight, why error) {
	delete(m.awaiting, r)
	f.end(why)
}

// retire keeps an eye on a server that the domain no longer names while it owes
// answers: its host may have lost its controller only, or be lost itself. p.mu
// is held.
func (p *pool) retire(gone []*member) {
	p.retired = slices.DeleteFunc(append(p.retired, gone...), func(m *member) bool { return len(m.awaiting) == 0 })
}
