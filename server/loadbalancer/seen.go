package loadbalancer

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

// Seen is what this balancer saw of one backend since it was made. A request
// that was sent to two backends counts at both.
type Seen struct {
	Route    string
	Requests uint64 // sent to it and answered, or given up
	Failed   uint64 // of these: 5xx, or no answer
	// Overdue are those that wait for their answer to begin for longer than
	// overdueAfter now; they are in none of the counts yet.
	Overdue int
}

// overdueAfter is far above what a healthy server takes to begin an answer, a
// login with its password hash included, and far below what people wait.
const overdueAfter = 3 * time.Second

// Seen tells what was seen of the backends that were sent anything, by route.
func (b *Balancer) Seen() []Seen {
	p := b.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	overdue := map[string]int{}
	for _, m := range p.members {
		for _, f := range m.awaiting {
			if clock.Since(p.clock, f.since) > overdueAfter {
				overdue[m.Route]++
			}
		}
	}
	list := make([]Seen, 0, len(p.seen))
	for _, s := range p.seen {
		one := *s
		one.Overdue = overdue[s.Route]
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Seen) int { return cmp.Compare(a.Route, b.Route) })
	return list
}

// sent notes a request that is on its way to a member.
func (p *pool) sent(m *member, r *http.Request, f *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.since = p.clock.Now()
	m.awaiting[r] = f
	if m.State == Dead { // it ended since it was picked
		p.giveUp(m, r, f, errDead)
	}
	if p.seen[m.Route] == nil {
		p.seen[m.Route] = &Seen{Route: m.Route}
	}
}

// verdict is what became of a request at one member.
type verdict uint8

const (
	answered verdict = iota
	failed           // 5xx, or no answer
	nobodys          // refused on purpose, or the client has gone
)

// ended notes what became of it.
func (p *pool) ended(m *member, r *http.Request, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(m.awaiting, r)
	if v == nobodys {
		return
	}
	s := p.seen[m.Route]
	s.Requests++
	if v == failed {
		s.Failed++
	}
}

// judge says what an answer, or the lack of one, is.
func judge(r *http.Request, resp *http.Response, err error) verdict {
	switch {
	case err != nil && r.Context().Err() != nil && !tooLong(r.Context()):
		return nobodys
	case err != nil:
		return failed
	case resp.Header.Get(RefusedHeader) != "":
		return nobodys
	case resp.StatusCode >= http.StatusInternalServerError:
		return failed
	}
	return answered
}
