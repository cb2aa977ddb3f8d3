package publisher

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// relayQueued bounds what may wait on a relay, in either direction: up to four reports
// for each of 1,000 hosts that come back at once, and orders for all of them. A
// tap that overflows is ended; its controller relays anew, from the state.
const relayQueued = 8192

// ToLeader is this controller's end of its relay to the leader.
type ToLeader interface {
	Send(*peerlink.RelayReport) error
	Recv() (*peerlink.RelayInstruction, error)
	Context() context.Context
}

// tap copies what the hosts of this controller report.
type tap struct {
	reports chan *peerlink.RelayReport
	lost    chan struct{} // closed when reports overflowed
}

// Relay carries this controller's hosts to the leader until the stream ends.
func (p *Publisher) Relay(stream ToLeader) error {
	t := p.tap()
	defer p.untap(t)
	received := make(chan error, 1)
	go func() { received <- p.obey(stream) }()
	for {
		select {
		case r := <-t.reports:
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-t.lost:
			return problem.Unavailable.Errorf("cannot relay to the leader: it reads too slowly")
		case err := <-received:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// obey does what the leader says.
func (p *Publisher) obey(stream ToLeader) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		p.mu.Lock()
		h := p.hosts[m.Host]
		switch d := m.Instruction.GetDirectory(); {
		case d != nil:
			p.broadcast(d)
		case h == nil || h.route == nil:
			// Gone meanwhile; the leader knows by now, or will.
		case m.End != "":
			h.route.end(m.Host, problem.Conflict.Errorf("%s", m.End))
		default:
			_ = h.route.instruct(m.Host, m.Instruction) // a refused order runs into its timeout
		}
		p.mu.Unlock()
	}
}

// tap starts copying, beginning with what is known now.
func (p *Publisher) tap() *tap {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &tap{reports: make(chan *peerlink.RelayReport, relayQueued), lost: make(chan struct{})}
	p.taps[t] = true
	for name, h := range p.hosts {
		if _, ours := h.route.(*link); !ours {
			continue
		}
		t.copy(name, &hostlink.Report{Report: &hostlink.Report_Hello{Hello: h.hello}})
		t.copy(name, &hostlink.Report{Report: &hostlink.Report_Acknowledge{Acknowledge: &hostlink.Acknowledge{
			Revision: h.state.Revision, Checksum: h.state.Checksum, Problem: h.state.Problem}}})
		if h.state.Trusted != nil {
			t.copy(name, &hostlink.Report{Report: &hostlink.Report_Trusted{Trusted: h.state.Trusted}})
		}
		if h.told {
			t.copy(name, &hostlink.Report{Report: &hostlink.Report_Servers{Servers: &hostlink.ServerStatuses{Servers: h.state.Servers}}})
		}
	}
	return t
}

func (p *Publisher) untap(t *tap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.taps, t)
}

// tapped copies a report of one of our hosts to the taps; nil: the host is
// gone. p.mu is held.
func (p *Publisher) tapped(host string, r *hostlink.Report) {
	for t := range p.taps {
		t.copy(host, r)
	}
}

func (t *tap) copy(host string, r *hostlink.Report) {
	select {
	case <-t.lost:
	case t.reports <- &peerlink.RelayReport{Host: host, Report: r}:
	default:
		close(t.lost)
	}
}
