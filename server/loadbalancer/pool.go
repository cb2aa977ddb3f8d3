package loadbalancer

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

const (
	// A backend that fails is left alone for firstEjection, doubled at each
	// further failure up to lastEjection; about the time in which an agent
	// has its server running again.
	firstEjection = time.Second
	lastEjection  = 30 * time.Second
	// patience is how many failures in a row eject a backend that accepts
	// connections; one that refuses them is ejected at once.
	patience = 3
	// slowStart is how long a backend that comes back is spared: its share
	// grows from a tenth to the whole.
	slowStart = 10 * time.Second
	// Probes of Health: every probeEvery, up to probeLimit, down after
	// probesDown failures in a row, up after one success.
	probeEvery = time.Second
	probeLimit = time.Second
	probesDown = 2
)

// pool is the backends and their health.
type pool struct {
	clock  clock.Clock
	budget *budget // of retries
	forget func()  // closes idle connections

	mu       sync.Mutex
	settings Settings
	named    []Backend // by the domain
	members  []*member
	retired  []*member        // no longer named, and they owe answers
	seen     map[string]*Seen // by route: outlives the member
	turn     int              // where the search begins: equals take turns
	changed  chan struct{}    // closed when the set or the settings change
	queue    queue
	lost     time.Time // when a server died or went
}

// member is one backend with its record; pool.mu guards it.
type member struct {
	Backend
	active   int // requests in flight
	awaiting map[*http.Request]*flight
	failures int       // in a row
	ejected  time.Time // not used before
	ejection time.Duration
	since    time.Time // when it came (back): the start of its slow start; zero: long ago
	sick     int       // failed probes in a row
	silent   int       // of them, the last that nobody answered
	down     bool      // by its probes
	cut      time.Time // when a connection of it ended without the answer
	closed   time.Time // when it last refused a request; zero: it did not since it came
}

func newPool(c clock.Clock, s Settings, retries *budget, forget func()) *pool {
	p := &pool{clock: c, budget: retries, forget: forget, changed: make(chan struct{}), seen: map[string]*Seen{}, queue: newQueue()}
	p.configure(s)
	return p
}

// configure takes over settings, with the static backends in them.
func (p *pool) configure(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings = s
	p.arrange()
}

// set replaces the backends that the domain names.
func (p *pool) set(backends []Backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named = backends
	p.arrange()
}

// arrange makes the members; p.mu is held.
func (p *pool) arrange() {
	now := p.clock.Now()
	first := len(p.members) == 0 // nobody else is there to spare them
	living := 0
	for _, m := range p.members {
		if m.State != Dead {
			living++
		}
	}
	var next []*member
	for _, b := range slices.Concat(p.settings.Static, p.named) {
		same := func(m *member) bool { return m.Route == b.Route && m.URL.String() == b.URL.String() }
		for _, m := range p.retired {
			if b.State == Dead && same(m) {
				p.bury(m)
			}
		}
		i := slices.IndexFunc(p.members, same)
		if i < 0 {
			m := &member{Backend: b, awaiting: map[*http.Request]*flight{}}
			if !first {
				m.since = now
			}
			next = append(next, m)
			continue
		}
		m := p.members[i]
		if m.State != Ready && b.State == Ready { // restarted or resumed
			m.failures, m.ejected, m.ejection, m.sick, m.silent, m.down, m.closed, m.since = 0, time.Time{}, 0, 0, 0, false, time.Time{}, now
		}
		died := m.State != Dead && b.State == Dead
		m.Backend = b
		if died {
			p.bury(m)
		}
		next = append(next, m)
	}
	for _, m := range next {
		if m.State != Dead {
			living--
		}
	}
	if living > 0 {
		p.lost = now
	}
	p.retire(slices.DeleteFunc(slices.Clone(p.members), func(m *member) bool { return slices.Contains(next, m) }))
	p.members = next
	close(p.changed)
	p.changed = make(chan struct{})
	p.queue.improved()
}

