package boot

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

const clientAt = "identity|spi|connectionsHttpClient|provider|default|properties|"

// The guide, "Outgoing HTTP Requests": the mappings that it prints.
func TestTheFirstProxyMappingThatFitsCounts(t *testing.T) {
	p, err := readProxies([]string{`.*\.(google|googleapis)\.com;http://www-proxy.acme.com:8080`, `.*\.acme\.com;NO_PROXY`, `.*;http://user:pw@fallback:8080`})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"https://accounts.google.com/x":      "http://www-proxy.acme.com:8080",
		"https://accounts.google.com.evil/x": "http://user:pw@fallback:8080",
		"http://intra.acme.com:8443/":        "",
		"http://example.org/":                "http://user:pw@fallback:8080",
	} {
		via, err := p.proxy(httptest.NewRequest("GET", target, nil))
		got := ""
		if via != nil {
			got = via.String()
		}
		if err != nil || got != want {
			t.Errorf("%s goes by %q, want %q (%v)", target, got, want, err)
		}
	}
}

func TestAProxyMappingThatCannotBeUsedIsRefusedWithoutItsPassword(t *testing.T) {
	for _, text := range []string{"no separator", "(;http://a:1", ".*;ftp://user:secret@a", ".*;user:secret@a", ".*;"} {
		if _, err := readProxies([]string{text}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOutgoingCallsGoByTheProxyAndTrustTheTrustStore(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Asked", r.URL.String()) }))
	defer proxy.Close()
	patient := func(key string, value any) servergroups.ServerConfig { // on a busy machine
		return subsystems(map[string]any{key: value, clientAt + "socket-timeout-millis": "60000", clientAt + "establish-connection-timeout-millis": "60000"})
	}
	client, err := readOutgoing(patient(clientAt+"proxy-mappings", []any{".*;" + proxy.URL}), "")
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://app.example/keys")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("X-Asked"); got != "http://app.example/keys" {
		t.Errorf("the proxy was asked for %q", got)
	}

	app := httptest.NewTLSServer(hello)
	defer app.Close()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: app.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "trust.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, trusted := range map[string]bool{"": false, "trust.pem": true} {
		client, err := readOutgoing(patient("identity|spi|truststore|provider|file|properties|file", file), dir)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(app.URL)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("with truststore %q: %v", file, err)
		}
		client.CloseIdleConnections()
	}
}
