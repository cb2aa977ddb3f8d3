package sessions_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/keys/keystest"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

// house is two servers over one database.
type house struct {
	t      *testing.T
	clock  *clocktest.Clock
	realm  *model.Realm
	client *model.Client
	alice  *model.User
	bob    *model.User
	one    *sessions.Service
	other  *sessions.Service
}

var site = addresses.At("https://sso.example", "/auth")

func newHouse(t *testing.T) *house {
	ctx := context.Background()
	h := &house{t: t, clock: clocktest.New(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)),
		realm:  &model.Realm{ID: "r", Name: "demo", Enabled: true, RememberMe: true},
		client: &model.Client{ID: "c", ClientID: "app"},
		alice:  &model.User{ID: "alice-id", Username: "alice", Enabled: true},
		bob:    &model.User{ID: "bob-id", Username: "bob", Enabled: true}}
	path := filepath.Join(t.TempDir(), "db")
	source := keystest.New("r", keys.Provider{ID: "h", Name: "hmac", Kind: "hmac-generated", Config: map[string][]string{"algorithm": {"HS512"}}})
	for _, s := range []**sessions.Service{&h.one, &h.other} {
		store, err := sqlite.Open(ctx, path, storage.Options{Clock: h.clock, CommitRate: 1e6, CommitBurst: 1000})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		*s = sessions.New(store, keys.NewRing(source, h.clock, zerolog.Nop()), h.clock, "node-1")
		if s == &h.other {
			continue
		}
		err = store.Update(ctx, func(tx storage.Tx) error {
			if err := tx.Realms.Create(ctx, "", h.realm); err != nil {
				return err
			}
			if err := tx.Clients.Create(ctx, "r", h.client); err != nil {
				return err
			}
			if err := tx.Users.Create(ctx, "r", h.alice); err != nil {
				return err
			}
			return tx.Users.Create(ctx, "r", h.bob)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// browser keeps the cookies that answers set.
type browser map[string]*http.Cookie

func (b browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range b {
		r.AddCookie(c)
	}
	return r
}

func (b browser) keep(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b, c.Name)
			continue
		}
		b[c.Name] = c
	}
}

func (h *house) begin(b browser) *sessions.Login {
	h.t.Helper()
	w := httptest.NewRecorder()
	l, err := h.one.Begin(context.Background(), w, b.request(), site, h.realm, h.client, func(t *model.AuthenticationTab) {
		t.RedirectURI, t.ClientNotes["state"] = "https://app/cb", "s"
	})
	if err != nil {
		h.t.Fatal(err)
	}
	b.keep(w)
	return l
}

func (h *house) attach(b browser, l *sessions.Login, u *model.User) (*sessions.Outcome, error) {
	w := httptest.NewRecorder()
	out, err := h.other.Attach(context.Background(), w, l, u)
	b.keep(w)
	return out, err
}

func TestALoginKeepsItsIDForLife(t *testing.T) {
	h, b := newHouse(t), browser{}
	l := h.begin(b)
	if got, err := h.other.Find(context.Background(), b.request(), site, h.realm, "app", l.Tab.ID); err != nil || got.Tab.ClientNotes["state"] != "s" {
		t.Fatalf("another server: %v", err)
	}
	out, err := h.attach(b, l, h.alice)
	if err != nil || out.Online.ID != l.Root.ID || out.Client.RedirectURI != "https://app/cb" {
		t.Fatalf("%+v, %v", out, err)
	}
	if got := b[sessions.AuthSessionCookie].Value; got != out.Online.ID+".node-1" {
		t.Errorf("cookie %q", got)
	}
	u, user, err := h.one.Identify(context.Background(), b.request(), site, h.realm)
	if err != nil || u.ID != out.Online.ID || user.ID != h.alice.ID {
		t.Errorf("%v, %v", user, err)
	}
	if again := h.begin(b); again.Root.ID != out.Online.ID {
		t.Error("the next login of the browser has another id")
	}
}