// pick chooses the backend for a request and counts it there: the one whose
// route the request carries, otherwise the one with the fewest requests for
// its share. Those in tried are left out. When none is well, one that can be
// reached is tried all the same, and as a last try any that is not dead. A request
// that is not safe keeps away from those that may have died a moment ago, as it
// cannot be repeated.
func (p *pool) pick(routes []string, tried []*member, safe, last bool) (m *member, sticky bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	defer func() {
		if m != nil {
			m.active++
		}
	}()
	if !safe {
		m, sticky = p.best(routes, now, tried, func(m *member) bool { return m.well(now) && !m.cutLately(now) })
	}
	if m == nil {
		m, sticky = p.best(routes, now, tried, func(m *member) bool { return m.well(now) })
	}
	if m == nil {
		m = p.least(now, tried, func(m *member) bool { return m.open(now) })
	}
	if m == nil && last {
		m = p.least(now, tried, func(m *member) bool { return m.State.takes() })
	}
	return m, sticky
}

// best is the member of those that will do whose route the request carries, or else
// the least busy.
func (p *pool) best(routes []string, now time.Time, tried []*member, ok func(*member) bool) (m *member, sticky bool) {
	for _, route := range routes {
		for _, m := range p.members {
			if m.Route == route && ok(m) && !slices.Contains(tried, m) {
				return m, true
			}
		}
	}
	return p.least(now, tried, ok), false
}

func (p *pool) least(now time.Time, tried []*member, ok func(*member) bool) (best *member) {
	p.turn++
	var lowest float64
	for i := range p.members {
		m := p.members[(p.turn+i)%len(p.members)]
		if !ok(m) || slices.Contains(tried, m) {
			continue
		}
		load := float64(m.active+1) / m.share(now)
		if p.due(m, now) {
			load = float64(m.active+1) / 2
		}
		if best == nil || load < lowest {
			best, lowest = m, load
		}
	}
	return best
}

// due reports whether it is the turn of a member that is spared: where there is
// hardly any load, an idle one that is not spared would take every request, and
// nobody would learn whether the other answers. It gets its share of an equal
// part.
func (p *pool) due(m *member, now time.Time) bool {
	share := m.share(now)
	return share < 1 && p.turn%int(float64(len(p.members))/share) == 0
}

func (m *member) well(now time.Time) bool { return m.State == Ready && !m.down && m.open(now) }

// open reports whether nothing speaks against trying the member but what
// others say of it.
func (m *member) open(now time.Time) bool {
	return m.State.takes() && !now.Before(m.ejected) && m.closed.IsZero()
}

// share is the part of a full load that the member gets, 0.1 to 1.
func (m *member) share(now time.Time) float64 {
	if m.since.IsZero() {
		return 1
	}
	return min(1, max(0.1, float64(now.Sub(m.since))/float64(slowStart)))
}

func (p *pool) release(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.active--
}

func (p *pool) succeeded(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.failures > 0 && m.ejection > 0 {
		m.since = p.clock.Now()
	}
	p.queue.improved()
	m.failures, m.ejection, m.ejected, m.closed = 0, 0, time.Time{}, time.Time{}
}

// refused notes that a member takes nothing at the moment.
func (p *pool) refused(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.closed = p.clock.Now()
}

// failed notes a failure and reports whether it ejects the member.
func (p *pool) failed(m *member, unreachable bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.failures++
	if !unreachable && m.failures < patience {
		return false
	}
	now := p.clock.Now()
	if now.Before(m.ejected) {
		return false // requests that were under way already
	}
	m.ejection = min(p.settings.LastEjection, max(firstEjection, 2*m.ejection))
	m.ejected = now.Add(m.ejection)
	return true
}

// cutFor is how long after the end of one connection without its answer the others
// of that server are not trusted.
const cutFor = time.Second

// wasCut notes that a connection ended without the answer.
func (p *pool) wasCut(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.cut = p.clock.Now()
}

// cutLately reports whether connections of the member may be dead without our
// knowing: one was a moment ago. An answer that was on its way when the server died
// still counts as success, and leaves a dead connection behind it.
func (p *pool) cutLately(m *member) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m.cutLately(p.clock.Now())
}

func (m *member) cutLately(now time.Time) bool { return !m.cut.IsZero() && now.Sub(m.cut) < cutFor }

// routesIn are the ends of a cookie's value that may be a route: all that
// follows a dot, the longest first. For "<id>.<node>" the node is found even
// when it has dots.
func routesIn(r *http.Request, cookies []string) (routes []string) {
	for _, c := range r.Cookies() {
		if !slices.Contains(cookies, c.Name) {
			continue
		}
		value := strings.Trim(c.Value, `"`)
		for range 16 { // a hostile cookie costs no more than this
			var found bool
			if _, value, found = strings.Cut(value, "."); !found {
				break
			}
			routes = append(routes, value)
		}
	}
	return routes
}
