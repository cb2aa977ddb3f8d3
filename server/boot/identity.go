package boot

import (
	"context"
	"net"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/caches/stored"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
	"github.com/gatehouse-idp/gatehouse/server/health"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// identity is one life of an identity server.
type identity struct {
	environment
	cfg       servergroups.ServerConfig
	now       atomic.Pointer[settings] // changes live
	nodeName  string
	gate      *gate
	hasher    *passwords.Hasher            // one for all: it bounds the memory of hashing
	handler   atomic.Pointer[http.Handler] // nil until the server is ready
	health    *health.Server
	metrics   *prometheus.Registry
	discovery discovery
	mesh      atomic.Pointer[caches.Mesh] // nil until it was joined
	listeners map[string]net.Listener     // by binding name
	imported  bool                        // this boot has changed the database past the caches
	take      func()                      // frees the cluster's port for its node, nil when there is none
	web       []webListener
}

// newIdentity opens the server's ports: a port that is taken is known before
// anything else happens.
func newIdentity(ctx context.Context, env environment, cfg servergroups.ServerConfig) (*identity, error) {
	read, err := readSettings(cfg, env.Dir)
	if err != nil {
		return nil, err
	}
	if err := env.Logs.Configure(read.logging); err != nil {
		return nil, err
	}
	on, err := features(env.Dir, cfg)
	if err != nil {
		return nil, err
	}
	env.Log.Debug().Strs("features", on).Msg("features that are on")
	g := &identity{
		environment: env, cfg: cfg,
		nodeName:  cfg.String(cluster.NodeName(cfg.Host, cfg.Name), "cluster", "node-name"),
		metrics:   newRegistry(),
		hasher:    passwords.NewHasher(0),
		listeners: map[string]net.Listener{},
	}
	g.now.Store(&read)
	if counts(cfg) {
		if g.traffic == nil { // nobody else counts for a server by itself
			g.traffic = &traffic{}
		}
		g.traffic.register(g.metrics)
	}
	g.gate = newGate(g.traffic.count(http.HandlerFunc(g.serve)))
	if g.discovery, err = readDiscovery(cfg, g.clusterPort()); err != nil {
		return nil, err
	}
	if err := g.listen(ctx); err != nil {
		g.closeListeners()
		return nil, err
	}
	if l := g.listeners[g.clusterPort()]; l != nil {
		g.take = cluster.Hold(l)
	}
	g.health = health.New(health.Config{Listener: g.listeners[healthBinding], Gatherer: g.metrics, Log: env.logger("server.health")})
	g.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gatehouse_dblock_wait_timeout_seconds", Help: "How long a boot waits for the database lock (spi dblock, lockWaitTimeout).",
	}, func() float64 { return g.now.Load().lockWait.Seconds() }))
	return g, nil
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// run is the whole boot, in the order in which it has to be: who asks how we
// are gets an answer first; the database before what reads it; the cluster
// before caches that others must be able to invalidate; the ports that people
// use last. The end goes the other way round.
func (g *identity) run(ctx context.Context, ready func()) error {
	defer g.closeListeners()
	return tasks.Run(ctx,
		tasks.Task{Name: "health", Run: g.health.Run},
		tasks.Task{Name: "identity", Run: func(ctx context.Context) error { return g.boot(ctx, ready) }})
}

func (g *identity) boot(ctx context.Context, ready func()) error {
	g.say("opening the database")
	base, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := base.Close(); err != nil {
			g.Log.Error().Err(err).Msg("cannot close the database")
		}
	}()
	if err := g.initialise(ctx, base); err != nil {
		return err
	}
	mesh, joined, members, err := g.joinCluster(ctx)
	if err != nil {
		return err
	}
	g.mesh.Store(&mesh)
	work := caches.NewWork(caches.WorkConfig{Mesh: mesh, Clock: g.Clock, Log: g.logger("server.caches")})
	held := g.sessionCaches(base, mesh, work)
	store := g.cached(held.store, work)
	g.observe(base, mesh)
	return tasks.Run(ctx, append(members,
		tasks.Task{Name: "caches", Run: func(ctx context.Context) error {
			select {
			case <-joined:
			case <-ctx.Done():
				return ctx.Err()
			}
			return held.run(ctx)
		}},
		tasks.Task{Name: "pages", Run: func(ctx context.Context) error { return g.servePages(ctx, store, held, ready) }})...)
}

// invalidations is the topic under which servers tell each other what changed.
const invalidations = "stored"

