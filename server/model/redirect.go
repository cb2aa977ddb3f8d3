package model

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// AuthBase is where the server is reached, for the placeholders of rootUrl:
// "https://id.example.com/auth".
type AuthBase string

// root is the client's root URL without a trailing slash; a client without one
// is under the server's own origin.
func (c *Client) root(base AuthBase) string {
	root := c.RootURL
	if root == "" {
		if u, err := url.Parse(string(base)); err == nil {
			root = u.Scheme + "://" + u.Host
		}
	}
	root = strings.NewReplacer("${authBaseUrl}", string(base), "${authAdminUrl}", string(base)).Replace(root)
	return strings.TrimSuffix(root, "/")
}

// ValidRedirects are the client's redirect URI patterns, made absolute.
func (c *Client) ValidRedirects(base AuthBase) []string { return c.absolute(c.RedirectURIs, base) }

func (c *Client) absolute(patterns []string, base AuthBase) []string {
	all := make([]string, 0, len(patterns))
	for _, p := range patterns {
		if p = strings.TrimSpace(p); strings.HasPrefix(p, "/") {
			p = c.root(base) + p
		}
		if p != "" {
			all = append(all, p)
		}
	}
	return all
}

// AllowsRedirect reports whether the client may have its users sent to uri. A
// pattern matches itself exactly or, if it ends with "*", what begins with it:
// only in the path, never in the host, and never for a uri with credentials,
// dot segments (however encoded) or backslashes. A fragment is never allowed
// (RFC 6749 3.1.2). The port of a loopback http pattern without one is free
// (RFC 8252 7.3).
func (c *Client) AllowsRedirect(uri string, base AuthBase) bool {
	return allows(c.ValidRedirects(base), uri)
}

// AllowsPostLogoutRedirect reports whether the client's users may be sent to
// uri after logout: the attribute post.logout.redirect.uris, "+" (and none)
// meaning the redirect URIs and "-" none.
func (c *Client) AllowsPostLogoutRedirect(uri string, base AuthBase) bool {
	var patterns []string
	for _, p := range strings.Split(c.Attribute("post.logout.redirect.uris"), "##") {
		switch p {
		case "+", "":
			patterns = append(patterns, c.RedirectURIs...)
		case "-":
		default:
			patterns = append(patterns, p)
		}
	}
	return allows(c.absolute(patterns, base), uri)
}

func allows(patterns []string, uri string) bool {
	u, ok := parseRedirect(uri)
	if !ok {
		return false
	}
	for _, pattern := range patterns {
		if matches(pattern, u) {
			return true
		}
	}
	if u.loopback {
		free := u.withoutPort()
		return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, free) })
	}
	return false
}

// redirect is a redirect URI that is fit to be compared.
type redirect struct {
	text      string // scheme and host in lower case
	authority string // "scheme://host:port", or "scheme:"
	plain     bool   // may be matched by a wildcard
	loopback  bool   // http to this machine, with a port
	port      string
}

func parseRedirect(uri string) (redirect, bool) {
	for _, r := range uri {
		if r <= ' ' || r == 0x7f || r == '\\' || r == '#' {
			return redirect{}, false
		}
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return redirect{}, false
	}
	web := strings.EqualFold(u.Scheme, "http") || strings.EqualFold(u.Scheme, "https")
	if web && (u.Host == "" || u.Hostname() == "" || u.Opaque != "") {
		return redirect{}, false // browsers read https:host and https:///host as https://host
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript":
		return redirect{}, false
	}
	r := redirect{authority: strings.ToLower(u.Scheme) + ":", plain: u.User == nil && !climbs(uri[len(u.Scheme)+1:])}
	rest := uri[len(u.Scheme)+1:]
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		end := strings.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		r.authority += "//" + strings.ToLower(after[:end])
		rest = after[end:]
	}
	r.text = r.authority + rest
	if host := u.Hostname(); strings.EqualFold(u.Scheme, "http") && u.Port() != "" && u.User == nil {
		ip := net.ParseIP(host)
		r.loopback, r.port = strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback(), u.Port()
	}
	return r, true
}

func (r redirect) withoutPort() redirect {
	bare := strings.TrimSuffix(r.authority, ":"+r.port)
	r.text, r.authority = bare+strings.TrimPrefix(r.text, r.authority), bare
	return r
}

// climbs reports whether a URI's path, decoded as often as anybody on its way
// might, has dot segments or backslashes.
func climbs(rest string) bool {
	path, _, _ := strings.Cut(rest, "?")
	for range 6 {
		for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == ';' }) {
			if segment == "." || segment == ".." {
				return true
			}
		}
		if strings.ContainsAny(path, "\\\x00\r\n") {
			return true
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return true
		}
		if decoded == path {
			return false
		}
		path = decoded
	}
	return true // encoded more often than anybody has reason to
}

func matches(pattern string, u redirect) bool {
	prefix, wildcard := strings.CutSuffix(pattern, "*")
	if p, ok := parseRedirect(pattern); ok && p.text == u.text {
		return true
	}
	if !wildcard || !u.plain {
		return false
	}
	if prefix == "" { // "*" alone: any web page
		return strings.HasPrefix(u.authority, "http://") || strings.HasPrefix(u.authority, "https://")
	}
	without, _, _ := strings.Cut(u.text, "?")
	p, ok := parseRedirect(prefix)
	if !ok {
		// A custom scheme such as "app://*" has no host to confuse.
		scheme, _, found := strings.Cut(prefix, ":")
		return found && scheme != "" && !strings.HasPrefix(scheme, "http") && strings.HasPrefix(without, prefix)
	}
	if p.authority != u.authority {
		web := strings.HasPrefix(p.authority, "http:") || strings.HasPrefix(p.authority, "https:")
		return !web && p.authority == p.text && strings.HasPrefix(without, p.text)
	}
	if p.text == p.authority && strings.Contains(p.authority, "//") && !strings.HasSuffix(prefix, "/") {
		return without == p.text || strings.HasPrefix(without, p.text+"/") // "https://host*": the host ends here
	}
	return strings.HasPrefix(without, p.text) || without == strings.TrimSuffix(p.text, "/")
}

// AllowedOrigins are the web origins whose scripts may call with the client's
// tokens; "*" is any. "+" in webOrigins stands for the origins of the redirect
// URIs, and so does a client that does not say.
func (c *Client) AllowedOrigins(base AuthBase) []string {
	var origins []string
	add := func(o string) {
		if o != "" && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	fromRedirects := c.WebOrigins == nil
	for _, o := range c.WebOrigins {
		if o == "+" {
			fromRedirects = true
			continue
		}
		add(strings.TrimSuffix(o, "/"))
	}
	if fromRedirects {
		for _, pattern := range c.ValidRedirects(base) {
			add(originOf(pattern))
		}
	}
	return origins
}

// AllowsOrigin reports whether scripts of origin may call with the client's
// tokens.
func (c *Client) AllowsOrigin(origin string, base AuthBase) bool {
	if origin == "" {
		return false
	}
	origins := c.AllowedOrigins(base)
	return slices.Contains(origins, "*") || slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

// originOf is the origin of a web URI (RFC 6454), "" of others.
func originOf(uri string) string {
	u, err := url.Parse(strings.TrimSuffix(uri, "*"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	port := u.Port()
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return u.Scheme + "://" + strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Scheme + "://" + u.Host
}
