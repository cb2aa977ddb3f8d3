package boot

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestARequestIsAnsweredByTheHostThatItIsFor(t *testing.T) {
	header := func(name string) map[string]any {
		return map[string]any{
			filterAt + "response-header|" + name + "|header-name": "X-Host", filterAt + "response-header|" + name + "|header-value": name,
		}
	}
	values := map[string]any{
		hostAt + "filter-ref|standard": map[string]any{}, "http|server|default-server|host|public|alias": []any{"Login.example", "sso.example"},
		"http|server|default-server|host|public|filter-ref|public": map[string]any{},
	}
	for _, name := range []string{"standard", "public"} {
		for k, v := range header(name) {
			values[k] = v
		}
	}
	ask := func(values map[string]any, forwarding bool, host, forwarded string) string {
		t.Helper()
		cfg := subsystems(values)
		filters := newFilterReader(cfg)
		hosts, err := readHosts(cfg, func(host string) (http.Handler, error) {
			chain, err := filters.of(host)
			return chain.apply(hello), err
		})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		r.Header.Set("X-Forwarded-Host", forwarded)
		w := httptest.NewRecorder()
		hosts.behind(forwarding).ServeHTTP(w, r)
		return w.Header().Get("X-Host")
	}
	for _, tt := range []struct {
		host, forwarded string
		forwarding      bool
		want            string
	}{
		{"public", "", false, "public"},
		{"LOGIN.example:8443", "", false, "public"},
		{"sso.example.", "", false, "public"},
		{"default-host", "", false, "standard"},
		{"anything.example", "", false, "standard"},
		{"", "", false, "standard"},
		{"[::1]:8080", "", false, "standard"},
		{"anything.example", "sso.example, inner", true, "public"},
		{"anything.example", "sso.example", false, "standard"},
	} {
		if got := ask(values, tt.forwarding, tt.host, tt.forwarded); got != tt.want {
			t.Errorf("Host %q, forwarded %q (%v): %s, want %s", tt.host, tt.forwarded, tt.forwarding, got, tt.want)
		}
	}
	values["http|server|default-server|default-host"] = "public"
	if got := ask(values, false, "anything.example", ""); got != "public" {
		t.Errorf("with default-host=public: %s", got)
	}
	values["http|default-server"], values["http|server|other|host|default-host|filter-ref|public"] = "other", map[string]any{}
	if got := ask(values, false, "default-host", ""); got != "public" {
		t.Errorf("with default-server=other: %s", got)
	}
}

func TestAFilterWithAPredicateIsForRequestsThatMeetIt(t *testing.T) {
	values := map[string]any{
		filterAt + "response-header|x|header-name": "X-Filtered", filterAt + "response-header|x|header-value": "yes",
		hostAt + "filter-ref|x|predicate": "path-prefix(/auth) and not method(POST)",
	}
	chain, err := newFilterReader(subsystems(values)).of("default-host")
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{"GET /auth/x": "yes", "POST /auth/x": "", "GET /authx": ""} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		chain.apply(hello).ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if got := w.Header().Get("X-Filtered"); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	values[hostAt+"filter-ref|x|predicate"] = "dwarf(7)"
	if _, err := newFilterReader(subsystems(values)).of("default-host"); err == nil {
		t.Error("a predicate that nobody knows is taken")
	}
}
