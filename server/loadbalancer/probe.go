package loadbalancer

import (
	"context"
	"net/http"
	"slices"
	"sync"
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
		members, changed := p.members, p.changed
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

func probe(ctx context.Context, transport http.RoundTripper, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// probed notes a probe's result. One success also ends an ejection.
func (p *pool) probed(m *member, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok {
		m.sick++
		m.down = m.down || m.sick >= probesDown
		return
	}
	now := p.clock.Now()
	if m.down || !m.open(now) {
		m.since = now
		p.queue.improved()
	}
	m.sick, m.down, m.ejected, m.closed = 0, false, time.Time{}, time.Time{}
}
