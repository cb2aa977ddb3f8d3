package boot

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// redirect-socket of an http-listener: browsers that come without TLS to a realm
// that needs it, and nobody else.
func TestABrowserWithoutTLSIsSentToThePortOfTheRedirectSocket(t *testing.T) {
	ctx := context.Background()
	base, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "identity.db"), storage.Options{Clock: clock.Real(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	if _, err := realmfile.CreateMaster(ctx, base, realmfile.Admin{}, nil); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	front := oauth.Front{Store: base, Book: func() addresses.Book { return addresses.Book{} }}
	mux.Handle("/auth/realms/{realm}/x", secured(front, 8543, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })))
	for _, c := range []struct {
		method, target, remote string
		status                 int
		to                     string
	}{
		{"GET", "http://sso.example:8180/auth/realms/" + model.Master + "/x?a=b", "203.0.113.9:1", 302, "https://sso.example:8543/auth/realms/master/x?a=b"},
		{"GET", "http://[2001:db8::1]/auth/realms/" + model.Master + "/x", "203.0.113.9:1", 302, "https://[2001:db8::1]:8543/auth/realms/master/x"},
		{"POST", "http://sso.example/auth/realms/" + model.Master + "/x", "203.0.113.9:1", 418, ""},
		{"GET", "http://sso.example/auth/realms/" + model.Master + "/x", "10.0.0.1:1", 418, ""}, // sslRequired external
		{"GET", "https://sso.example/auth/realms/" + model.Master + "/x", "203.0.113.9:1", 418, ""},
		{"GET", "http://sso.example/auth/realms/unknown/x", "203.0.113.9:1", 418, ""},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.RemoteAddr = c.remote
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Location") != c.to {
			t.Errorf("%s %s from %s: %d %q, want %d %q", c.method, c.target, c.remote, w.Code, w.Header().Get("Location"), c.status, c.to)
		}
	}
}

func TestRedirectsGoOnlyToAnOpenListenerAndNotBehindAProxy(t *testing.T) {
	plain := webListener{kind: plainKind, redirect: "https"}
	secure := webListener{kind: tlsKind, binding: "https", tls: &tls.Config{MinVersion: tls.VersionTLS13}}
	proxied := plain
	proxied.forwarding = true
	for name, c := range map[string]struct {
		web  []webListener
		want int
	}{"open": {[]webListener{plain, secure}, 8443}, "closed": {[]webListener{plain}, 0}, "behind a proxy": {[]webListener{proxied, secure}, 0}} {
		g := &identity{web: c.web}
		g.cfg.Bindings = map[string]servergroups.Binding{"https": {Port: 8443}}
		if got := g.redirectPort(); got != c.want {
			t.Errorf("%s: port %d, want %d", name, got, c.want)
		}
	}
}
