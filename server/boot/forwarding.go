package boot

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// forwardingHeaders say for whom a proxy speaks. Anyone can send them.
var forwardingHeaders = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto"}

// readTrusted reads a listener's trusted-proxies: networks (CIDR) or addresses.
// nil is everybody: the listener then must be reachable by its proxy only.
func readTrusted(cfg servergroups.ServerConfig, kind, listener string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range cfg.List(serverPath(cfg, kind, listener, "trusted-proxies")...) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, problem.Invalid.Errorf("cannot use trusted-proxies of %s %q: %q is neither an address nor a network such as 10.0.0.0/8", kind, listener, text)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, prefix)
	}
	return out, nil
}

// believe removes forwarding headers from requests of strangers, so that
// nobody behind it has to ask who sent them.
func believe(trusted []netip.Prefix, next http.Handler) http.Handler {
	if trusted == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !among(trusted, r.RemoteAddr) {
			for _, name := range forwardingHeaders {
				r.Header.Del(name)
			}
		}
		next.ServeHTTP(w, r)
	})
}

func among(networks []netip.Prefix, remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, n := range networks {
		if n.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
