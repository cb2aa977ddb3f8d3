package welcome

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

func server(t *testing.T) (http.Handler, storage.Store, *authentication.Accounts) {
	t.Helper()
	clock := clocktest.New(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), storage.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	c := &model.Contents{Realm: &model.Realm{Name: model.Master, Enabled: true}}
	if err := c.AddDefaults(model.Generate{ID: uuid.NewString, Secret: rand.Text}); err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), func(tx storage.Tx) error {
		if err := tx.Realms.Create(t.Context(), "", c.Realm); err != nil {
			return err
		}
		for _, r := range c.Roles {
			if r.Parent == "" {
				if err := tx.Roles.Create(t.Context(), c.Realm.ID, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := themes.New(themes.Config{})
	if err != nil {
		t.Fatal(err)
	}
	accounts := authentication.NewAccounts(store, passwords.NewHasher(0), clock, zerolog.Nop())
	return New(Config{Store: store, Book: func() addresses.Book { return addresses.Book{Proxy: addresses.XForwarded} }, Accounts: accounts, Themes: set, Clock: clock, Log: zerolog.Nop()}), store, accounts
}

func local(method string, form url.Values, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(method, "/auth/", strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "localhost:8080"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return r
}

func answer(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheFirstAdministratorIsMadeFromThisMachineOnly(t *testing.T) {
	h, _, _ := server(t)
	for name, change := range map[string]func(*http.Request){
		"another machine":        func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5000" },
		"through a proxy":        func(r *http.Request) { r.Header.Set("X-Forwarded-For", "127.0.0.1") },
		"through another proxy":  func(r *http.Request) { r.Header.Set("Forwarded", "for=127.0.0.1") },
		"by a name that rebinds": func(r *http.Request) { r.Host = "evil.example:8080" },
		"a private network":      func(r *http.Request) { r.RemoteAddr = "10.0.0.7:1" },
	} {
		r := local(http.MethodGet, nil)
		change(r)
		if w := answer(h, r); w.Code != 200 || strings.Contains(w.Body.String(), "<form") || !strings.Contains(w.Body.String(), "no administrator yet") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		r = local(http.MethodPost, url.Values{"username": {"eve"}, "password": {"x"}, "passwordConfirmation": {"x"}, "stateChecker": {"t"}}, &http.Cookie{Name: tokenCookie, Value: "t"})
		change(r)
		if w := answer(h, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: a form gets %d", name, w.Code)
		}
	}
}

func TestTheFirstAdministratorIsTheOnlyOneMadeHere(t *testing.T) {
	h, store, accounts := server(t)
	w := answer(h, local(http.MethodGet, nil))
	token := regexp.MustCompile(`name="stateChecker" value="([^"]+)"`).FindStringSubmatch(w.Body.String())
	if w.Code != 200 || token == nil {
		t.Fatal(w.Code, w.Body)
	}
	cookie := w.Result().Cookies()[0]
	form := url.Values{"username": {"root"}, "password": {"a secret"}, "passwordConfirmation": {"a secret"}, "stateChecker": {token[1]}}
	with := func(name, value string) url.Values {
		f := url.Values{}
		for k, v := range form {
			f[k] = v
		}
		f.Set(name, value)
		return f
	}
	for name, r := range map[string]*http.Request{
		"no cookie":        local(http.MethodPost, form),
		"another token":    local(http.MethodPost, with("stateChecker", "x"), cookie),
		"no username":      local(http.MethodPost, with("username", " "), cookie),
		"no password":      local(http.MethodPost, with("password", ""), cookie),
		"another password": local(http.MethodPost, with("passwordConfirmation", "x"), cookie),
	} {
		if w := answer(h, r); w.Code < 400 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := answer(h, local(http.MethodPost, form, cookie)); w.Code != 200 || !strings.Contains(w.Body.String(), "has been created") {
		t.Fatal(w.Code, w.Body)
	}
	if w := answer(h, local(http.MethodPost, with("username", "second"), cookie)); w.Code != http.StatusForbidden {
		t.Errorf("a second one: %d", w.Code)
	}
	var realm *model.Realm
	err := store.View(t.Context(), func(tx storage.Tx) (err error) {
		realm, err = tx.Realms.ByName(t.Context(), "", "", model.Master)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := accounts.Find(t.Context(), realm, "root")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := accounts.CheckPassword(t.Context(), realm, u, "a secret", ""); v != authentication.Right || err != nil {
		t.Error(v, err)
	}
}

func TestTheRootLeadsToTheContextPath(t *testing.T) {
	h, _, _ := server(t)
	for path, want := range map[string]int{"/": 302, "/auth": 302, "/auth/": 200, "/nothing": 404} {
		r := local(http.MethodGet, nil)
		r.URL.Path = path
		if w := answer(h, r); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
