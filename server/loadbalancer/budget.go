package loadbalancer

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// budget bounds retries to a fifth of the requests, beyond ten a second: when
// all servers are in trouble, retries must not double their load.
type budget struct {
	clock clock.Clock
	mu    sync.Mutex
	left  float64
	at    int64
}

const (
	budgetShare  = 0.2
	budgetFloor  = 10.0 // a second
	budgetCredit = 100.0
)

func newBudget(c clock.Clock) *budget {
	return &budget{clock: c, left: budgetCredit, at: c.Now().UnixNano()}
}

func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(budgetCredit, b.left+budgetShare)
}

// spendWithin spends, and waits for what is not there yet, no longer than a limit: a
// retry that comes late is better than none.
func (b *budget) spendWithin(ctx context.Context, limit time.Duration) bool {
	if b.spend() {
		return true
	}
	if limit <= 0 {
		return false
	}
	late := b.clock.NewTimer(limit)
	defer late.Stop()
	for {
		next := b.clock.NewTimer(time.Second / budgetFloor)
		select {
		case <-next.C:
			if b.spend() {
				return true
			}
		case <-late.C:
			next.Stop()
			return b.spend()
		case <-ctx.Done():
			next.Stop()
			return false
		}
	}
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now().UnixNano()
	b.left = min(budgetCredit, b.left+float64(now-b.at)/1e9*budgetFloor)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