func TestOfManyThatAttachATabOneSucceeds(t *testing.T) {
	h, b := newHouse(t), browser{}
	l := h.begin(b)
	var mu sync.Mutex
	var wait sync.WaitGroup
	won := 0
	for i := range 8 {
		wait.Go(func() {
			_, err := []*sessions.Service{h.one, h.other}[i%2].Attach(context.Background(), httptest.NewRecorder(), l, h.alice)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !problem.Is(err, problem.NotFound) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if won != 1 {
		t.Errorf("%d attached", won)
	}
}

func TestABrowserHasOneUserAtATime(t *testing.T) {
	h, b := newHouse(t), browser{}
	if _, err := h.attach(b, h.begin(b), h.alice); err != nil {
		t.Fatal(err)
	}
	if _, err := h.attach(b, h.begin(b), h.bob); !problem.Is(err, problem.Conflict) {
		t.Errorf("bob in alice's session: %v", err)
	}
	h.clock.Advance(11 * time.Hour)
	if out, err := h.attach(b, h.begin(b), h.bob); err != nil || out.Online.UserID != h.bob.ID {
		t.Errorf("after alice's session: %v", err)
	}
}

func TestNobodyPlantsASession(t *testing.T) {
	h := newHouse(t)
	b := browser{sessions.AuthSessionCookie: {Name: sessions.AuthSessionCookie, Value: "chosen-by-an-attacker.node-1"}}
	if l := h.begin(b); strings.HasPrefix(l.Root.ID, "chosen") {
		t.Error("an id that we did not make was taken over")
	}
}

func TestForeignCookiesAreNobodys(t *testing.T) {
	h, b := newHouse(t), browser{}
	if _, err := h.attach(b, h.begin(b), h.alice); err != nil {
		t.Fatal(err)
	}
	h.begin(b) // sets KC_RESTART, which the same key signs
	for name, value := range map[string]string{
		"none": "", "nonsense": "x", "cut": b[sessions.IdentityCookie].Value[:40],
		"of another kind": b[sessions.RestartCookie].Value,
	} {
		c := browser{sessions.IdentityCookie: {Name: sessions.IdentityCookie, Value: value}}
		if _, _, err := h.one.Identify(context.Background(), c.request(), site, h.realm); !problem.Is(err, problem.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	elsewhere := addresses.At("https://other.example", "/auth")
	if _, _, err := h.one.Identify(context.Background(), b.request(), elsewhere, h.realm); !problem.Is(err, problem.NotFound) {
		t.Errorf("another issuer: %v", err)
	}
}

func TestAnExpiredLoginBeginsAgainAsItBegan(t *testing.T) {
	h, b := newHouse(t), browser{}
	l := h.begin(b)
	h.clock.Advance(31 * time.Minute)
	if _, err := h.one.Find(context.Background(), b.request(), site, h.realm, "app", l.Tab.ID); !problem.Is(err, problem.NotFound) {
		t.Fatalf("%v", err)
	}
	w := httptest.NewRecorder()
	again, err := h.other.Restart(context.Background(), w, b.request(), site, h.realm)
	if err != nil || again.Tab.ClientNotes["state"] != "s" || again.Tab.RedirectURI != "https://app/cb" || again.Tab.ID == l.Tab.ID {
		t.Errorf("%+v, %v", again, err)
	}
}

// DESIGN.md, promise 9: a code is used once, whatever the server.
func TestOfManyThatRedeemACodeOneSucceeds(t *testing.T) {
	h, b := newHouse(t), browser{}
	out, err := h.attach(b, h.begin(b), h.alice)
	if err != nil {
		t.Fatal(err)
	}
	code, err := h.one.IssueCode(context.Background(), h.realm, sessions.Code{Session: out.Online.ID, Client: "c", Scope: "openid"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.one.RedeemCode(context.Background(), h.realm, "another", code); !problem.Is(err, problem.NotFound) {
		t.Fatalf("another client: %v", err)
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	won := 0
	for i := range 8 {
		wait.Go(func() {
			c, err := []*sessions.Service{h.one, h.other}[i%2].RedeemCode(context.Background(), h.realm, "c", code)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && c.Scope == "openid" {
				won++
			} else if !problem.Is(err, problem.Conflict) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if won != 1 {
		t.Errorf("%d got the code", won)
	}
	if _, _, err := h.one.Both(context.Background(), h.realm, h.client, out.Online.ID, false); !problem.Is(err, problem.NotFound) {
		t.Errorf("a replayed code leaves the client's session: %v", err)
	}
}

func TestRememberMeOutlivesTheBrowser(t *testing.T) {
	h, b := newHouse(t), browser{}
	l := h.begin(b)
	l.Tab.AuthNotes[sessions.RememberMeNote] = "true"
	if _, err := h.attach(b, l, h.alice); err != nil {
		t.Fatal(err)
	}
	c := b[sessions.IdentityCookie]
	if c.MaxAge <= 0 || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteNoneMode || b[sessions.RememberMeCookie] == nil {
		t.Errorf("%+v", c)
	}
}
