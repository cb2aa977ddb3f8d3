package console_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/management/access"
)

var inline = regexp.MustCompile(`(?i)<script(?:>|[^>]*[^"]>[^<])|<style|\sstyle=|\son[a-z]+="|javascript:|(?:src|href)="https?:`)

func TestNoPageNeedsWhatThePolicyForbids(t *testing.T) {
	b := serve(t, clock.Real()).signedIn("ann", superUser)
	b.change(t, "web-context", "sso", "a reason")
	for _, path := range append(pages, "/console/sign-in", "/console/revision?number=1", "/console/nowhere") {
		r, text := b.get(path)
		if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if found := inline.FindString(text); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", path, r.Header)
		}
	}
}

func TestNothingIsShownToStrangers(t *testing.T) {
	s := serve(t, clock.Real())
	s.addUser("ann", superUser)
	forged := s.browser()
	forged.header.Set("Cookie", "__Secure-gatehouse-console=x.eyJuIjoiYW5uIn0.c2ln")
	for _, b := range []*browser{s.browser(), forged} {
		for _, path := range append(pages, "/console/revision?number=1", "/console/nowhere") {
			r, text := b.get(path)
			if r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/console/sign-in") || strings.Contains(text, "FAILED") {
				t.Errorf("GET %s: %s %s", path, r.Status, r.Header.Get("Location"))
			}
		}
		for _, path := range []string{"/console/plan", "/console/commit", "/console/server", "/console/rollouts", "/console/sign-out"} {
			if r, _ := b.post(path, url.Values{"csrf": {"x"}}); r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/console/sign-in" {
				t.Errorf("POST %s: %s", path, r.Status)
			}
		}
		b.header.Set("Gatehouse-Refresh", "1")
		if r, _ := b.get("/console"); r.StatusCode != http.StatusUnauthorized {
			t.Errorf("refresh: %s", r.Status)
		}
	}
}

func TestSignInSetsACookieThatOnlyTheConsoleGets(t *testing.T) {
	s := serve(t, clock.Real())
	s.addUser("ann", superUser)
	b := s.browser()
	r, text := b.post("/console/sign-in", url.Values{"name": {"ann"}, "password": {"wrong-pass-1"}})
	if r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) != 0 || !strings.Contains(text, "wrong") {
		t.Errorf("wrong password: %s, cookies %v", r.Status, r.Cookies())
	}
	unknown, other := b.post("/console/sign-in", url.Values{"name": {"bob"}, "password": {"wrong-pass-1"}})
	if unknown.StatusCode != r.StatusCode || strings.ReplaceAll(other, "bob", "ann") != text {
		t.Error("an unknown name can be told from a wrong password")
	}
	r, _ = b.post("/console/sign-in", url.Values{"name": {"ann"}, "password": {password}, "to": {"/console/history"}})
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/console/history" || len(r.Cookies()) != 1 {
		t.Fatalf("sign-in: %s to %q, cookies %v", r.Status, r.Header.Get("Location"), r.Cookies())
	}
	if c := r.Cookies()[0]; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/console" || c.Domain != "" {
		t.Errorf("cookie %+v", c)
	}
	r, _ = b.post("/console/sign-out", b.form(b.page("/console/history")))
	if r.StatusCode != http.StatusSeeOther || r.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign-out: %s %v", r.Status, r.Cookies())
	}
	if r, _ := b.get("/console"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after sign-out: %s", r.Status)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	s := serve(t, clock.Real())
	s.addUser("ann", superUser)
	for _, to := range []string{"https://evil.example/console", "//evil.example/console", `/\evil.example`, "/management", "javascript:alert(1)", "/consolex", "%zz", ""} {
		r, _ := s.browser().post("/console/sign-in", url.Values{"name": {"ann"}, "password": {password}, "to": {to}})
		if r.Header.Get("Location") != "/console" {
			t.Errorf("to %q leads to %q", to, r.Header.Get("Location"))
		}
	}
}

