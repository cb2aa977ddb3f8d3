package loadbalancer_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

func mustParse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestClientsSpeakHTTP2WithoutTLSByPriorKnowledge_RFC9113_3_3(t *testing.T) {
	one := newBackend(t, "one")
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready)})
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(f.addr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Proto != "HTTP/2.0" || resp.StatusCode != 200 {
		t.Errorf("%s %d", resp.Proto, resp.StatusCode)
	}
	if r := <-one.seen; r.Proto != "HTTP/1.1" || r.Header.Get("X-Forwarded-Proto") != "http" {
		t.Errorf("the server got %s, %v", r.Proto, r.Header)
	}
}

func TestServersWithTLSAreSpokenToByHTTP2WhereTheyCan(t *testing.T) {
	for _, two := range []bool{true, false} {
		want := map[bool]string{true: "HTTP/2.0", false: "HTTP/1.1"}[two]
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
		srv.EnableHTTP2 = two
		srv.StartTLS()
		defer srv.Close()
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		f := start(t, []loadbalancer.Backend{{Route: "one", URL: mustParse(t, srv.URL)}}, func(c *loadbalancer.Config) {
			c.BackendTLS = &tls.Config{RootCAs: roots}
		})
		for _, method := range []string{"GET", "POST"} {
			if code, body, _ := f.do(method, "/", "a=b"); code != 200 || body != want {
				t.Errorf("%s: %d %s, want %s", method, code, body, want)
			}
		}
	}
}

func TestWhatHasNoLengthIsPassedOnAsItComes(t *testing.T) {
	for _, kind := range []string{"text/event-stream", "text/html"} {
		release := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-release
			fmt.Fprint(w, "last")
		}))
		defer srv.Close()
		f := start(t, []loadbalancer.Backend{{Route: "one", URL: mustParse(t, srv.URL)}})
		resp, err := http.Get(f.addr)
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" { // hangs where it is kept back
			t.Errorf("%s: %q %v", kind, first, err)
		}
		close(release)
		if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "last" {
			t.Errorf("%s: %q %v", kind, rest, err)
		}
		resp.Body.Close()
	}
}
