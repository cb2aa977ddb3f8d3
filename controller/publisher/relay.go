package publisher

import (
	"context"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// RelayStream is the leader's end of another controller's relay.
type RelayStream interface {
	Send(*peerlink.RelayInstruction) error
	Recv() (*peerlink.RelayReport, error)
	Context() context.Context
}

// relay is the way to the hosts of another controller. It is a route.
type relay struct {
	controller string
	wake       chan struct{} // of capacity 1

	mu        sync.Mutex
	queue     []*peerlink.RelayInstruction
	directory *hostlink.Directory
}

// ServeRelay keeps another controller's relay until it ends. Its hosts are then
// not connected, until they are heard of again.
func (p *Publisher) ServeRelay(controller string, stream RelayStream) error {
	r := &relay{controller: controller, wake: make(chan struct{}, 1)}
	p.mu.Lock()
	p.relays[r] = true
	if p.directory.Version > 0 {
		r.direct(p.directory)
	}
	p.mu.Unlock()
	defer p.unrelay(r)
	received := make(chan error, 1)
	go func() { received <- p.receiveRelay(r, stream) }()
	for {
		select {
		case <-r.wake:
			for _, i := range r.take() {
				if err := stream.Send(i); err != nil {
					return err
				}
			}
		case err := <-received:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func (p *Publisher) receiveRelay(r *relay, stream RelayStream) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch hello := m.Report.GetHello(); {
		case m.Report == nil:
			p.down(m.Host, r)
		case hello != nil:
			if err := p.up(r, hello); err != nil {
				r.end(m.Host, err)
			}
		default:
			p.report(m.Host, r, m.Report)
		}
	}
}

func (p *Publisher) unrelay(r *relay) {
	p.mu.Lock()
	delete(p.relays, r)
	var lost []string
	for name, h := range p.hosts {
		if h.route == r {
			lost = append(lost, name)
			// Where controllers change it comes back in a moment.
			h.told, p.complete = false, false
		}
	}
	p.mu.Unlock()
	for _, name := range lost {
		p.down(name, r)
	}
}

func (r *relay) instruct(host string, i *hostlink.Instruction) error {
	return r.push(&peerlink.RelayInstruction{Host: host, Instruction: i})
}

func (r *relay) end(host string, why error) {
	_ = r.push(&peerlink.RelayInstruction{Host: host, End: why.Error()}) // when full, the host is told with its next hello
}

func (r *relay) push(i *peerlink.RelayInstruction) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= relayQueued {
		return problem.Unavailable.Errorf("cannot give host %s an order: controller %s has %d unread ones", i.Host, r.controller, relayQueued)
	}
	r.queue = append(r.queue, i)
	r.awake()
	return nil
}

func (r *relay) direct(d *hostlink.Directory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.directory = d
	r.awake()
}

func (r *relay) awake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *relay) take() []*peerlink.RelayInstruction {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.queue
	if r.directory != nil {
		list = append(list, &peerlink.RelayInstruction{Instruction: &hostlink.Instruction{Instruction: &hostlink.Instruction_Directory{Directory: r.directory}}})
	}
	r.queue, r.directory = nil, nil
	return list
}
