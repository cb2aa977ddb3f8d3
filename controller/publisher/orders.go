package publisher

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// Order is what a host is told to do.
type Order struct {
	// Kind is one of proto/hostlink's: start, stop, restart, reload, suspend,
	// resume, kill, destroy, read-log, support-bundle, host-reload,
	// host-shutdown.
	Kind   string
	Server string // "": the host itself
	// Timeout is how long the host may take; required.
	Timeout    time.Duration
	Parameters map[string]any
	// Output, if not nil, receives what the order puts out while it runs, in
	// pieces, one at a time. It must not block for long.
	Output func(chunk []byte)
}

// grace is how much longer than the order's own timeout its answer is awaited.
const grace = 2 * time.Second

// takePatience is how long an order waits for its host to take a revision: it
// only stores it.
const takePatience = 10 * time.Second

// pending is an order whose result is awaited.
type pending struct {
	host   string
	result chan *hostlink.OrderResult // of capacity 1
	output func([]byte)
}

// Order gives a host an order and waits for its result, in JSON. When ctx ends
// the host is told to give up. A controller that has just begun to lead waits for
// the host to be heard of.
func (p *Publisher) Order(ctx context.Context, name string, o Order) (json.RawMessage, error) {
	parameters, err := json.Marshal(o.Parameters)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot order %s: %w", o.Kind, err)
	}
	p.hear(ctx, name)
	id := rand.Text()
	wait := &pending{host: name, result: make(chan *hostlink.OrderResult, 1), output: o.Output}
	way, err := p.await(id, wait, &hostlink.Instruction{Instruction: &hostlink.Instruction_Order{Order: &hostlink.Order{
		Id: id, Kind: o.Kind, Server: o.Server, TimeoutMs: o.Timeout.Milliseconds(), Parameters: parameters,
	}}})
	defer p.forget(id)
	if err != nil {
		return nil, err
	}
	timer := p.clock.NewTimer(o.Timeout + grace)
	defer timer.Stop()
	select {
	case r := <-wait.result:
		return r.Result, resultProblem(r)
	case <-timer.C:
		err = problem.Timeout.Errorf("cannot %s %s of host %s: no answer within %s", o.Kind, o.Server, name, o.Timeout+grace)
	case <-ctx.Done():
		err = problem.Timeout.Errorf("cannot %s %s of host %s: %w", o.Kind, o.Server, name, ctx.Err())
	}
	_ = way.instruct(name, &hostlink.Instruction{Instruction: &hostlink.Instruction_Cancel{Cancel: &hostlink.Cancel{Order: id}}})
	return nil, err
}

// Settle waits until a host has taken what the newest revision wants of it, so
// that an order that follows a change finds what the change made. A host that is
// away, refused it or takes longer than takePatience is not waited for.
func (p *Publisher) Settle(ctx context.Context, name string) {
	p.until(ctx, takePatience, func() (bool, <-chan struct{}) {
		h, changed := p.Host(name)
		current, err := p.Current(name)
		return err != nil || current || !h.Connected || h.Problem != "", changed
	})
}

// hear waits for a host that may be connected to another controller: one that has
// just begun to lead does not know yet. See heardFromAll.
func (p *Publisher) hear(ctx context.Context, name string) {
	p.until(ctx, settle, func() (bool, <-chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		h := p.hosts[name]
		unknown := p.leads && (h == nil || h.route == nil) && !p.heardFromAll()
		return !unknown, p.changed
	})
}

// HearFromAll waits until this controller, when it has just begun to lead, knows the
// hosts of the domain: each has reported, or had the time to.
func (p *Publisher) HearFromAll(ctx context.Context) {
	p.until(ctx, settle, func() (bool, <-chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.leads || p.heardFromAll(), p.changed
	})
}

// until waits until done says so, which is asked again when its channel is closed,
// and no longer than limit.
func (p *Publisher) until(ctx context.Context, limit time.Duration, done func() (bool, <-chan struct{})) {
	timer := p.clock.NewTimer(limit)
	defer timer.Stop()
	for {
		yes, changed := done()
		if yes {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// await enters the order before it is sent, so that no answer is missed.
func (p *Publisher) await(id string, wait *pending, i *hostlink.Instruction) (route, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[wait.host]
	if h == nil || h.route == nil {
		return nil, problem.Unavailable.Errorf("cannot reach host %s: it is not connected", wait.host)
	}
	p.orders[id] = wait
	return h.route, h.route.instruct(wait.host, i)
}

func (p *Publisher) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.orders, id)
}

// orderDone passes a result on; p.mu is held.
func (p *Publisher) orderDone(r *hostlink.OrderResult) {
	if wait := p.orders[r.Id]; wait != nil {
		delete(p.orders, r.Id)
		wait.result <- r
	}
}

// orderOutput passes output on; p.mu is held.
func (p *Publisher) orderOutput(o *hostlink.OrderOutput) {
	if wait := p.orders[o.Id]; wait != nil && wait.output != nil {
		wait.output(o.Chunk)
	}
}

// failOrders ends the orders of a host that was lost; p.mu is held.
func (p *Publisher) failOrders(name string) {
	for id, wait := range p.orders {
		if wait.host == name {
			p.orderDone(&hostlink.OrderResult{Id: id, Kind: problem.Unavailable.String(),
				Problem: "cannot tell what came of the order: host " + name + " disconnected"})
		}
	}
}

func resultProblem(r *hostlink.OrderResult) error {
	if r.Problem == "" {
		return nil
	}
	for k := problem.Internal; k <= problem.Unsupported; k++ {
		if k.String() == r.Kind {
			return k.Errorf("%s", r.Problem)
		}
	}
	return problem.Internal.Errorf("%s", r.Problem)
}
