package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

func address(t *testing.T, text string) profiles.Address {
	t.Helper()
	at, err := profiles.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestALogIsReadFollowedAndSaved(t *testing.T) {
	s := serve(t, clock.Real())
	s.model.Logs["one"] = `{"level":"warn","node":"h1.one","time":"2026-01-02T03:04:05Z","message":"slow","took":12,"who":"a b"}` + "\nplain\n"
	b := s.signedIn("ann", superUser)
	for _, path := range []string{"/console/server", "/console/log"} {
		if text := b.page(path + "?host=h1&name=one"); !strings.Contains(text, "2026-01-02T03:04:05Z WARN  slow took=12 who=&#34;a b&#34;\nplain\n") || !strings.Contains(text, `id="live"`) {
			t.Errorf("%s says\n%s", path, text)
		}
	}
	r, text := b.get("/console/log/file?host=h1&name=one")
	if text != s.model.Logs["one"] || r.Header.Get("Content-Disposition") != `attachment; filename="h1-one.log"` {
		t.Errorf("saved %q as %q", text, r.Header.Get("Content-Disposition"))
	}
	for _, path := range []string{"/console/log", "/console/log/file"} {
		if r, _ := b.get(path + "?host=h1&name=nobody"); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s of no server: %s", path, r.Status)
		}
	}
}

func TestASupportBundleIsSavedAsAFile(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	r, text := b.post("/console/support-bundle", url.Values{"csrf": {b.csrf()}, "host": {`h1"\n`}})
	if r.StatusCode != http.StatusOK || text != "first second" || r.Header.Get("Content-Type") != "application/gzip" ||
		!strings.HasSuffix(r.Header.Get("Content-Disposition"), `Z-h1--n.tar.gz"`) {
		t.Errorf("%s %v: %q", r.Status, r.Header, text)
	}
	s.model.broken = true
	if r, text := b.post("/console/support-bundle", url.Values{"csrf": {b.csrf()}}); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "no disk") {
		t.Errorf("%s\n%s", r.Status, text)
	}
}
