package publisher

import (
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// up enters a host's new route. The newest link of an installation replaces its
// older one; another installation is refused while the first is connected.
func (p *Publisher) up(r route, hello *hostlink.Hello) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[hello.Host]
	if h == nil {
		h = &host{state: HostState{Name: hello.Host}}
		p.hosts[hello.Host] = h
	}
	if h.route != nil && h.state.Installation != hello.Installation {
		return problem.WithHint(
			problem.Conflict.Errorf("cannot connect host %s: another installation of that name is connected since %s", hello.Host, h.state.Since.UTC().Format(time.RFC3339)),
			"give this one a name of its own, or stop the other first")
	}
	if h.route != nil && h.route != r {
		h.route.end(hello.Host, problem.Conflict.Errorf("cannot keep the link of host %s: it has a newer one", hello.Host))
	}
	h.route, h.hello, h.told = r, hello, false
	h.state.Connected, h.state.Since = true, p.clock.Now()
	h.state.Installation, h.state.Boot, h.state.Version = hello.Installation, hello.Boot, hello.Version
	h.state.Address, h.state.Facts, h.state.Trusted = hello.Address, hello.Facts, nil
	h.state.Revision, h.state.Checksum, h.state.Problem = hello.Revision, hello.Checksum, ""
	p.log.Info().Str("host", hello.Host).Str("version", hello.Version).Str("address", hello.Address).Msg("host connected")
	p.tapped(hello.Host, &hostlink.Report{Report: &hostlink.Report_Hello{Hello: hello}})
	p.notify()
	return nil
}

// down ends a host's route, if r still is it.
func (p *Publisher) down(name string, r route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	if h == nil || h.route != r {
		return
	}
	h.route, h.told = nil, false
	h.state.Connected, h.state.Since = false, p.clock.Now()
	p.log.Info().Str("host", name).Msg("host disconnected")
	p.failOrders(name)
	p.tapped(name, nil)
	p.notify()
	p.forgetIfRemoved(name)
}

// forgetRemoved forgets hosts that are neither connected nor of the domain: any
// controller may have removed them, and a hello that was under way then may have
// brought one back. p.mu is held.
func (p *Publisher) forgetRemoved() {
	for name := range p.hosts {
		p.forgetIfRemoved(name)
	}
}

// forgetIfRemoved is forgetRemoved for one host; p.mu is held.
func (p *Publisher) forgetIfRemoved(name string) {
	if h := p.hosts[name]; h != nil && h.route == nil && !p.knows(name) {
		delete(p.hosts, name)
		delete(p.published, name)
		p.notify()
	}
}

// report takes what a host says over its route r.
func (p *Publisher) report(name string, r route, report *hostlink.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	if h == nil || h.route != r {
		return // a link that was replaced
	}
	switch m := report.Report.(type) {
	case *hostlink.Report_Acknowledge:
		p.acknowledged(h, m.Acknowledge)
	case *hostlink.Report_Servers:
		h.state.Servers = m.Servers.Servers
		if h.state.Servers == nil {
			h.state.Servers = []*hostlink.ServerStatus{} // it has none, and said so
		}
		h.told = true
		p.notify()
	case *hostlink.Report_Facts:
		h.state.Facts = m.Facts
	case *hostlink.Report_ProbeReply:
		h.state.Skew = skew(time.Unix(0, m.ProbeReply.SentUnixNs), time.Unix(0, m.ProbeReply.HostUnixNs), p.clock.Now())
	case *hostlink.Report_DirectoryLost:
		if l, ours := r.(*link); ours && l.directed != nil {
			p.log.Warn().Str("host", name).Msg("host cannot use a change of the directory; sending it whole")
			l.redirect(l.directed)
		}
		return // between us and the host
	case *hostlink.Report_Trusted:
		h.state.Trusted = m.Trusted
		p.notify()
	case *hostlink.Report_OrderResult:
		p.orderDone(m.OrderResult)
	case *hostlink.Report_OrderOutput:
		p.orderOutput(m.OrderOutput)
	}
	p.tapped(name, report)
}

// skew is how far a host's clock is ahead, by the time that it told between our
// sent and now. What the way there and back may explain is none: on a busy machine
// that is seconds.
func skew(sent, host, now time.Time) time.Duration {
	switch {
	case host.After(now):
		return host.Sub(now)
	case host.Before(sent):
		return host.Sub(sent)
	}
	return 0
}

func (p *Publisher) acknowledged(h *host, a *hostlink.Acknowledge) {
	if a.Problem != "" {
		h.state.Problem = a.Problem
		p.log.Warn().Str("host", h.state.Name).Uint64("revision", a.Revision).Str("problem", a.Problem).Msg("host refused its snapshot")
	} else {
		h.state.Revision, h.state.Checksum, h.state.Problem = a.Revision, a.Checksum, ""
	}
	p.notify()
}

// Expel ends a host's link and forgets the host.
func (p *Publisher) Expel(name string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[name]
	if h == nil {
		return
	}
	if h.route != nil {
		h.route.end(name, why)
	}
	p.failOrders(name)
	delete(p.hosts, name)
	delete(p.published, name)
	p.notify()
}
