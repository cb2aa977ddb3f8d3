package boot

import (
	"net"
	"net/http"
	"strings"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// serverPath is a path below the server whose listeners and hosts are used.
func serverPath(cfg servergroups.ServerConfig, path ...string) []string {
	return append([]string{httpName, listenersPath, cfg.String("default-server", httpName, "default-server")}, path...)
}

// hostPath is a path below a virtual host of it.
func hostPath(cfg servergroups.ServerConfig, host string, path ...string) []string {
	return append(serverPath(cfg, "host", host), path...)
}

// defaultHost is the host that answers requests for a name that no host has.
func defaultHost(cfg servergroups.ServerConfig) string {
	return cfg.String(cfg.String("default-host", httpName, "default-virtual-host"), serverPath(cfg, "default-host")...)
}

// counts reports whether requests are counted for /metrics.
func counts(cfg servergroups.ServerConfig) bool {
	return cfg.Bool(true, httpName, "statistics-enabled")
}

// virtualHosts has each request answered through the host that it is for.
type virtualHosts struct {
	named map[string]http.Handler // by name and alias, lower-case
	other http.Handler            // for every other name
	// forwarded: a proxy says which host the request was for.
	forwarded bool
}

// readHosts makes the hosts of the configuration. chain makes the handler of
// one host.
func readHosts(cfg servergroups.ServerConfig, chain func(host string) (http.Handler, error)) (*virtualHosts, error) {
	v := &virtualHosts{named: map[string]http.Handler{}}
	standard, hosts := defaultHost(cfg), cfg.Map(serverPath(cfg, "host")...)
	var err error
	if v.other, err = chain(standard); err != nil {
		return nil, err
	}
	for host := range hosts {
		h := v.other
		if host != standard {
			if h, err = chain(host); err != nil {
				return nil, err
			}
		}
		for _, name := range append(cfg.List(hostPath(cfg, host, "alias")...), host) {
			v.named[strings.ToLower(name)] = h
		}
	}
	return v, nil
}

// behind gives the hosts for a listener: whether what a proxy forwards is
// believed there. Headers of strangers are gone by then.
func (v virtualHosts) behind(forwarding bool) http.Handler {
	v.forwarded = forwarding
	return v
}

// ServeHTTP implements http.Handler.
func (v virtualHosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if v.forwarded {
		first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Host"), ",")
		if first = strings.TrimSpace(first); first != "" {
			host = first
		}
	}
	if h, ok := v.named[bareHost(host)]; ok {
		h.ServeHTTP(w, r)
		return
	}
	v.other.ServeHTTP(w, r)
}

// bareHost is the name in a Host header as it is compared: without port, final
// dot and brackets (RFC 9110, section 4.2.3).
func bareHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
