package boot

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// balancing are the settings of the balancer's handler; all of them change live.
func balancing(cfg servergroups.ServerConfig) (loadbalancer.Settings, error) {
	number := func(def int64, attribute string) int64 { return cfg.Int(def, handlerPath(cfg, attribute)...) }
	static, err := staticBackends(cfg)
	queue := time.Duration(number(2000, "max-queue-time")) * time.Millisecond
	if queue == 0 {
		queue = -1 // none, where 0 would be the default
	}
	return loadbalancer.Settings{
		Static:       static,
		Cookies:      splitList(cfg.String("", handlerPath(cfg, "session-cookie-names")...)),
		Limit:        max(0, time.Duration(number(-1, "max-request-time"))) * time.Millisecond,
		Attempts:     1 + int(number(2, "max-retries")),
		MaxQueueTime: queue,
		MaxQueued:    int(number(1000, "max-queued-requests")),
		LastEjection: time.Duration(number(30, "problem-server-retry")) * time.Second,
		ProbeEvery:   time.Duration(number(1000, "health-check-interval")) * time.Millisecond,
		MaxIdle:      int(number(256, "connections-per-thread")),
	}, err
}

// backendTLS checks the certificates of hosts that are spoken to by https: with
// the trust stores of their security realms, where they name one, otherwise
// with the machine's. nil where there is no realm.
func (b *balancer) backendTLS() (*tls.Config, error) {
	var trust *x509.CertPool
	var from string
	for name := range b.cfg.Map(handlerPath(b.cfg, "host")...) {
		realm := b.cfg.String("", handlerPath(b.cfg, "host", name, "security-realm")...)
		if realm == "" || realm == from {
			continue
		}
		if trust != nil {
			return nil, problem.Unsupported.Errorf("cannot balance to host %q: all hosts of a reverse-proxy have one security-realm, and there are %q and %q; put their certificates into one trust store", name, from, realm)
		}
		pool, err := securityRealm{name: realm, cfg: b.cfg, dir: b.Dir}.trust()
		if err != nil {
			return nil, err
		}
		if pool == nil {
			return nil, problem.Invalid.Errorf("cannot balance to host %q: security realm %q has no authentication=truststore", name, realm)
		}
		trust, from = pool, realm
	}
	if trust == nil {
		return nil, nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trust}, nil
}

// handlerPath is the path of an attribute of the balancer's handler: the one
// that the default host's location / names, else the first by name.
func handlerPath(cfg servergroups.ServerConfig, attribute ...string) []string {
	name := cfg.String("", hostPath(cfg, defaultHost(cfg), "location", "/", "handler")...)
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