func TestWithoutAUserTheSignInSaysHowToAddOne(t *testing.T) {
	s := serve(t, clock.Real())
	if text := s.browser().page("/console/sign-in"); !strings.Contains(text, "There is no management user yet") || !strings.Contains(text, "gatehouse add-user --user NAME") {
		t.Errorf("the page says\n%s", text)
	}
	s.addUser("ann", superUser)
	if text := s.browser().page("/console/sign-in"); strings.Contains(text, "no management user yet") {
		t.Error("still says that there is none")
	}
}

func TestTheRootLeadsToTheConsole(t *testing.T) {
	if r, _ := serve(t, clock.Real()).browser().get("/"); r.StatusCode != http.StatusFound || r.Header.Get("Location") != "/console" {
		t.Errorf("%s to %q", r.Status, r.Header.Get("Location"))
	}
}

func TestAChangeNeedsAFormOfThisSession(t *testing.T) {
	s := serve(t, clock.Real())
	ann, eve := s.signedIn("ann", superUser), s.signedIn("eve", superUser)
	theirs := eve.form(eve.page("/console/history")).Get("csrf")
	form := url.Values{"do": {"remove"}, "at": {"/profile=other"}}
	commit := url.Values{"operation": {`{"operation":"write-attribute","address":"/profile=web/subsystem=identity","name":"web-context","value":"x"}`}, "revision": {"0"}}
	for _, csrf := range []string{"", "x", theirs} {
		for path, form := range map[string]url.Values{"/console/plan": form, "/console/commit": commit, "/console/server": {"order": {"stop"}}, "/console/rollouts": {"all": {"yes"}}, "/console/sign-out": {}} {
			form.Set("csrf", csrf)
			if r, _ := ann.post(path, form); r.StatusCode != http.StatusForbidden {
				t.Errorf("POST %s with csrf %q: %s", path, csrf, r.Status)
			}
		}
	}
	if s.revision() != 0 {
		t.Error("something was changed")
	}
}

func TestAnotherSitesPageCanSendNothing(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	form := b.form(b.page("/console/configuration?at=/profile%3Dother"))
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		b.header = http.Header{name: {value}}
		if r, _ := b.post("/console/plan", form); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: %s", name, value, r.Status)
		}
		if r, _ := b.post("/console/sign-in", url.Values{"name": {"ann"}, "password": {password}}); r.StatusCode != http.StatusForbidden || len(r.Cookies()) != 0 {
			t.Errorf("sign-in with %s %s: %s", name, value, r.Status)
		}
	}
}

func TestASessionLivesWhileItsPersonDoes(t *testing.T) {
	fake := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := serve(t, fake)
	b := s.signedIn("ann", superUser)
	b.client.Jar = nil // the jar looks at the machine's clock
	login, _ := b.post("/console/sign-in", url.Values{"name": {"ann"}, "password": {password}})
	use := func(c *http.Cookie) { b.header.Set("Cookie", c.Name+"="+c.Value) }
	use(login.Cookies()[0])
	csrf := b.form(b.page("/console/history")).Get("csrf")
	fake.Advance(access.SessionLifetime/2 + time.Minute)
	b.header.Set("Gatehouse-Refresh", "1")
	if r, _ := b.get("/console"); r.StatusCode != http.StatusOK || len(r.Cookies()) != 0 {
		t.Errorf("a page's own refresh: %s, cookies %v", r.Status, r.Cookies())
	}
	b.header.Del("Gatehouse-Refresh")
	r, _ := b.get("/console")
	if len(r.Cookies()) != 1 {
		t.Fatal("the session was not renewed")
	}
	use(r.Cookies()[0])
	fake.Advance(access.SessionLifetime/2 + time.Minute)
	if again := b.form(b.page("/console/history")).Get("csrf"); again != csrf {
		t.Error("an open page's form is refused after a renewal")
	}
	fake.Advance(access.SessionLifetime + time.Second)
	if r, _ := b.get("/console"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("after %s without a visit: %s", access.SessionLifetime, r.Status)
	}
}

func TestARemovedUserIsOutAtOnce(t *testing.T) {
	s := serve(t, clock.Real())
	b := s.signedIn("ann", superUser)
	if err := s.users.RemoveUser(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	if r, _ := b.get("/console"); r.StatusCode != http.StatusSeeOther {
		t.Errorf("%s", r.Status)
	}
}
