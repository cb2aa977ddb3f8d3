package publisher

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// directoryPause lets changes that come together go out together. A server that
// became ready is known to balancers this much later at most, unless hosts are
// so many that a broadcast takes longer.
const directoryPause = 50 * time.Millisecond

// settle is how long a new leader waits for the hosts of the domain to report,
// before it makes a directory without those that did not: a directory that lost
// servers for the time that hosts need to come back would turn people away. It
// covers the hosts' longest back-off while controllers change.
const settle = 10 * time.Second

// Lead tells whether this controller leads: the leader makes the directory from
// the reports of all hosts, the others hand on what they get from it.
func (p *Publisher) Lead(leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leads, p.complete = leads, false
	p.leadsSince = p.clock.Now()
	p.notify()
}

// directAll makes the directory anew whenever hosts report, until ctx ends.
func (p *Publisher) directAll(ctx context.Context) {
	for {
		_, changed := p.Host("")
		began := p.clock.Now()
		p.mu.Lock()
		if p.leads && p.heardFromAll() {
			p.direct(p.survey())
		}
		p.mu.Unlock()
		// Never more than a tenth of the time goes into directories.
		pause := max(directoryPause, 9*clock.Since(p.clock, began))
		if clock.Sleep(ctx, p.clock, pause) != nil {
			return
		}
		retry := p.clock.NewTimer(settle)
		select {
		case <-changed:
		case <-retry.C: // nothing may change while a host stays away
		case <-ctx.Done():
		}
		retry.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// HeardFromAll reports whether this controller leads and knows the hosts of the
// domain: each has reported, or had the time to.
func (p *Publisher) HeardFromAll() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leads && p.heardFromAll()
}

// heardFromAll reports whether every host of the domain has reported its servers
// since this controller leads, or had the time to; p.mu is held. What a host that is
// away reported when this controller led before does not count: it may be on its way
// to another controller.
func (p *Publisher) heardFromAll() bool {
	if p.complete || clock.Since(p.clock, p.leadsSince) >= settle {
		p.complete = true
		return true
	}
	tree, _, _ := p.source.Model()
	for _, name := range tree.Names(nil, "host") {
		if h := p.hosts[name]; h == nil || !h.told {
			return false
		}
	}
	p.complete = true
	return true
}

// survey lists the servers of connected hosts; p.mu is held.
func (p *Publisher) survey() []*hostlink.DirectoryServer {
	list := make([]*hostlink.DirectoryServer, 0, len(p.directory.Servers))
	for name, h := range p.hosts {
		for _, s := range h.state.Servers {
			list = append(list, &hostlink.DirectoryServer{
				Host: name, Name: s.Name, Group: s.Group, Profile: s.Profile, Site: s.Site, Node: s.Node,
				Address: cmp.Or(s.Address, h.state.Address), Ports: s.Ports, State: s.State, Healthy: s.Healthy,
			})
		}
	}
	slices.SortFunc(list, byHostAndName)
	return list
}

// direct sends a directory out if it differs from the last; p.mu is held.
func (p *Publisher) direct(servers []*hostlink.DirectoryServer) {
	if slices.EqualFunc(servers, p.directory.Servers, equalServer) {
		return
	}
	p.share(servers)
	// The version only has to grow, also when another controller made the last.
	version := max(p.directory.Version+1, uint64(p.clock.Now().UnixNano()))
	p.broadcast(&hostlink.Directory{Version: version, Servers: servers})
}

// share puts the entries of the last directory in the place of equal ones: what
// differs is then found by looking at addresses, once for each host. p.mu is
// held.
func (p *Publisher) share(servers []*hostlink.DirectoryServer) {
	last := p.directory.Servers
	for i, s := range servers {
		at, found := slices.BinarySearchFunc(last, s, byHostAndName)
		if found && equalServer(last[at], s) {
			servers[i] = last[at]
		}
	}
}

func byHostAndName(a, b *hostlink.DirectoryServer) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Name, b.Name))
}

func equalServer(a, b *hostlink.DirectoryServer) bool { return a == b || proto.Equal(a, b) }

// broadcast offers a directory to all links and relays: to a host what servers of
// its site need, and only when that changed. p.mu is held.
func (p *Publisher) broadcast(d *hostlink.Directory) {
	p.directory = d
	sites := map[string]*hostlink.Directory{}
	for _, s := range d.Servers {
		if sites[s.Site] == nil {
			sites[s.Site] = &hostlink.Directory{Version: d.Version}
		}
	}
	for site, part := range sites {
		for _, s := range d.Servers {
			if s.Site == site || s.Ports[crossSite] != 0 {
				part.Servers = append(part.Servers, s)
			}
		}
		if old := p.sites[site]; old != nil && slices.EqualFunc(old.Servers, part.Servers, equalServer) {
			sites[site] = old
		}
	}
	p.sites = sites
	for _, h := range p.hosts {
		if l, ok := h.route.(*link); ok {
			p.offerDirectory(l, h)
		}
	}
	for r := range p.relays {
		r.direct(d)
	}
}

// crossSite is the socket binding of servers that those of other sites reach.
const crossSite = "site-cache"

// offerDirectory offers a host the directory of its site, if it does not have
// it; p.mu is held.
func (p *Publisher) offerDirectory(l *link, h *host) {
	d := p.sites[p.siteOf(h)]
	if d == nil || d == l.directed {
		return
	}
	l.directed = d
	l.offer(func(o *outbox) { o.directory = d })
}

// siteOf is a host's site as its servers report it, who resolve expressions; as
// the model says while it reports none.
func (p *Publisher) siteOf(h *host) string {
	for _, s := range h.state.Servers {
		if s.Site != "" {
			return s.Site
		}
	}
	tree, _, _ := p.source.Model()
	site, _ := tree.Value(profiles.Address{{Type: "host", Name: h.state.Name}}, "site").(string)
	return site
}

// Directory is the newest directory.
func (p *Publisher) Directory() *hostlink.Directory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.directory
}
