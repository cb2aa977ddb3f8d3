package loadbalancer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// watch probes the health of the members until ctx ends.
func (p *pool) watch(ctx context.Context, transport http.RoundTripper) {
	var every time.Duration
	var tick *clock.Timer
	defer func() { tick.Stop() }()
	var wg sync.WaitGroup
	defer wg.Wait()
	probing := map[*member]chan struct{}{}
	for {
		p.mu.Lock()
		members, changed := p.watched(), p.changed
		if p.settings.ProbeEvery != every {
			if tick != nil {
				tick.Stop()
			}
			every = p.settings.ProbeEvery
			tick = p.clock.NewTicker(every)
		}
		for _, m := range members {
			if m.Health == nil || m.State == Dead || probing[m] != nil && !isClosed(probing[m]) {
				continue
			}
			done := make(chan struct{})
			probing[m] = done
			address := m.Health.String()
			wg.Go(func() {
				defer close(done)
				p.probed(m, probe(ctx, transport, address))
			})
		}
		for m := range probing {
			if !slices.Contains(members, m) {
				delete(probing, m)
			}
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		case <-p.queue.call:
			wg.Go(func() { p.scout(ctx, transport) })
		}
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watched are the servers to probe: those of the pool, and those that have left
// it and still owe answers; p.mu is held.
func (p *pool) watched() []*member {
	p.retire(nil)
	return slices.Concat(p.members, p.retired)
}

// finding is what a probe found.
type finding uint8

const (
	well   finding = iota
	unwell         // it answers that it is not ready, or its kernel that nobody listens
	silent         // nobody answers
)

func probe(ctx context.Context, transport http.RoundTripper, address string) finding {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return unwell
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
			return silent
		}
		return unwell
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return unwell
	}
	return well
}

// probed notes a probe's result. One success also ends an ejection.
func (p *pool) probed(m *member, f finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f != silent {
		m.silent = 0
	}
	if f != well {
		m.sick++
		m.down = m.down || m.sick >= probesDown
		if f == silent {
			m.silent++
			p.abandon(m)
		}
		return
	}
	now := p.clock.Now()
	if m.down || !m.open(now) {
		m.since = now
	}
	p.queue.improved() // also when it was tried again anyway: those who wait have not seen it
	m.sick, m.down, m.ejected, m.closed = 0, false, time.Time{}, time.Time{}
}
