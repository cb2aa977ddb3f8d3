package boot

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
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
	listeners map[string]net.Listener
	servers   []*configrelay.DirectoryServer // as last told; only the owner's goroutine
}

func newBalancer(env environment, cfg servergroups.ServerConfig) (_ *balancer, err error) {
	b := &balancer{environment: env, cfg: cfg, listeners: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			b.closeListeners()
		}
	}()
	lvl, err := level(cfg.String("INFO", "logging", "root-logger", "ROOT", "level"))
	if err != nil {
		return nil, err
	}
	env.level(lvl)
	static, err := staticBackends(cfg)
	if err != nil {
		return nil, err
	}
	// A balancer that stands behind another one believes what that says.
	var trusted []netip.Prefix
	if name, _ := findListener(cfg, "http-listener"); name != "" && cfg.Bool(false, httpName, listenersPath, defaultServer, "http-listener", name, "proxy-address-forwarding") {
		if trusted, err = readTrusted(cfg, name); err != nil {
			return nil, err
		}
		if trusted == nil {
			trusted = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
		}
	}
	metrics := newRegistry()
	keys, err := b.listen()
	if err != nil {
		return nil, err
	}
	access := env.Log.With().Str("log", "access").Logger()
	lb := loadbalancer.Config{
		Static: static, Cookies: splitList(cfg.String("", handlerPath(cfg, "session-cookie-names")...)),
		TrustedProxies: trusted, Keys: keys, Clock: env.Clock, Log: env.Log, Metrics: metrics,
	}
	if cfg.Bool(false, httpName, listenersPath, defaultServer, "host", "default-host", "setting", "access-log", "enabled") {
		lb.AccessLog = &access
	}
	if l := b.listeners["http"]; l != nil {
		lb.Plain = l
	}
	if l := b.listeners["https"]; l != nil {
		lb.TLS = l
	}
	b.proxy = loadbalancer.New(lb)
	b.health = health.New(health.Config{Listener: b.listeners[healthBinding], Gatherer: metrics, Log: env.Log})
	b.setGroups(cfg)
	return b, nil
}

// listen opens the ports of the enabled listeners, and the health port.
func (b *balancer) listen() (keys *loadbalancer.KeyPair, err error) {
	open := func(as, binding string) error {
		l, err := openBinding(context.Background(), b.cfg, binding)
		if err == nil {
			b.listeners[as] = l
		}
		return err
	}
	if err := open(healthBinding, healthBinding); err != nil {
		return nil, err
	}
	if name, binding := findListener(b.cfg, "http-listener"); name != "" {
		if err := open("http", binding); err != nil {
			return nil, err
		}
	}
	pair, err := readKeyPair(b.cfg, b.Dir)
	if err != nil {
		return nil, err
	}
	if pair != nil {
		if keys, err = loadbalancer.LoadKeyPair(pair.certificate, pair.key, b.Clock, reloadFailed(b.Log)); err != nil {
			return nil, err
		}
		if err := open("https", pair.binding); err != nil {
			return nil, err
		}
	}
	if b.listeners["http"] == nil && b.listeners["https"] == nil {
		return nil, errNoHTTP
	}
	return keys, nil
}

// handlerPath is the path of an attribute of the balancer's handler: the one
// that the default host's location / names, else the first by name.
func handlerPath(cfg servergroups.ServerConfig, attribute ...string) []string {
	name := cfg.String("", httpName, listenersPath, defaultServer, "host", "default-host", "location", "/", "handler")
	if name == "" {
		for candidate := range cfg.Map(httpName, "configuration", "handler", "reverse-proxy") {
			if name == "" || candidate < name {
				name = candidate
			}
		}
	}
	return append([]string{httpName, "configuration", "handler", "reverse-proxy", name}, attribute...)
}

// staticBackends are the hosts that the handler names itself: the guide's
// reverse-proxy.
func staticBackends(cfg servergroups.ServerConfig) ([]loadbalancer.Backend, error) {
	var out []loadbalancer.Backend
	for name := range cfg.Map(handlerPath(cfg, "host")...) {
		get := func(def, attribute string) string {
			return cfg.String(def, handlerPath(cfg, "host", name, attribute)...)
		}
		to, ok := cfg.Outbound[get("", "outbound-socket-binding")]
		if !ok {
			return nil, problem.Invalid.Errorf("cannot balance to host %q: outbound-socket-binding %q is not in the server's socket-binding group", name, get("", "outbound-socket-binding"))
		}
		scheme := get("http", "scheme")
		if scheme == "ajp" { // the guide's files name it; the servers speak HTTP
			scheme = "http"
		}
		out = append(out, loadbalancer.Backend{Route: get(name, "instance-id"), URL: &url.URL{Scheme: scheme, Host: to.Dial(), Path: strings.TrimSuffix(get("/", "path"), "/")}})
	}
	slices.SortFunc(out, func(a, b loadbalancer.Backend) int { return strings.Compare(a.Route, b.Route) })
	return out, nil
}

func splitList(text string) []string {
	var out []string
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

func (b *balancer) setGroups(cfg servergroups.ServerConfig) {
	groups := cfg.List(handlerPath(cfg, "discover-groups")...)
	b.groups.Store(&groups)
}

func (b *balancer) run(ctx context.Context, ready func()) error {
	defer b.closeListeners()
	return tasks.Run(ctx,
		tasks.Task{Name: "health", Run: b.health.Run},
		tasks.Task{Name: "load balancer", Run: func(ctx context.Context) error {
			b.health.Started()
			ready()
			return b.proxy.Run(ctx)
		}})
}

// apply takes over which groups are balanced to; everything else of the
// handler that changes live is read with it.
func (b *balancer) apply(cfg servergroups.ServerConfig) error {
	b.cfg = cfg
	b.setGroups(cfg)
	b.directory(b.servers)
	lvl, err := level(cfg.String("INFO", "logging", "root-logger", "ROOT", "level"))
	if err == nil {
		b.level(lvl)
	}
	return err
}

// directory tells the balancer which servers there are and how they are.
func (b *balancer) directory(servers []*configrelay.DirectoryServer) {
	b.servers = servers
	var backends []loadbalancer.Backend
	for _, s := range servers {
		port := s.GetPorts()["http"]
		if !slices.Contains(*b.groups.Load(), s.GetGroup()) || port == 0 || s.GetAddress() == "" {
			continue
		}
		backend := loadbalancer.Backend{
			Route: s.GetNode(), State: stateOf(s),
			URL: &url.URL{Scheme: "http", Host: joinPort(s.GetAddress(), int(port))},
		}
		if health := s.GetPorts()[healthBinding]; health != 0 {
			backend.Health = &url.URL{Scheme: "http", Host: joinPort(s.GetAddress(), int(health)), Path: b.cfg.String("/health/ready", handlerPath(b.cfg, "health-check-path")...)}
		}
		backends = append(backends, backend)
	}
	b.proxy.Set(backends)
}

// stateOf translates the supervisor's states.
func stateOf(s *configrelay.DirectoryServer) loadbalancer.State {
	switch s.GetState() {
	case "STARTED":
		return loadbalancer.Ready
	case "SUSPENDING", "SUSPENDED", "STOPPING", "RELOADING":
		return loadbalancer.Draining
	}
	return loadbalancer.Dead
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
