package configrelay

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/protocol"
)

// link is one attached server. What is to be sent is kept as state, newest
// wins, so that a slow server holds no queue; only commands and certificates
// are queued, and both are bounded by who asks for them.
type link struct {
	server string
	ctx    context.Context
	cancel context.CancelCauseFunc
	wake   chan struct{}

	mu            sync.Mutex
	configuration *relaypb.Configuration
	directory     *relaypb.Directory
	trust         *relaypb.Trust
	queue         []*relaypb.Instruction
	asked         map[string]chan string
	number        uint64
}

func newLink(ctx context.Context, server string) *link {
	l := &link{server: server, wake: make(chan struct{}, 1), asked: map[string]chan string{}}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	return l
}

func (l *link) close(why error) { l.cancel(why) }

func (l *link) change(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) configure(c *relaypb.Configuration) { l.change(func() { l.configuration = c }) }
func (l *link) publish(d *relaypb.Directory)       { l.change(func() { l.directory = d }) }
func (l *link) entrust(t *relaypb.Trust)           { l.change(func() { l.trust = t }) }
func (l *link) enqueue(i *relaypb.Instruction)     { l.change(func() { l.queue = append(l.queue, i) }) }

// ask sends a command; the channel gets the problem of its answer, or "".
func (l *link) ask(kind string, timeout time.Duration) <-chan string {
	answer := make(chan string, 1)
	l.change(func() {
		l.number++
		id := strconv.FormatUint(l.number, 10)
		l.asked[id] = answer
		l.queue = append(l.queue, &relaypb.Instruction{Instruction: &relaypb.Instruction_Command{
			Command: &relaypb.Command{Id: id, Kind: kind, TimeoutMs: timeout.Milliseconds()},
		}})
	})
	return answer
}

func (l *link) answered(r *relaypb.CommandResult) {
	l.mu.Lock()
	answer := l.asked[r.GetId()]
	delete(l.asked, r.GetId())
	l.mu.Unlock()
	if answer != nil {
		answer <- r.GetProblem()
	}
}

// take gives what is to be sent now: trust first, because a server that starts
// uses it to join its cluster; configuration before directory before commands,
// because a command may be about the configuration.
func (l *link) take() []*relaypb.Instruction {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*relaypb.Instruction
	if l.trust != nil {
		out = append(out, &relaypb.Instruction{Instruction: &relaypb.Instruction_Trust{Trust: l.trust}})
	}
	if l.configuration != nil {
		out = append(out, &relaypb.Instruction{Instruction: &relaypb.Instruction_Configuration{Configuration: l.configuration}})
	}
	if l.directory != nil {
		out = append(out, &relaypb.Instruction{Instruction: &relaypb.Instruction_Directory{Directory: l.directory}})
	}
	out = append(out, l.queue...)
	l.configuration, l.directory, l.trust, l.queue = nil, nil, nil, nil
	return out
}

// send writes instructions until the link ends.
func (l *link) send(stream relaypb.ConfigRelay_AttachServer) {
	for {
		for _, i := range l.take() {
			if err := stream.Send(i); err != nil {
				l.cancel(err)
				return
			}
		}
		select {
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
	}
}

// Attach is a server's standing link.
func (r *Relay) Attach(stream relaypb.ConfigRelay_AttachServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return problem.ToGRPC(problem.Invalid.Errorf("cannot attach: the first message must be Hello"))
	}
	server := hello.GetServer()
	l := newLink(stream.Context(), server)
	key, err := r.admit(hello, l)
	if problem.Is(err, problem.Unsupported) {
		r.config.Observer.Refused(server, err.Error())
	}
	if err != nil {
		r.config.Log.Warn().Err(err).Str("server", server).Msg("refused a server")
		return problem.ToGRPC(err)
	}
	defer r.leave(l)
	if err := stream.Send(&relaypb.Instruction{Instruction: &relaypb.Instruction_Welcome{Welcome: &relaypb.Welcome{
		ReconnectKey: key, Protocol: protocol.Negotiate(r.config.Speaks, hello.Protocols())}}}); err != nil {
		return err
	}
	r.config.Observer.Attached(server, hello.GetVersion())
	sent := make(chan struct{})
	go func() { defer close(sent); l.send(stream) }()
	go r.receive(stream, l)
	<-l.ctx.Done()
	<-sent // gRPC forbids sending after the handler has returned
	return problem.ToGRPC(problem.Unavailable.Errorf("the link of server %q ended: %w", server, context.Cause(l.ctx)))
}

