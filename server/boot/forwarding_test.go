package boot

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

func withTrusted(values ...any) servergroups.ServerConfig {
	return servergroups.ServerConfig{Subsystems: map[string]any{"http": map[string]any{"server": map[string]any{"default-server": map[string]any{
		"http-listener": map[string]any{"default": map[string]any{"trusted-proxies": values}}}}}}}
}

func TestForwardedHeadersOfStrangersAreRemoved(t *testing.T) {
	trusted, err := readTrusted(withTrusted("10.0.0.0/8", "192.0.2.7", "::1"), plainKind, "default")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		remote string
		want   string
	}{
		{"10.1.2.3:4711", "203.0.113.9"},
		{"192.0.2.7:1", "203.0.113.9"},
		{"[::1]:1", "203.0.113.9"},
		{"[::ffff:10.1.1.1]:1", "203.0.113.9"}, // an IPv4 peer on an IPv6 socket
		{"192.0.2.8:1", ""},
		{"[2001:db8::1]:1", ""},
		{"nonsense", ""},
	}
	for _, tt := range tests {
		t.Run(tt.remote, func(t *testing.T) {
			var got string
			h := believe(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Forwarded-For") }))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.remote
			r.Header.Set("X-Forwarded-For", "203.0.113.9")
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != tt.want {
				t.Errorf("X-Forwarded-For = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestATrustedProxyThatIsNoAddressIsRefused(t *testing.T) {
	_, err := readTrusted(withTrusted("10.0.0.0/99"), plainKind, "default")
	if err == nil || !strings.Contains(err.Error(), `"10.0.0.0/99"`) {
		t.Errorf("readTrusted = %v", err)
	}
}
