// Package addresses owns the public addresses of realms: which scheme, host and
// context path a request came in by, the issuer, the endpoints, and the paths
// of cookies. Nobody else reads Host or a forwarding header. It knows no
// session and no storage.
package addresses

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Proxy says which forwarding headers are believed. A server reads them only
// when told to: anyone can send them.
type Proxy string

// The forwarding headers of a reverse proxy in front.
const (
	Direct     Proxy = ""           // none: the server is reached directly
	XForwarded Proxy = "xforwarded" // X-Forwarded-For, -Proto, -Host, -Port, -Prefix
	Forwarded  Proxy = "forwarded"  // RFC 7239
)

// Book turns requests into addresses. The zero Book serves at /auth by the
// host of the request.
type Book struct {
	Hostname    string // a fixed address such as https://sso.example.com, whose path, if any, stands for ContextPath; "": the request's
	ContextPath string // "/auth" by default; "/" serves at the root
	Proxy       Proxy
}

// DefaultContextPath is where Keycloak's adapters and guides expect realms.
const DefaultContextPath = "/auth"

// Path is the context path without a slash at its end.
func (b Book) Path() string {
	switch b.ContextPath {
	case "":
		return DefaultContextPath
	case "/":
		return ""
	}
	return strings.TrimRight("/"+strings.TrimLeft(b.ContextPath, "/"), "/")
}

// Of is the site as the sender of r sees it.
func (b Book) Of(r *http.Request) Site {
	seen := b.seen(r)
	s := Site{origin: seen.origin(), path: b.Path(), Secure: seen.scheme == "https", Remote: seen.remote}
	if b.Hostname != "" {
		fixed := strings.TrimRight(b.Hostname, "/")
		if !strings.Contains(fixed, "://") {
			fixed = seen.scheme + "://" + fixed
		}
		s.origin = fixed
		if u, err := url.Parse(fixed); err == nil && u.Path != "" {
			s = s.WithFrontend(fixed) // the proxy in front serves another path
		}
	}
	return s
}

// Site is a request's view of this server.
type Site struct {
	origin string
	path   string
	Secure bool   // the browser speaks TLS, to us or to the proxy
	Remote string // the address of the browser, without port
}

// At is the site at a known origin and context path, for what is not answering
// a request.
func At(origin, contextPath string) Site {
	return Site{origin: strings.TrimRight(origin, "/"), path: Book{ContextPath: contextPath}.Path(), Secure: strings.HasPrefix(origin, "https:")}
}

// WithFrontend is the site as a realm with its own frontendUrl shows it; "" is
// no frontend of its own.
func (s Site) WithFrontend(frontend string) Site {
	u, err := url.Parse(frontend)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return s
	}
	s.origin, s.path = u.Scheme+"://"+u.Host, strings.TrimRight(u.Path, "/")
	return s
}

// Origin is scheme, host and port.
func (s Site) Origin() string { return s.origin }

// Root is the address of the context path, without a slash at its end.
func (s Site) Root() string { return s.origin + s.path }

// Path is the context path of Root, without a slash at its end.
func (s Site) Path() string { return s.path }

// Realm is the address of a realm, which is also its issuer.
func (s Site) Realm(realm string) string { return s.Root() + "/realms/" + url.PathEscape(realm) }

// OpenID is the address of an endpoint of OpenID Connect, such as "token".
func (s Site) OpenID(realm, endpoint string) string {
	return s.Realm(realm) + "/protocol/openid-connect/" + endpoint
}

// Action is the address of a login action, such as "authenticate".
func (s Site) Action(realm, action string) string {
	return s.Realm(realm) + "/login-actions/" + action
}

// CookiePath is the path of a realm's cookies.
func (s Site) CookiePath(realm string) string {
	return s.path + "/realms/" + url.PathEscape(realm) + "/"
}

// Loopback reports whether the browser runs on this machine.
func (s Site) Loopback() bool {
	ip := net.ParseIP(s.Remote)
	return ip != nil && ip.IsLoopback()
}

// Private reports whether the browser is on this machine or a private network,
// for which a realm with sslRequired "external" asks no TLS.
func (s Site) Private() bool {
	ip := net.ParseIP(s.Remote)
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast())
}

// seen is what a request says about how it was made.
type seen struct{ scheme, host, remote string }

func (s seen) origin() string {
	host := s.host
	if s.scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	return s.scheme + "://" + host
}

func (b Book) seen(r *http.Request) seen {
	s := seen{scheme: "http", host: r.Host, remote: r.RemoteAddr}
	if r.TLS != nil {
		s.scheme = "https"
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		s.remote = host
	}
	switch b.Proxy {
	case XForwarded:
		s.xForwarded(r.Header)
	case Forwarded:
		s.forwarded(r.Header.Get("Forwarded"))
	}
	return s
}

func (s *seen) xForwarded(h http.Header) {
	if v := first(h.Get("X-Forwarded-Proto")); v == "http" || v == "https" {
		s.scheme = v
	}
	if v := first(h.Get("X-Forwarded-Host")); plainHost(v) {
		s.host = v
	}
	if v := first(h.Get("X-Forwarded-Port")); v != "" && !strings.Contains(s.host, ":") && plainHost(v) {
		s.host += ":" + v
	}
	if v := first(h.Get("X-Forwarded-For")); net.ParseIP(v) != nil {
		s.remote = v
	}
}

func (s *seen) forwarded(header string) {
	for pair := range strings.SplitSeq(first(header), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "proto":
			if value == "http" || value == "https" {
				s.scheme = value
			}
		case "host":
			if plainHost(value) {
				s.host = value
			}
		case "for":
			if host, _, err := net.SplitHostPort(value); err == nil {
				value = host
			}
			if ip := strings.Trim(value, "[]"); net.ParseIP(ip) != nil {
				s.remote = ip
			}
		}
	}
}

// first is the first element of a list header: the one nearest to the browser.
func first(header string) string {
	v, _, _ := strings.Cut(header, ",")
	return strings.TrimSpace(v)
}

// plainHost reports whether v can stand between // and / of an address.
func plainHost(v string) bool { return v != "" && !strings.ContainsAny(v, "/\\@?# \"<>") }