// admit checks a Hello and makes l the server's link. A spawn token gives the
// reconnect key, and is used up as soon as the server shows that it has the key:
// by its first report, or by the key itself. An agent that is killed between
// the two leaves a server that can still attach.
func (r *Relay) admit(hello *relaypb.Hello, l *link) (key string, err error) {
	refused := problem.Unauthorized.Errorf("cannot attach server %q: its token or key is not the one this agent gave", hello.GetServer())
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.servers[hello.GetServer()]
	if e == nil {
		return "", refused
	}
	spawned, again := matches(hello.GetSpawnToken(), e.tokenDigest), matches(hello.GetReconnectKey(), e.keyDigest)
	if theirs := hello.Protocols(); (spawned || again) && protocol.Negotiate(r.config.Speaks, theirs) == 0 {
		return "", problem.WithHint(problem.Unsupported.Errorf("cannot attach server %q: it speaks %s, its agent %s", hello.GetServer(), theirs, r.config.Speaks),
			"the program was replaced: restart the agent with it too, /host=H:shutdown(restart=true)")
	}
	switch {
	case spawned:
		var digest string
		if key, digest, err = newSecret(); err != nil {
			return "", err
		}
		if err := r.config.Keys.SaveKeys(hello.GetServer(), e.tokenDigest, digest); err != nil {
			return "", err
		}
		e.keyDigest = digest
	case again:
		key = hello.GetReconnectKey()
		if err := r.spend(hello.GetServer(), e); err != nil {
			return "", err
		}
	default:
		return "", refused
	}
	if e.link != nil {
		e.link.close(problem.Conflict.Errorf("a newer link of the same server replaced it"))
	}
	e.link = l
	l.configuration, l.directory, l.trust = e.configuration, r.directory, r.trust
	return key, nil
}

// spend ends the use of a server's spawn token; r.mu is held.
func (r *Relay) spend(server string, e *entry) error {
	if e.tokenDigest == "" {
		return nil
	}
	if err := r.config.Keys.SaveKeys(server, "", e.keyDigest); err != nil {
		return err
	}
	e.tokenDigest = ""
	return nil
}

// confirmed hears the first report on a link: its server has the key.
func (r *Relay) confirmed(l *link) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.servers[l.server]; e != nil && e.link == l {
		return r.spend(l.server, e)
	}
	return nil
}

func (r *Relay) leave(l *link) {
	l.cancel(nil)
	r.mu.Lock()
	e := r.servers[l.server]
	last := e != nil && e.link == l
	if last {
		e.link = nil
	}
	r.mu.Unlock()
	if last {
		r.config.Observer.Detached(l.server)
	}
}

func (r *Relay) receive(stream relaypb.ConfigRelay_AttachServer, l *link) {
	for first := true; ; first = false {
		report, err := stream.Recv()
		if err == nil && first {
			err = r.confirmed(l)
		}
		if err != nil {
			l.cancel(err)
			return
		}
		switch m := report.GetReport().(type) {
		case *relaypb.Report_Status:
			r.config.Observer.Reported(l.server, m.Status)
		case *relaypb.Report_Applied:
			r.config.Observer.Applied(l.server, m.Applied)
		case *relaypb.Report_Usage:
			r.config.Observer.Used(l.server, m.Usage)
		case *relaypb.Report_Trusted:
			r.config.Observer.Trusted(l.server, m.Trusted)
		case *relaypb.Report_CommandResult:
			l.answered(m.CommandResult)
		case *relaypb.Report_CertificateRequest:
			go r.certify(l, m.CertificateRequest)
		}
	}
}

// certify gets a certificate for the server from a controller. Without one the
// server is told so, keeps what it has and asks again.
func (r *Relay) certify(l *link, request []byte) {
	answer := &relaypb.Certificate{}
	certificate, authority, err := r.config.Signer.Sign(l.ctx, l.server, request)
	if err != nil {
		answer.Problem = err.Error()
	} else {
		answer.Certificate, answer.Authority = certificate, authority
	}
	l.enqueue(&relaypb.Instruction{Instruction: &relaypb.Instruction_Certificate{Certificate: answer}})
}
