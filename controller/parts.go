package controller

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/console"
	"github.com/gatehouse-idp/gatehouse/controller/operations"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/controller/statemachine"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/proto/peerlink"
)

// parts are the running parts of a controller.
type parts struct {
	*Controller
	installing sync.Mutex // held while in is changed and saved
	in         installation
	identity   *certs.Identity
	replica    *replica.Replica
	leader     *peers.Client
	authority  *authority.Authority
	publisher  *publisher.Publisher
	desk       *operations.Desk
	api        *api.Interface
	console    *console.Console
	outside    outside
	standing   certs.Standing // connections of other controllers
	revoking   atomic.Pointer[authority.Authority]
	founding   bool          // in this run the domain may come into being
	founded    chan struct{} // closed when that was tried
	tried      func()        // closes founded, once
}

// messageLimit bounds a gRPC message: a snapshot of a host with 1,000 servers.
const messageLimit = 64 << 20

// assemble makes the parts, from the log upwards.
func (c *Controller) assemble(in installation) (*parts, error) {
	p := &parts{Controller: c, in: in, founding: in.AuthorityKey != nil, founded: make(chan struct{})}
	p.tried = sync.OnceFunc(func() { close(p.founded) })
	var err error
	if p.identity, err = in.identity(c.cfg.Clock.Now); err != nil {
		return nil, err
	}
	latency := commitLatency()
	machine := statemachine.New()
	node, err := consensus.Open(consensus.Config{
		Name:      in.Name,
		Dir:       filepath.Join(c.cfg.Dir, "log"),
		Transport: consensus.TLS(c.listeners.replication, c.place.Replication, p.identity, p.allow, &p.standing, c.cfg.Log),
		Machine:   replica.Adapt(machine),
		Key:       in.LogKey,
		Committed: func(took time.Duration) { latency.Observe(took.Seconds()) },
		Log:       c.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	p.leader = peers.NewClient(p, p.identity, p.allow)
	p.replica = replica.New(node, machine, p.leader, c.cfg.Clock)
	p.publisher = publisher.New(publisher.Config{Source: p.replica, Registrar: registrar{p}, Knows: p.knowsHost, Version: c.cfg.Version, Clock: c.cfg.Clock, Log: c.cfg.Log})
	p.authority = authority.New(authority.Config{Records: p.replica, Presence: p.publisher, Clock: c.cfg.Clock})
	p.revoking.Store(p.authority)
	p.desk = operations.New(operations.Config{
		Replica: p.replica, Leader: p.leader, Authority: p.authority, Publisher: p.publisher, Papers: p.papersOf, Clock: c.cfg.Clock, Log: c.cfg.Log,
	})
	sessions, err := hkdf.Key(sha256.New, in.LogKey, nil, "gatehouse management sessions v1", 32)
	if err != nil {
		return nil, err
	}
	gatherer, err := p.metrics(latency)
	if err != nil {
		return nil, err
	}
	p.api = api.New(api.Config{
		Model: p.desk, Users: users{p.replica}, Endings: endings{p.replica, c.cfg.Clock}, SessionKey: sessions, Audit: c.cfg.Audit, Metrics: gatherer,
		Healthy: p.healthy, Version: c.cfg.Version, Clock: c.cfg.Clock, Log: c.cfg.Log,
	})
	forms, err := hkdf.Key(sha256.New, in.LogKey, nil, "gatehouse console forms v1", 32)
	if err != nil {
		return nil, err
	}
	p.console, err = console.New(console.Config{Management: p.api, Key: forms, Version: c.cfg.Version, Clock: c.cfg.Clock, Log: c.cfg.Log})
	return p, err
}

// run runs the parts. They stop in the reverse order: first those that let work
// in, the log last.
func (p *parts) run(ctx context.Context) error {
	log := p.cfg.Log
	log.Info().Str("controller", p.in.Name).Str("native", p.place.Native).Str("http", p.listeners.http.Addr().String()).
		Str("replication", p.place.Replication).Str("authority", certs.Fingerprint(p.identity.Authority())).Msg("controller starts")
	if p.in.AuthorityKey != nil {
		// The first boot of a domain, or one that was cut short.
		if err := p.replica.Bootstrap(); err != nil {
			return errors.Join(err, p.replica.Close())
		}
	}
	err := tasks.Run(ctx,
		tasks.Task{Name: "log", Run: p.keepLog},
		tasks.Task{Name: "leader", Run: func(ctx context.Context) error { return p.replica.Lead(ctx, p.lead) }},
		tasks.Task{Name: "publisher", Run: p.publisher.Run},
		tasks.Task{Name: "membership", Run: p.keepMembership},
		tasks.Task{Name: "relay", Run: p.keepRelay},
		tasks.Task{Name: "certificate", Run: p.keepCertificate},
		tasks.Task{Name: "revocations", Run: p.keepRevocations},
		tasks.Task{Name: "native port", Run: p.onceFounded(p.serveNative)},
		tasks.Task{Name: "console", Run: p.console.Run},
		tasks.Task{Name: "HTTP management port", Run: p.onceFounded(p.serveHTTP)},
		tasks.Task{Name: "management socket", Run: p.serveLocal},
	)
	log.Info().Msg("controller stopped")
	return err
}

// onceFounded has a part take nothing in, at the first boot of a domain, until there
// is one: an operation would find neither the authority nor the model, and the seed
// would undo what it changed. Who calls meanwhile waits. Where the domain could not
// be founded, operators are let in to see it.
func (p *parts) onceFounded(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if p.founding {
			select {
			case <-p.founded:
			case <-p.ready: // another controller leads, and did it
			case <-ctx.Done():
			}
		}
		return run(ctx)
	}
}

// keepLog holds the log open until all else has stopped.
func (p *parts) keepLog(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-p.replica.Failed():
	}
	return errors.Join(p.replica.Failure(), p.leader.Close(), p.replica.Close())
}

