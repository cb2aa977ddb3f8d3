package loadbalancer

import (
	"sync"

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
