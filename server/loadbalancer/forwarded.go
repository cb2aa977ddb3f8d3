package loadbalancer

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
)

// forwarding are the headers by which a proxy speaks of the client. Only
// trusted proxies may send them.
var forwarding = [...]string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
	"X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-Ip", RefusedHeader,
}

// rewrite makes the request that goes to a server: Forwarded (RFC 7239) and
// X-Forwarded-For, -Proto, -Host and -Port say who asked for what; the proxy
// has taken out the hop-by-hop headers (RFC 9110 7.6.1).
func (b *Balancer) rewrite(pr *httputil.ProxyRequest) {
	in, out := pr.In, pr.Out
	for _, h := range forwarding {
		out.Header.Del(h)
	}
	client, _, err := net.SplitHostPort(in.RemoteAddr)
	if err != nil {
		client = in.RemoteAddr
	}
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	host, chain, forwarded := in.Host, "", ""
	if b.trusts(client) {
		chain = strings.Join(in.Header.Values("X-Forwarded-For"), ", ")
		forwarded = strings.Join(in.Header.Values("Forwarded"), ", ")
		proto = first(in.Header, "X-Forwarded-Proto", proto)
		host = first(in.Header, "X-Forwarded-Host", host)
	}
	port := defaultPort(proto)
	if _, p, err := net.SplitHostPort(host); err == nil {
		port = p
	}
	if b.trusts(client) {
		port = first(in.Header, "X-Forwarded-Port", port)
	}
	out.Host = in.Host
	out.URL.RawQuery = in.URL.RawQuery // whole: the servers judge it
	out.Header.Set("X-Forwarded-For", listed(chain, client))
	out.Header.Set("X-Forwarded-Proto", proto)
	out.Header.Set("X-Forwarded-Host", host)
	out.Header.Set("X-Forwarded-Port", port)
	out.Header.Set("Forwarded", listed(forwarded, "for="+node(client)+";host="+quoted(host)+";proto="+proto))
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func (b *Balancer) trusts(client string) bool {
	addr, err := netip.ParseAddr(client)
	if err != nil {
		return false
	}
	for _, p := range b.cfg.TrustedProxies {
		if p.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}

// first is the first element of a header's list, or otherwise.
func first(h http.Header, name, otherwise string) string {
	v, _, _ := strings.Cut(h.Get(name), ",")
	if v = strings.TrimSpace(v); v != "" {
		return v
	}
	return otherwise
}

func listed(before, last string) string {
	if before == "" {
		return last
	}
	return before + ", " + last
}

// node is an address as RFC 7239 section 6 writes it: IPv6 in brackets and
// quotes.
func node(client string) string {
	if strings.Contains(client, ":") {
		return `"[` + client + `]"`
	}
	return client
}

func quoted(s string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`) + `"`
}
