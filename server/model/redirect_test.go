package model_test

import (
	"testing"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

const base = model.AuthBase("https://id.example.com/auth")

func TestRedirectURIsMatchExactlyOrByAWildcardAtTheEndOfThePath_RFC9700_2_1(t *testing.T) {
	for _, c := range []struct {
		pattern, root, uri string
		want               bool
	}{
		{"https://app.example.com/cb", "", "https://app.example.com/cb", true},
		{"https://app.example.com/cb", "", "https://app.example.com/cb?x=1", false},
		{"https://app.example.com/cb?x=1", "", "https://app.example.com/cb?x=1", true},
		{"https://app.example.com/cb?x=1", "", "https://app.example.com/cb?x=2", false},
		{"https://app.example.com/cb", "", "https://app.example.com/cb/", false},
		{"https://app.example.com/cb", "", "https://app.example.com/CB", false},
		{"https://app.example.com/cb", "", "HTTPS://APP.example.com/cb", true},
		{"https://app.example.com/cb", "", "http://app.example.com/cb", false},
		{"https://app.example.com/cb", "", "https://app.example.com:444/cb", false},
		{"https://app.example.com/*", "", "https://app.example.com/any/where?x=1", true},
		{"https://app.example.com/*", "", "https://app.example.com", true},
		{"https://app.example.com/a/*", "", "https://app.example.com/a", true},
		{"https://app.example.com/a/*", "", "https://app.example.com/ab", false},
		{"https://app.example.com/a*", "", "https://app.example.com/ab", true},
		{"https://app.example.com*", "", "https://app.example.com/x", true},
		{"https://app.example.com*", "", "https://app.example.com.evil.org/x", false},
		{"https://app.example.com*", "", "https://app.example.com@evil.org/x", false},
		{"https://app.example.com*", "", "https://app.example.com:8443/x", false},
		{"https://*.example.com/*", "", "https://evil.example.com/x", false},
		{"https://*", "", "https://evil.org/x", false},
		{"https://app.example.com/*", "", "https://app.example.com/x#fragment", false},
		{"https://app.example.com/cb", "", "https://app.example.com/cb#", false},
		{"https://app.example.com/*", "", "https://evil@app.example.com/x", false},
		{"https://app.example.com/*", "", "https://app.example.com:x@evil.org/x", false},
		{"https://app.example.com/*", "", `https://app.example.com\@evil.org/x`, false},
		{"https://app.example.com/*", "", "https://evil.org/https://app.example.com/", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/../b", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/%2e%2e/b", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/%252e%252e/b", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/..%2fb", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/%2e%2e%5cb", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/..;/b", false},
		{"https://app.example.com/a/*", "", "https://app.example.com/a/%zz", false},
		{"https://app.example.com/*", "", "https://app.example.com/x\r\nSet-Cookie: a", false},
		{"https://app.example.com/*", "", " https://app.example.com/x", false},
		{"https://app.example.com/*", "", "https:app.example.com/x", false},
		{"https://app.example.com/*", "", "https:///app.example.com/x", false},
		{"https://app.example.com/*", "", "//app.example.com/x", false},
		{"https://app.example.com/*", "", "/x", false},
		{"https://app.example.com/*", "", "", false},
		{"*", "", "https://anything.example.org/x", true},
		{"*", "", "javascript:alert(1)", false},
		{"*", "", "data:text/html,x", false},
		{"*", "", "app://x", false},
		{"/app/*", "https://app.example.com", "https://app.example.com/app/x", true},
		{"/app/*", "https://app.example.com/", "https://app.example.com/app", true},
		{"/app/*", "", "https://id.example.com/app/x", true},
		{"/realms/a/account/*", "${authBaseUrl}", "https://id.example.com/auth/realms/a/account/x", true},
		{"/app/*", "https://app.example.com", "https://evil.org/app/x", false},
		{"http://127.0.0.1/cb", "", "http://127.0.0.1:51004/cb", true},
		{"http://localhost/*", "", "http://localhost:51004/cb", true},
		{"http://[::1]/cb", "", "http://[::1]:51004/cb", true},
		{"http://127.0.0.1:8080/cb", "", "http://127.0.0.1:51004/cb", false},
		{"http://app.example.com/cb", "", "http://app.example.com:51004/cb", false},
		{"https://localhost/cb", "", "https://localhost:51004/cb", false},
		{"com.example.app:/cb", "", "com.example.app:/cb", true},
		{"myapp://*", "", "myapp://cb/x", true},
		{"myapp://cb", "", "myapp://cb2", false},
	} {
		client := &model.Client{RootURL: c.root, RedirectURIs: []string{c.pattern}}
		if got := client.AllowsRedirect(c.uri, base); got != c.want {
			t.Errorf("pattern %q (root %q) and %q: %v, want %v", c.pattern, c.root, c.uri, got, c.want)
		}
	}
}

func TestPostLogoutRedirectURIs(t *testing.T) {
	for _, c := range []struct {
		attribute, uri string
		want           bool
	}{
		{"", "https://app.example.com/x", true},
		{"+", "https://app.example.com/x", true},
		{"-", "https://app.example.com/x", false},
		{"https://a.org/out##https://b.org/out", "https://b.org/out", true},
		{"https://a.org/out##https://b.org/out", "https://app.example.com/x", false},
		{"https://a.org/out##+", "https://app.example.com/x", true},
		{"https://a.org/out", "https://a.org/out?foo=bar", false},
	} {
		client := &model.Client{RedirectURIs: []string{"https://app.example.com/*"}, Attributes: map[string]string{"post.logout.redirect.uris": c.attribute}}
		if got := client.AllowsPostLogoutRedirect(c.uri, base); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.attribute, c.uri, got, c.want)
		}
	}
}

func TestWebOrigins(t *testing.T) {
	redirects := []string{"https://app.example.com/*", "http://localhost:3000/cb", "myapp://x", "/rel/*", "https://d.example.com:443/*"}
	for _, c := range []struct {
		origins []string
		origin  string
		want    bool
	}{
		{[]string{"+"}, "https://app.example.com", true},
		{[]string{"+"}, "http://localhost:3000", true},
		{[]string{"+"}, "https://d.example.com", true},
		{[]string{"+"}, "https://evil.org", false},
		{[]string{"+"}, "null", false},
		{[]string{"*"}, "https://evil.org", true},
		{[]string{"*"}, "", false},
		{[]string{}, "https://app.example.com", false},
		{nil, "https://app.example.com", true},
		{[]string{"https://x.org/"}, "https://x.org", true},
		{[]string{"https://x.org"}, "https://x.org.evil.org", false},
	} {
		client := &model.Client{RedirectURIs: redirects, WebOrigins: c.origins}
		if got := client.AllowsOrigin(c.origin, base); got != c.want {
			t.Errorf("%q and %q: %v, want %v", c.origins, c.origin, got, c.want)
		}
	}
}
