package loginactions_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
)

func TestAUserLogsInAndOut(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	page := b.open(w.account())
	b.sees(page, 200, "Sign in", "Test & realm")
	page = b.submit(page, "username", "alice", "password", "wrong")
	b.sees(page, 200, "Invalid username or password.")
	if form := b.fill(page, "username"); form.Values.Get("username") != "alice" || form.Values.Get("password") != "" {
		t.Errorf("the form keeps %v", form.Values)
	}
	page = b.submit(page, "username", "ALICE@example.com", "password", secret)
	b.sees(page, 200, "Your account", "alice@example.com", "this one")
	b.sees(b.open(w.account()), 200, "Your account")
	if cookie := b.b.Cookie(w.account()+"/", sessions.AuthSessionCookie); !strings.HasSuffix(cookie, ".node-1") {
		t.Errorf("the session does not stick: %q", cookie)
	}
	b.sees(b.submit(page, "stateChecker"), 400) // "log out other sessions" is absent: the first form is the password's
	forms := strings.Count(string(page.Body), "stateChecker")
	if forms != 2 {
		t.Fatalf("%d forms, want password and logout", forms)
	}
	form := b.fill(page, "stateChecker")
	form.Action = form.Action.JoinPath("../logout")
	page, err := b.b.Submit(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	b.sees(page, 200, "You are logged out")
	b.sees(b.open(w.account()), 200, "Sign in")
}

func TestPagesCannotBeFramedScriptedOrCached(t *testing.T) {
	w := newWorld(t, nil)
	page := w.window().open(w.account())
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'self'",
		"X-Frame-Options":         "SAMEORIGIN", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := page.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if strings.Contains(string(page.Body), "<script") || strings.Contains(string(page.Body), " style=") {
		t.Error("the page has inline code")
	}
}

func TestADoubleClickIsOneLogin(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	form := b.fill(b.open(w.account()), "username", "alice", "password", secret)
	var group sync.WaitGroup
	var arrived atomic.Int32
	for range 5 {
		group.Go(func() {
			page, err := b.b.Submit(t.Context(), form)
			if err == nil && page.Status == 200 && strings.Contains(page.Text(), "Your account") {
				arrived.Add(1)
			} else if err == nil {
				t.Log(page.Status, page.Text())
			}
		})
	}
	group.Wait()
	if arrived.Load() != 5 {
		t.Errorf("%d of 5 clicks arrived", arrived.Load())
	}
}

func TestAFormOfAnEarlierPageChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	old := b.fill(b.open(w.account()), "username", "alice", "password", secret)
	now := b.submit(b.open(w.account()), "username", "x", "password", "y") // a second tab; the first is untouched
	b.sees(now, 200, "Invalid username")
	b.fill(now, "username")
	stale := *old
	stale.Values = url.Values{"username": {"alice"}, "password": {"guess"}}
	if page, err := b.b.Submit(t.Context(), &stale); err != nil || !strings.Contains(page.Text(), "Invalid username") {
		t.Fatal(page, err)
	}
	w.clock.Advance(time.Minute) // past the time in which the same form gets the same answer
	page, err := b.b.Submit(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	b.sees(page, 400, "Page has expired")
	page = b.open(page.Link("Continue").String())
	b.sees(page, 200, "Sign in")
	b.sees(b.submit(page, "username", "alice", "password", secret), 200, "Your account")
}

func TestAFormFromAnotherSiteIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	form := b.fill(b.open(w.account()), "username", "alice", "password", secret)
	q := form.Action.Query()
	q.Set("session_code", "guessed")
	form.Action.RawQuery = q.Encode()
	page, err := b.b.Submit(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	b.sees(page, 400, "Page has expired")
	other := w.window()
	other.open(w.account())
	page, err = other.b.Submit(t.Context(), b.fill(b.open(w.account()), "username", "alice", "password", secret))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.Text(), "Your account") {
		t.Error("a login that was begun in one browser was completed in another")
	}
}

func TestAnExpiredLoginBeginsAgain(t *testing.T) {
	w := newWorld(t, nil)
	b := w.window()
	page := b.open(w.account())
	w.clock.Advance(31 * time.Minute) // accessCodeLifespanLogin is 30
	page = b.submit(page, "username", "alice", "password", secret)
	b.sees(page, 200, "timed out", "Sign in")
	b.sees(b.submit(page, "username", "alice", "password", secret), 200, "Your account")
	stranger := w.window()
	stranger.sees(stranger.open(w.url+"/auth/realms/test/login-actions/authenticate?client_id=account&tab_id=x"), 400, "Cookie not found")
}

func TestBackFromALaterStepOffersAWayOn(t *testing.T) {
	w := newWorld(t, withOTP)
	b := w.window()
	page := b.open(w.account())
	first := page
	page = b.submit(page, "username", "alice", "password", secret)
	b.sees(page, 200, "One-time code")
	form := b.fill(first, "username")
	address := *form.Action
	q := address.Query()
	q.Del("session_code")
	address.RawQuery = q.Encode()
	back := b.open(address.String())
	b.sees(back, 400, "Page has expired")
	b.sees(b.open(back.Link("Continue").String()), 200, "One-time code")
	b.sees(b.open(back.Link("Start again").String()), 200, "Username or email")
}

func TestARealmThatIsNotThereOrClosed(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) { c.Realm.SSLRequired = "all" })
	b := w.window()
	b.sees(b.open(w.url+"/auth/realms/none/account"), 404, "There is no realm")
	b.sees(b.open(w.url+"/auth/realms/none/login-actions/authenticate"), 404, "There is no realm")
	b.sees(b.open(w.account()), 403, "HTTPS is required")
}

func TestABodyOverItsLimitIs413(t *testing.T) {
	w := newWorld(t, nil)
	resp, err := http.Post(w.url+"/auth/realms/test/login-actions/authenticate", "application/x-www-form-urlencoded", strings.NewReader("a="+strings.Repeat("x", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(resp.Status)
	}
}

func TestALoginSpeaksTheUsersLanguage(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) {
		c.Realm.InternationalizationEnabled, c.Realm.SupportedLocales = true, []string{"en", "de"}
	})
	b := w.window()
	page := b.open(w.account())
	b.sees(page, 200, "Sign in", "Deutsch")
	page = b.open(page.Link("Deutsch").String())
	b.sees(page, 200, "Anmelden")
	b.sees(b.submit(page, "username", "alice", "password", "x"), 200, "Ungültiger Benutzername oder Passwort.")
	w.settings.DisplayName = "Firma <GmbH>"
	b.sees(b.open(w.account()), 200, "Firma <GmbH>", "Anmelden")
}

func TestARealmWithoutAnAccountClientSaysSo(t *testing.T) {
	w := newWorld(t, func(c *model.Contents) {
		off := false
		for _, client := range c.Clients {
			if strings.HasPrefix(client.ClientID, "account") {
				client.Enabled = &off
			}
		}
	})
	b := w.window()
	b.sees(b.open(w.account()), 403, "no account page")
}
