package addresses_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

func request(host string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host, r.RemoteAddr = host, "192.0.2.7:4711"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestTheIssuerIsTheAddressTheBrowserUses(t *testing.T) {
	for _, c := range []struct {
		name string
		book addresses.Book
		r    *http.Request
		want string
	}{
		{"by the request", addresses.Book{}, request("localhost:8080"), "http://localhost:8080/auth/realms/demo"},
		{"default port left out", addresses.Book{}, request("sso.example:80"), "http://sso.example/auth/realms/demo"},
		{"fixed hostname wins", addresses.Book{Hostname: "https://sso.example"}, request("10.0.0.1:8080"), "https://sso.example/auth/realms/demo"},
		{"the path of a fixed hostname stands for the context path", addresses.Book{Hostname: "https://sso.example/identity"}, request("10.0.0.1:8080"), "https://sso.example/identity/realms/demo"},
		{"at the root", addresses.Book{ContextPath: "/"}, request("a"), "http://a/realms/demo"},
		{"forwarding headers are not believed unasked", addresses.Book{},
			request("a", "X-Forwarded-Host", "evil", "X-Forwarded-Proto", "https"), "http://a/auth/realms/demo"},
		{"X-Forwarded", addresses.Book{Proxy: addresses.XForwarded},
			request("a", "X-Forwarded-Host", "sso.example", "X-Forwarded-Proto", "https", "X-Forwarded-Port", "443"), "https://sso.example/auth/realms/demo"},
		{"a forwarded host with a path is not a host", addresses.Book{Proxy: addresses.XForwarded},
			request("a", "X-Forwarded-Host", "evil/x"), "http://a/auth/realms/demo"},
		{"RFC 7239", addresses.Book{Proxy: addresses.Forwarded},
			request("a", "Forwarded", `for="[2001:db8::1]:99";proto=https;host=sso.example, for=10.0.0.1`), "https://sso.example/auth/realms/demo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.book.Of(c.r).Realm("demo"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestTheRemoteAddressIsTheBrowsers(t *testing.T) {
	r := request("a", "Forwarded", `for="[2001:db8::1]:99"`, "X-Forwarded-For", "198.51.100.2, 10.0.0.1")
	for proxy, want := range map[addresses.Proxy]string{
		addresses.Direct: "192.0.2.7", addresses.XForwarded: "198.51.100.2", addresses.Forwarded: "2001:db8::1",
	} {
		if got := (addresses.Book{Proxy: proxy}).Of(r).Remote; got != want {
			t.Errorf("%q: %s, want %s", proxy, got, want)
		}
	}
}

func TestTLSMakesTheSiteSecure(t *testing.T) {
	r := request("a")
	r.TLS = &tls.ConnectionState{}
	if s := (addresses.Book{}).Of(r); !s.Secure || s.Origin() != "https://a" {
		t.Errorf("%+v", s)
	}
}

func TestARealmMayHaveAFrontendOfItsOwn(t *testing.T) {
	s := addresses.Book{}.Of(request("a")).WithFrontend("https://login.shop.example/sso/")
	if got := s.Realm("shop"); got != "https://login.shop.example/sso/realms/shop" {
		t.Error(got)
	}
	if got := s.CookiePath("shop"); got != "/sso/realms/shop/" {
		t.Error(got)
	}
}
