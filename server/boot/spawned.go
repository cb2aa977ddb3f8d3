package boot

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// drainLimit is how long requests in flight may take when the server stops and
// nobody said otherwise: the agent kills after its own, longer limit.
const drainLimit = 10 * time.Second

// Run is a server that an agent has spawned: it pulls its configuration
// through the agent and serves until ctx ends or the agent says stop.
func Run(ctx context.Context, p Process) error {
	// Every line names node and site, also those before there is a configuration.
	own := p.named(cluster.NodeName(p.Getenv(hostVariable), p.Getenv(serverVariable)), p.Getenv(siteVariable))
	relay, err := newRelay(p.Getenv, p.Stdin, p.Clock, p.Version, own.Log)
	if err != nil {
		return err
	}
	s := &spawned{process: own, relay: relay}
	err = tasks.Run(ctx,
		tasks.Task{Name: "link to the agent", Run: relay.Run}, // stops last: it carries the farewell
		tasks.Task{Name: "server", Run: s.run})
	if errors.Is(err, errTold) {
		return nil
	}
	return err
}

// errTold ends the process's tasks when the agent said stop.
var errTold = errors.New("told to stop")

// spawned is one server process of a domain.
type spawned struct {
	process
	relay *relay

	current servergroups.ServerConfig  // what runs
	pending *servergroups.ServerConfig // what a reload would run
	waits   string                     // what pending needs: reload-required or restart-required
	servers []*configrelay.DirectoryServer
	state   string
	members []string // as last told
	traffic traffic
}

// ending says why a generation ended.
type ending int

const (
	endStop ending = iota
	endReload
)

func (s *spawned) run(ctx context.Context) error {
	s.report("starting", "waiting for the configuration")
	select {
	case s.current = <-s.relay.configurations:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		end, err := s.generation(ctx)
		if err != nil {
			s.report("failed", err.Error())
			s.farewell()
			return err
		}
		if end == endStop {
			s.report("stopping", "")
			s.farewell()
			return errTold
		}
		if s.pending != nil {
			s.current, s.pending = *s.pending, nil
		}
	}
}

// farewell waits a moment until the agent has heard what was reported last:
// why a server ends is told by nobody else.
func (s *spawned) farewell() {
	s.relay.reports.end()
	limit := s.Clock.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-s.relay.heard:
	case <-limit.C:
	}
}

// generation runs one life of the services.
func (s *spawned) generation(ctx context.Context) (ending, error) {
	// Not ended by ctx: requests inside finish before the services end.
	genCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	env := environment{
		process: s.process,
		say:     func(message string) { s.report("starting", message) },
		certify: s.certify,
		trust:   s.relay.trust,
		certified: func(id *certs.Identity) {
			s.relay.reports.setTrusted(&configrelay.Trusted{Authorities: id.Trusted(), Issuer: id.Issuer()})
		},
		traffic: &s.traffic,
	}
	gen, err := newGeneration(genCtx, env, s.current)
	if err != nil {
		return endStop, err
	}
	if s.servers != nil {
		gen.directory(s.servers)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- gen.run(genCtx, func() { close(ready) }) }()
	end, err := s.serve(ctx, gen, ready, done)
	cancel()
	if err == nil {
		err = <-done
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return end, err
}

// serve reacts to everything that a running generation may be told. When it
// returns without an error the generation has been drained and is to be ended.
func (s *spawned) serve(ctx context.Context, gen generation, ready <-chan struct{}, done <-chan error) (ending, error) {
	tick := s.Clock.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ready:
			ready = nil
			s.ready(gen)
		case <-tick.C:
			s.tell(gen)
		case cfg := <-s.relay.configurations:
			s.configure(gen, cfg)
		case s.servers = <-s.relay.directories:
			gen.directory(s.servers)
		case command := <-s.relay.commands:
			if end, over := s.obey(ctx, gen, command); over {
				return end, nil
			}
		case err := <-done:
			if err == nil {
				err = problem.Internal.Errorf("the server ended by itself")
			}
			return endStop, err
		case <-ctx.Done():
			s.drain(ctx, gen, drainLimit)
			return endStop, nil
		}
	}
}

func (s *spawned) ready(gen generation) {
	gen.resume()
	if !s.relay.reports.toldTrust() { // it is in no cluster
		s.relay.reports.setTrusted(&configrelay.Trusted{Issuer: noCertificate})
	}
	s.state = "ready"
	if s.pending == nil {
		s.relay.reports.applied(s.current.Revision, "", "")
	} else { // it came while this generation was being made
		s.relay.reports.applied(s.pending.Revision, s.waits, "")
	}
	s.status(gen, "ready", "")
	s.Log.Info().Uint64("revision", s.current.Revision).Msg("ready")
}

