package boot

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/caches/durable"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// leaveLimit is how long a server that stops may take to hand over what it
// holds: 100,000 sessions in a slow site. Sessions are in the database besides.
const leaveLimit = 2 * time.Second

// cacheSettings are the attributes of one distributed cache.
type cacheSettings struct {
	name       string
	on         bool // the profile has the cache
	shared     bool // as a distributed one: other servers may hold its entries
	owners     int
	size       int // the most entries of one server; math.MaxInt for no limit
	lifespan   time.Duration
	idle       time.Duration // 0: for ever
	sweep      time.Duration
	statistics bool
}

// readCache reads a cache. As a local-cache it holds what this server reads,
// and is used by a server that is in no cluster only.
func readCache(cfg servergroups.ServerConfig, name string) cacheSettings {
	container := []string{"caches", "cache-container", "keycloak"}
	at := func(path ...string) []string {
		return append(append(container[:len(container):len(container)], "distributed-cache", name), path...)
	}
	millis := func(def int64, path ...string) time.Duration {
		return max(0, time.Duration(cfg.Int(def, at(path...)...))) * time.Millisecond
	}
	_, distributed := cfg.Get(at()...)
	_, local := cfg.Get(append(container[:len(container):len(container)], "local-cache", name)...)
	c := cacheSettings{
		name: name, on: distributed || local, shared: distributed, owners: int(cfg.Int(2, at("owners")...)),
		size:     int(cfg.Int(-1, at("memory", "object", "size")...)),
		lifespan: millis(-1, "component", "expiration", "lifespan"),
		idle:     millis(-1, "component", "expiration", "max-idle"),
		sweep:    millis(60000, "component", "expiration", "interval"),
		statistics: cfg.Bool(true, append(container, "statistics-enabled")...) &&
			cfg.Bool(true, at("statistics-enabled")...),
	}
	if c.size < 0 {
		c.size = math.MaxInt
	}
	return c
}

// sessionCaches are the distributed caches that sessions are served from.
type sessionCaches struct {
	g     *identity
	mesh  caches.Mesh
	work  *caches.Work
	all   []*caches.Distributed
	store *durable.Store
}

// sessionCaches puts the caches of the profile before the store.
func (g *identity) sessionCaches(base storage.Store, mesh caches.Mesh, work *caches.Work) *sessionCaches {
	s := &sessionCaches{g: g, mesh: mesh, work: work}
	self := mesh.Self()
	s.store = durable.New(base, durable.Config{
		Self: durable.Member{Name: self.Name, Born: self.Born}, Members: s.members, Work: work,
		Online: s.kind("sessions"), Offline: s.kind("offlineSessions"), Clock: g.Clock, Log: g.logger("server.caches"),
	})
	if len(s.all) > 0 {
		g.metrics.MustRegister(cacheMetrics{s})
	}
	return s
}

func (s *sessionCaches) members() []durable.Member {
	view, _ := s.mesh.View()
	list := make([]durable.Member, len(view.Members))
	for i, m := range view.Members {
		list[i] = durable.Member{Name: m.Name, Born: m.Born}
	}
	return list
}

func (s *sessionCaches) kind(name string) durable.Kind {
	c := readCache(s.g.cfg, name)
	_, alone := s.mesh.(caches.Alone)
	if !c.on || !c.shared && !alone {
		return durable.Kind{}
	}
	d := caches.NewDistributed(caches.DistributedConfig{
		Name: name, Mesh: s.mesh, Owners: c.owners, Policy: caches.Majority, Sweep: c.sweep, Idle: durable.Idle(c.idle), Statistics: c.statistics,
		Clock: s.g.Clock, Log: s.g.logger("server.caches"),
	})
	s.all = append(s.all, d)
	return durable.Kind{Cache: d, Lifespan: c.lifespan, Full: func() bool { return c.size < math.MaxInt && d.Local() >= c.size }}
}

// run takes part in the caches until ctx ends, and then hands over what this
// server holds.
func (s *sessionCaches) run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	parts := []tasks.Task{{Name: "work", Run: s.work.Run}}
	for _, d := range s.all {
		parts = append(parts, tasks.Task{Name: "cache", Run: d.Run})
	}
	if len(s.all) > 0 {
		parts = append(parts, tasks.Task{Name: "sessions", Run: s.store.Run})
	}
	done := make(chan error, 1)
	go func() { done <- tasks.Run(life, parts...) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	s.leave(life)
	end()
	return <-done
}

func (s *sessionCaches) leave(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	var wg sync.WaitGroup
	for _, d := range s.all {
		wg.Go(func() {
			if err := d.Leave(limited); err != nil {
				s.g.Log.Debug().Err(err).Msg("others read the sessions from the database")
			}
		})
	}
	wg.Wait()
}

// enter makes this server known to all that use the database, before it
// answers requests. What a boot imported was changed past the caches.
func (s *sessionCaches) enter(ctx context.Context) error {
	if len(s.all) == 0 {
		return nil
	}
	if err := s.store.Enter(ctx); err != nil || !s.g.imported {
		return err
	}
	return s.store.Doubt(ctx)
}

// cacheMetrics are the figures of the distributed caches.
type cacheMetrics struct{ s *sessionCaches }

var cacheFigures = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(caches.Statistics) float64
}{
	{cacheFigure("entries", "Entries that this server holds."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Entries) }},
	{cacheFigure("bytes", "Bytes of their keys and values."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Bytes) }},
	{cacheFigure("owned_segments", "Segments that this server owns a copy of, of 256."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Segments) }},
	{cacheFigure("primary_segments", "Segments that this server answers for."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Primary) }},
	{cacheFigure("joining_segments", "Segments that this server is being given."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Joining) }},
	{cacheFigure("placement", "Number of the placement of segments; it grows with each change."), prometheus.GaugeValue, func(s caches.Statistics) float64 { return float64(s.Epoch) }},
	{cacheFigure("moves_total", "Segments that this server became an owner of."), prometheus.CounterValue, func(s caches.Statistics) float64 { return float64(s.Moves) }},
	{cacheFigure("hits_total", "Reads that found an entry."), prometheus.CounterValue, func(s caches.Statistics) float64 { return float64(s.Hits) }},
	{cacheFigure("misses_total", "Reads that found none."), prometheus.CounterValue, func(s caches.Statistics) float64 { return float64(s.Misses) }},
}

var cacheServing = prometheus.NewDesc("gatehouse_cache_serving", "1 while sessions are served from the caches, 0 while they are read from the database.", nil, nil)

func cacheFigure(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_cache_"+name, help, []string{"cache"}, nil)
}

// Describe implements prometheus.Collector.
func (m cacheMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, f := range cacheFigures {
		to <- f.desc
	}
	to <- cacheServing
}

// Collect implements prometheus.Collector.
func (m cacheMetrics) Collect(to chan<- prometheus.Metric) {
	for _, d := range m.s.all {
		figures := d.Statistics()
		for _, f := range cacheFigures {
			to <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(figures), d.Name())
		}
	}
	serving := 0.0
	if m.s.store.Serving() {
		serving = 1
	}
	to <- prometheus.MustNewConstMetric(cacheServing, prometheus.GaugeValue, serving)
}
