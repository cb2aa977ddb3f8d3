package boot

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/server/health"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// balancer is one life of a load-balancer server.
type balancer struct {
	environment
	cfg       servergroups.ServerConfig
	groups    atomic.Pointer[[]string] // whose servers are found in the domain
	proxy     *loadbalancer.Balancer
	health    *health.Server
	listeners map[string]net.Listener // by binding name
	web       []webListener
	servers   []*configrelay.DirectoryServer // as last told; only the owner's goroutine
	places    map[string]place               // of servers that were there, by host and name; only the owner's goroutine
}

func newBalancer(env environment, cfg servergroups.ServerConfig) (_ *balancer, err error) {
	b := &balancer{environment: env, cfg: cfg, listeners: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			b.closeListeners()
		}
	}()
	logging, err := readLogging(cfg, env.Dir)
	if err != nil {
		return nil, err
	}
	if err := env.Logs.Configure(logging); err != nil {
		return nil, err
	}
	settings, err := balancing(cfg)
	if err != nil {
		return nil, err
	}
	backendTLS, err := b.backendTLS()
	if err != nil {
		return nil, err
	}
	metrics := newRegistry()
	if err := b.listen(); err != nil {
		return nil, err
	}
	access, err := b.accessLog()
	if err != nil {
		return nil, err
	}
	lb := loadbalancer.Config{
		Settings: settings, BackendTLS: backendTLS, TrustedProxies: b.trusted(),
		Clock: env.Clock, Log: env.logger("server.loadbalancer"), AccessLog: access,
	}
	if counts(cfg) {
		lb.Metrics = metrics
	}
	b.proxy = loadbalancer.New(lb)
	b.health = health.New(health.Config{Listener: b.listeners[healthBinding], Gatherer: metrics, Log: env.logger("server.health")})
	b.setGroups(cfg)
	return b, nil
}

// trusted are the proxies before this balancer that it believes: none, unless
// proxy-address-forwarding says that there are.
func (b *balancer) trusted() (out []netip.Prefix) {
	for _, w := range b.web {
		switch {
		case !w.forwarding:
		case w.trusted == nil:
			return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
		default:
			out = append(out, w.trusted...)
		}
	}
	return out
}

// accessLog is where requests are recorded; nil when they are not. A balancer's
// lines have fields of their own: the server that answered, the attempts.
func (b *balancer) accessLog() (*zerolog.Logger, error) {
	pattern, err := accessPattern(b.cfg, defaultHost(b.cfg))
	if err != nil || pattern == "" {
		return nil, err
	}
	log := b.logger("server.access").With().Str("log", "access").Logger()
	return &log, nil
}

// listen opens the ports of the enabled listeners, and the health port.
func (b *balancer) listen() (err error) {
	if b.web, err = readWeb(b.cfg, b.Dir, b.Clock, b.logger("server.http")); err != nil {
		return err
	}
	names := []string{healthBinding}
	for _, w := range b.web {
		names = append(names, w.binding)
	}
	for _, name := range names {
		l, err := openBinding(context.Background(), b.cfg, name)
		if err != nil {
			return err
		}
		b.listeners[name] = l
	}
	return nil
}

func (b *balancer) setGroups(cfg servergroups.ServerConfig) {
	groups := cfg.List(handlerPath(cfg, "discover-groups")...)
	b.groups.Store(&groups)
}

func (b *balancer) run(ctx context.Context, ready func()) error {
	defer b.closeListeners()
	filters, proxy := newFilterReader(b.cfg), b.traffic.count(b.proxy)
	hosts, err := readHosts(b.cfg, func(host string) (http.Handler, error) {
		chain, err := filters.of(host)
		return chain.apply(proxy), err
	})
	if err != nil {
		return err
	}
	all := []tasks.Task{
		{Name: "health", Run: b.health.Run},
		{Name: "load balancer", Run: func(ctx context.Context) error {
			b.health.Started()
			ready()
			return b.proxy.Run(ctx)
		}}}
	for _, w := range b.web {
		all = append(all, w.task(b.listeners[w.binding], hosts.behind(w.forwarding), drainLimit, b.logger("server.http")))
	}
	return tasks.Run(ctx, all...)
}

// apply takes over what changes live: which servers there are to balance to,
// and how.
func (b *balancer) apply(cfg servergroups.ServerConfig) error {
	settings, err := balancing(cfg)
	if err != nil {
		return err
	}
	logging, err := readLogging(cfg, b.Dir)
	if err != nil {
		return err
	}
	if err := b.Logs.Configure(logging); err != nil {
		return err
	}
	b.cfg = cfg
	b.proxy.Configure(settings)
	b.setGroups(cfg)
	b.directory(b.servers)
	return nil
}

// seen is what the balancer saw of each server.
func (b *balancer) seen() (list []*configrelay.Backend) {
	for _, s := range b.proxy.Seen() {
		list = append(list, &configrelay.Backend{Node: s.Route, Requests: s.Requests, Errors: s.Failed, Overdue: uint32(s.Overdue)})
	}
	return list
}

func (b *balancer) suspend(context.Context) error {
	b.health.Drain("suspended")
	return nil
}

func (b *balancer) resume() { b.health.Drain("") }

func (b *balancer) node() string { return "" }

func (b *balancer) members() []string { return nil }

func (b *balancer) ports() map[string]uint32 { return portsOf(b.listeners) }

func (b *balancer) closeListeners() {
	for _, l := range b.listeners {
		l.Close()
	}
}