// configure takes a new configuration: what can change while running does, the
// rest waits for a reload or a restart.
func (s *spawned) configure(gen generation, cfg servergroups.ServerConfig) {
	effect, _ := servergroups.Effect(s.current, cfg)
	required := map[profiles.Effect]string{profiles.Reload: "reload-required", profiles.Restart: "restart-required"}[effect]
	if required != "" {
		s.pending, s.waits = &cfg, required
		s.relay.reports.applied(cfg.Revision, required, "")
		s.Log.Info().Uint64("revision", cfg.Revision).Str("required", required).Msg("the new configuration waits")
		return
	}
	if err := gen.apply(cfg); err != nil {
		s.relay.reports.applied(cfg.Revision, "", err.Error())
		s.Log.Error().Err(err).Uint64("revision", cfg.Revision).Msg("cannot use the new configuration; going on with the one before")
		return
	}
	s.current, s.pending = cfg, nil
	s.relay.reports.applied(cfg.Revision, "", "")
	s.Log.Info().Uint64("revision", cfg.Revision).Msg("runs the new configuration")
	if s.state == "ready" {
		s.status(gen, s.state, "")
	}
}

// obey carries out a command; over reports that the generation is to end.
func (s *spawned) obey(ctx context.Context, gen generation, c *configrelay.Command) (end ending, over bool) {
	limit := time.Duration(c.GetTimeoutMs()) * time.Millisecond
	if limit <= 0 {
		limit = drainLimit
	}
	var err error
	switch c.GetKind() {
	case "suspend":
		s.status(gen, "suspending", "")
		err = s.drain(ctx, gen, limit)
		s.state = "suspended"
		s.status(gen, s.state, "")
	case "resume":
		gen.resume()
		s.state = "ready"
		s.status(gen, s.state, "")
	case "reload":
		s.drain(ctx, gen, limit)
		end, over = endReload, true
	case "stop":
		s.status(gen, "stopping", "")
		s.drain(ctx, gen, limit)
		end, over = endStop, true
	default:
		err = problem.Unsupported.Errorf("cannot %q: this server knows suspend, resume, reload and stop", c.GetKind())
	}
	if err != nil {
		s.relay.reports.done(c.GetId(), err.Error())
		return end, over
	}
	s.relay.reports.done(c.GetId(), "")
	return end, over
}

func (s *spawned) drain(ctx context.Context, gen generation, limit time.Duration) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	if err := gen.suspend(limited); err != nil {
		err = problem.Timeout.Errorf("requests were still running after %s", limit)
		s.Log.Warn().Err(err).Msg("not everything finished")
		return err
	}
	return nil
}

func (s *spawned) report(state, message string) {
	s.state = state
	s.relay.reports.setStatus(&configrelay.Status{State: state, Message: message, Revision: s.current.Revision})
	if message != "" && state != "failed" {
		s.Log.Info().Str("state", state).Msg(message)
	}
}

// tellEvery is how often it is looked whether members or traffic changed.
const tellEvery = time.Second

// tell reports what changes by itself.
func (s *spawned) tell(gen generation) {
	usage := &configrelay.Usage{}
	usage.Requests, usage.Errors = s.traffic.counts()
	if b, ok := gen.(*balancer); ok {
		usage.Backends = b.seen()
	}
	s.relay.reports.setUsage(usage)
	if s.state == "ready" && !slices.Equal(s.members, gen.members()) {
		s.status(gen, s.state, "")
	}
}

func (s *spawned) status(gen generation, state, message string) {
	s.members = gen.members()
	s.relay.reports.setStatus(&configrelay.Status{
		State: state, Message: message, Node: gen.node(), Ports: gen.ports(),
		Healthy: state == "ready", Revision: s.current.Revision, Members: s.members,
	})
}

// certify asks the domain's authority, through the agent.
func (s *spawned) certify(ctx context.Context, request []byte) (certificate, authority []byte, err error) {
	s.relay.reports.requestCertificate(request)
	select {
	case c := <-s.relay.certificates:
		s.relay.reports.forgetRequest()
		if c.GetProblem() != "" {
			return nil, nil, problem.Unavailable.Errorf("cannot get a certificate: %s", c.GetProblem())
		}
		return c.GetCertificate(), c.GetAuthority(), nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}