// serveNative serves hosts, other controllers and management clients.
func (p *parts) serveNative(ctx context.Context) error {
	options := append(api.Options(),
		grpc.Creds(newHandshakes(credentials.NewTLS(p.identity.ServerWithChain(false, p.allow)), p.hold, p.cfg.Clock, p.cfg.Log)),
		grpc.MaxRecvMsgSize(messageLimit),
		// Hosts and controllers probe every 10 s.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		// A host whose machine was cut off is noticed in 15 s.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)
	server := grpc.NewServer(options...)
	hostlink.RegisterHostLinkServer(server, &hosts{authority: p.authority, publisher: p.publisher, maySign: p.maySign, log: p.cfg.Log})
	peerlink.RegisterPeerLinkServer(server, &peers.Server{Domain: p.desk, Authority: p.authority, Publisher: p.publisher, LogKey: p.in.LogKey, Papers: p.papers, MaySign: p.maySign})
	p.api.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(p.listeners.native) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		// Standing links never end by themselves; whoever holds one goes elsewhere.
		server.Stop()
		<-served
		return nil
	}
}

// serveLocal serves the management socket.
func (p *parts) serveLocal(ctx context.Context) error {
	l, err := api.ListenLocal(filepath.Join(p.cfg.Dir, SocketName))
	if err != nil {
		return err
	}
	return p.onceFounded(func(ctx context.Context) error { return p.api.ServeOn(ctx, l) })(ctx)
}

// serveHTTP serves the HTTP management interface and the console, over TLS.
func (p *parts) serveHTTP(ctx context.Context) error {
	paths := http.NewServeMux()
	paths.Handle("/", p.api.HTTP())
	paths.Handle("/{$}", p.console)
	paths.Handle("/console", p.console)
	paths.Handle("/console/", p.console)
	server := &http.Server{Handler: paths, ReadHeaderTimeout: 10 * time.Second, TLSConfig: p.identity.ServerWithChain(false, p.allow)}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(p.listeners.http, "", "") }() // the certificate is in the configuration
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		err := server.Close()
		<-served
		return err
	}
}

// healthy implements the health answer: a controller that can neither lead nor
// reach a leader is not.
func (p *parts) healthy(context.Context) error {
	if err := p.replica.Failure(); err != nil {
		return err
	}
	if p.replica.Leader().Name == "" {
		return problem.Unavailable.Errorf("no controller leads: a majority of the controllers cannot be reached")
	}
	return nil
}

// LeaderPlace implements peers.Directory.
func (p *parts) LeaderPlace() (string, peers.Place) {
	name := p.replica.Leader().Name
	var at peers.Place
	if r, ok := p.replica.Record(peers.KindController, name); ok {
		if err := json.Unmarshal(r.Value, &at); err != nil {
			p.cfg.Log.Error().Err(err).Str("controller", name).Msg("cannot read where a controller is")
		}
	}
	return name, at
}

var _ access.Store = users{}
