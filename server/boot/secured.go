package boot

import (
	"net"
	"net/http"
	"strconv"

	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// redirectPort is the port of the binding that requests without TLS are sent
// to: an http-listener's redirect-socket. 0 where there is none, or no listener
// for HTTPS is open, or a proxy stands before us, which knows the public port.
func (g *identity) redirectPort() int {
	var to string
	open := false
	for _, w := range g.web {
		switch {
		case w.tls != nil:
			open = true
		case !w.forwarding:
			to = w.redirect
		}
	}
	if !open || to == "" {
		return 0
	}
	if l := g.listeners[to]; l != nil {
		return int(portsOf(g.listeners)[to])
	}
	return g.cfg.Bindings[to].Port
}

// secured sends a browser that came without TLS to the port with TLS, where the
// realm asks for it; the request is a {realm}'s. Others are for next to refuse:
// a form that was posted in the clear has been seen already.
func secured(front oauth.Front, port int, next http.Handler) http.Handler {
	if port == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			// A realm that is there and enabled refuses for one reason only.
			if v, err := front.Open(r); err != nil && v.Realm != nil && v.Realm.Enabled && !v.Site.Secure {
				w.Header().Set("Cache-Control", "no-store")
				http.Redirect(w, r, "https://"+atPort(r.Host, port)+r.URL.RequestURI(), http.StatusFound)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// atPort is a Host header's host with another port; 443 needs none.
func atPort(host string, port int) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if port != 443 {
		return net.JoinHostPort(trimBrackets(host), strconv.Itoa(port))
	}
	return host
}

func trimBrackets(host string) string {
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