// cached puts this server's memory before the store, kept coherent by work.
func (g *identity) cached(base storage.Store, work *caches.Work) storage.Store {
	store := stored.New(base, stored.Options{
		Publisher: publisher{work}, Coherent: work.Coherent, Log: g.logger("server.caches.stored"),
		MaxNouns: g.now.Load().maxNouns, MaxUsers: g.now.Load().maxUsers,
	})
	work.OnFlush(func(string) { store.Flush() })
	work.Subscribe(invalidations, func(event []byte) {
		if err := store.Apply(event); err != nil {
			g.Log.Error().Err(err).Msg("cannot read what another server says of its changes; forgot everything")
		}
	})
	return store
}

// publisher carries changes of the database over work.
type publisher struct{ work *caches.Work }

func (p publisher) Publish(ctx context.Context, event []byte) error {
	return p.work.Publish(ctx, invalidations, event)
}

// observe registers checks and metrics of the database and the cluster.
func (g *identity) observe(store storage.Store, mesh caches.Mesh) {
	g.health.Add(health.Ready, "database", func(ctx context.Context) (map[string]any, error) {
		status, err := store.Status(ctx)
		return map[string]any{"driver": status.Driver, "schema": status.Schema}, err
	})
	g.health.Add(health.Ready, "cluster", func(context.Context) (map[string]any, error) {
		view, _ := mesh.View()
		names := make([]string, 0, len(view.Members))
		for _, m := range view.Members {
			names = append(names, m.Name)
		}
		return map[string]any{"node": g.nodeName, "site": g.cfg.Site, "members": names}, nil
	})
	count := func(name, help string, f func(storage.Status) uint64) {
		g.metrics.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			status, err := store.Status(context.Background())
			if err != nil {
				return 0
			}
			return float64(f(status))
		}))
	}
	count("gatehouse_storage_commits_total", "Commits of session writes; each carries those of many requests.", func(s storage.Status) uint64 { return s.Commits })
	count("gatehouse_storage_writes_total", "Session writes.", func(s storage.Status) uint64 { return s.Writes })
	g.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_cluster_members", Help: "Servers of the site's cluster, this one included."}, func() float64 {
		view, _ := mesh.View()
		return float64(len(view.Members))
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_cluster_departed_members", Help: "Servers that were lost without a word and may be alive beyond a broken network."}, func() float64 {
		view, _ := mesh.View()
		return float64(len(view.Departed))
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gatehouse_cluster_view", Help: "Number of this server's view of the cluster; it grows with each change."}, func() float64 {
		view, _ := mesh.View()
		return float64(view.Number)
	}))
}

// serve answers from the handler that boot made.
func (g *identity) serve(w http.ResponseWriter, r *http.Request) {
	(*g.handler.Load()).ServeHTTP(w, r)
}

// apply takes over what changes live; the rest of the configuration is what it
// was, or this would be a reload.
func (g *identity) apply(cfg servergroups.ServerConfig) error {
	next, err := readSettings(cfg, g.Dir)
	if err != nil {
		return err
	}
	if err := g.Logs.Configure(next.logging); err != nil {
		return err
	}
	g.now.Store(&next)
	return nil
}

// directory finds the other servers of our cluster: those of our group and
// site that are not gone.
func (g *identity) directory(servers []*configrelay.DirectoryServer) {
	if !g.discovery.domain {
		return
	}
	var addresses []string
	for _, s := range servers {
		port := s.GetPorts()[g.clusterPort()]
		if s.GetGroup() != g.cfg.Group || s.GetSite() != g.cfg.Site || port == 0 || s.GetAddress() == "" {
			continue
		}
		addresses = append(addresses, joinPort(s.GetAddress(), int(port)))
	}
	g.discovery.Set(addresses)
}

func (g *identity) suspend(ctx context.Context) error {
	g.health.Drain("suspended")
	return g.gate.suspend(ctx)
}

func (g *identity) resume() {
	g.health.Drain("")
	g.gate.resume()
}

func (g *identity) node() string { return g.nodeName }

func (g *identity) members() []string {
	mesh := g.mesh.Load()
	if mesh == nil || g.listeners[clusterBinding] == nil {
		return nil
	}
	view, _ := (*mesh).View()
	names := make([]string, len(view.Members))
	for i, m := range view.Members {
		names[i] = m.Name
	}
	slices.Sort(names)
	return names
}

func (g *identity) ports() map[string]uint32 { return portsOf(g.listeners) }

var errNoHTTP = problem.Invalid.Errorf("cannot serve: the profile has no enabled http-listener or https-listener in subsystem=http/server=default-server")
