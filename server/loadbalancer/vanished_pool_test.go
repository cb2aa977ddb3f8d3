package loadbalancer

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
)

// testPool is a pool of two servers on a clock that stands still.
func testPool(c clock.Clock, routes ...string) *pool {
	p := newPool(c, Settings{}.withDefaults(), newBudget(c), func() {})
	var all []Backend
	for _, r := range routes {
		all = append(all, Backend{Route: r, URL: &url.URL{Scheme: "http", Host: r}, Health: &url.URL{Scheme: "http", Host: r}})
	}
	p.set(all)
	return p
}

// fly sends n requests to a member and returns what counts those given up.
func fly(p *pool, m *member, n int, movable bool) (givenUp func() int) {
	var all []context.Context
	for range n {
		ctx, giveUp := context.WithCancelCause(context.Background())
		p.sent(m, new(http.Request), &flight{movable: func() bool { return movable }, end: giveUp})
		all = append(all, ctx)
	}
	return func() (count int) {
		for _, ctx := range all {
			if ctx.Err() != nil {
				count++
			}
		}
		return count
	}
}

func TestASilentServerLosesItsRequestsWithinTheBudgetOfRetries(t *testing.T) {
	c := clocktest.New(time.Unix(0, 0))
	p := testPool(c, "silent", "other")
	m := p.members[0]
	gets, posts := fly(p, m, budgetCredit+15, true), fly(p, m, 5, false)
	c.Advance(2 * probeLimit)
	young := fly(p, m, 3, true)
	p.probed(m, silent)
	if n := gets(); n != 0 {
		t.Errorf("%d were given up after one probe", n)
	}
	p.probed(m, silent)
	if n := gets(); n != budgetCredit {
		t.Errorf("%d were given up, want the budget's %v", n, budgetCredit)
	}
	c.Advance(500 * time.Millisecond)
	p.probed(m, silent)
	if n := gets(); n != budgetCredit+5 {
		t.Errorf("%d were given up half a second later, want %v", n, budgetCredit+5)
	}
	if n, y := posts(), young(); n != 0 || y != 0 {
		t.Errorf("given up: %d that may not be repeated, %d that it had no time to answer", n, y)
	}
}

func TestASilentServerKeepsItsRequests(t *testing.T) {
	for what, change := range map[string]func(p *pool, m *member){
		"where no other is well":        func(p *pool, _ *member) { p.members[1].down = true },
		"when it says that it is alive": func(p *pool, m *member) { p.probed(m, unwell) },
	} {
		t.Run(what, func(t *testing.T) {
			c := clocktest.New(time.Unix(0, 0))
			p := testPool(c, "silent", "other")
			m := p.members[0]
			gets := fly(p, m, 1, true)
			c.Advance(time.Minute)
			p.probed(m, silent)
			change(p, m)
			p.probed(m, silent)
			if n := gets(); n != 0 {
				t.Errorf("%d were given up", n)
			}
		})
	}
}

// Its time is over and a probe finds it well before any request does: whoever
// waited did so until the queue's limit.
func TestThoseWhoWaitHearOfAServerWhoseTimeIsOver(t *testing.T) {
	for what, hear := range map[string]func(p *pool, m *member){
		"by a probe":   func(p *pool, m *member) { p.probed(m, well) },
		"by a request": func(p *pool, m *member) { p.succeeded(m) },
		"by a request after a probe that came between": func(p *pool, m *member) {
			m.ejected = time.Time{}
			p.succeeded(m)
		},
	} {
		t.Run(what, func(t *testing.T) {
			c := clocktest.New(time.Unix(0, 0))
			p := testPool(c, "only")
			m := p.members[0]
			p.failed(m, true)
			if s := p.settings; !p.enter(&s) {
				t.Fatal("it may not wait")
			}
			better := p.better()
			c.Advance(2 * firstEjection)
			if n := len(p.shut()); n != 1 {
				t.Errorf("%d servers are asked while somebody waits, want 1", n)
			}
			hear(p, m)
			select {
			case <-better:
			default:
				t.Error("nobody told those who wait")
			}
		})
	}
}
