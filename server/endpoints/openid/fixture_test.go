package openid_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/caches/stored"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/loginactions"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/authorize"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/certs"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/introspect"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/logout"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/revoke"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/status"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/token"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/openid/userinfo"
	"github.com/gatehouse-idp/gatehouse/server/endpoints/wellknown"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/keys"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/themes"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
	"github.com/gatehouse-idp/gatehouse/server/tokens/bearer"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
	"github.com/gatehouse-idp/gatehouse/server/tokens/endsession"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// later is a clock that tests move forward; it runs by itself too.
type later struct {
	clock.Clock
	mu sync.Mutex
	by time.Duration
}

func (l *later) Now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Clock.Now().Add(l.by)
}

func (l *later) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by += d
}

// world is one server with a realm "test" over a database of its own.
type world struct {
	t        testing.TB
	server   *httptest.Server
	handler  http.Handler
	store    storage.Store
	clock    *later
	sessions *sessions.Service
	issuer   *tokens.Issuer
	ring     *keys.Ring
	front    oauth.Front
	alice    string // user's id
}

// callback is the redirect URI of the realm's applications; nobody listens.
const callback = "http://app.example/callback"

// newWorld makes a world with the caches that a server has.
func newWorld(t testing.TB) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: &later{Clock: clock.Real()}}
	log := zerolog.Nop()
	if testing.Verbose() && os.Getenv("GATEHOUSE_TEST_LOG") != "" {
		log = zerolog.New(zerolog.NewTestWriter(t))
	}
	database, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "test.db"), storage.Options{Clock: w.clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = database.Close() })
	w.store = stored.New(database, stored.Options{Log: log})
	hasher := passwords.NewHasher(2)
	realm, err := os.ReadFile("testdata/test-realm.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := realmfile.Import(ctx, w.store, realm, realmfile.Options{Hash: func(ctx context.Context, r *model.Realm, password string) (model.Credential, error) {
		return authentication.NewAccounts(database, hasher, w.clock, log).NewPassword(ctx, r, password, false)
	}}); err != nil {
		t.Fatal(err)
	}
	w.ring = keys.NewRing(keys.Stored(w.store), w.clock, log)
	w.sessions = sessions.New(w.store, w.ring, w.clock, "node-1")
	w.issuer = tokens.NewIssuer(w.store, w.ring, w.clock, log)
	w.front = oauth.Front{Store: w.store, Book: func() addresses.Book { return addresses.Book{} }}
	w.handler = w.mount(hasher, log)
	err = w.store.View(ctx, func(tx storage.Tx) error {
		alice, err := tx.Users.ByUsername(ctx, "test-realm", "alice")
		if err == nil {
			w.alice = alice.ID
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.handler)
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) mount(hasher *passwords.Hasher, log zerolog.Logger) http.Handler {
	front, book := w.front, w.front.Book
	set, err := themes.New(themes.Config{Settings: func() themes.Settings { return themes.Settings{} }, Version: "test", Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	protocols := map[string]authentication.Protocol{}
	login := authentication.New(authentication.Config{Store: w.store, Logins: w.sessions, Hasher: hasher, Themes: set, Protocols: protocols, Clock: w.clock, Log: log})
	happened := events.Log{Log: log}
	clients := clientauth.New(front, w.sessions, w.clock, http.DefaultClient)
	checker := bearer.Checker{Front: front, Sessions: w.sessions, Issuer: w.issuer}
	ender := &endsession.Ender{Store: w.store, Sessions: w.sessions, Issuer: w.issuer, HTTP: http.DefaultClient, Log: log}
	authorization := authorize.New(authorize.Config{Front: front, Sessions: w.sessions, Issuer: w.issuer, Login: login, Pages: set, Events: happened, Clock: w.clock, Log: log})
	protocols["openid-connect"] = authorization
	discovery := &wellknown.Endpoint{Front: front, Keys: w.ring, Log: log}
	session := &status.Endpoint{Front: front}
	mux := http.NewServeMux()
	const realm = "/auth/realms/{realm}"
	const openid = realm + "/protocol/openid-connect"
	mux.HandleFunc(realm, discovery.Realm)
	mux.HandleFunc(realm+"/.well-known/openid-configuration", discovery.Discovery)
	mux.Handle(openid+"/auth", authorization)
	mux.Handle(openid+"/token", token.New(token.Config{Front: front, Clients: clients, Sessions: w.sessions, Issuer: w.issuer, Passwords: login, Events: happened, Log: log}))
	mux.Handle(openid+"/token/introspect", &introspect.Endpoint{Front: front, Clients: clients, Bearer: checker, Issuer: w.issuer, Events: happened, Log: log})
	mux.Handle(openid+"/userinfo", &userinfo.Endpoint{Front: front, Bearer: checker, Issuer: w.issuer, Events: happened, Log: log})
	mux.Handle(openid+"/revoke", &revoke.Endpoint{Front: front, Clients: clients, Sessions: w.sessions, Issuer: w.issuer, Events: happened, Log: log})
	mux.Handle(openid+"/logout", &logout.Endpoint{Front: front, Clients: clients, Sessions: w.sessions, Issuer: w.issuer, Ender: ender, Pages: set, Events: happened, Log: log})
	mux.Handle(openid+"/certs", &certs.Endpoint{Front: front, Keys: w.ring, Log: log})
	mux.HandleFunc(openid+"/login-status-iframe.html", session.Iframe)
	mux.HandleFunc(openid+"/login-status-iframe.html/init", session.Init)
	mux.Handle(realm+"/login-actions/{action}", loginactions.New(loginactions.Config{Store: w.store, Book: book, Logins: w.sessions, Processor: login, Themes: set, Clock: w.clock, Log: log}))
	return httpio.LimitBody(httpio.DefaultBodyLimit, mux)
}

func (w *world) realm() string { return w.server.URL + "/auth/realms/test" }

func (w *world) openid(endpoint string) string {
	return w.realm() + "/protocol/openid-connect/" + endpoint
}

// browser stops where an application would take over.
func (w *world) browser() *formbrowser.Browser {
	return formbrowser.New(nil, func(u *url.URL) bool { return u.Host != strings.TrimPrefix(w.server.URL, "http://") })
}

// authorize is the address of an authorization request; pairs override or, with
// "", remove parameters.
func (w *world) authorize(pairs ...string) string {
	q := url.Values{"client_id": {"web"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"s1"}, "nonce": {"n1"}}
	for i := 0; i < len(pairs); i += 2 {
		if q.Del(pairs[i]); pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return w.openid("auth") + "?" + q.Encode()
}

// login logs alice in and returns the parameters that reach the application.
func (w *world) login(b *formbrowser.Browser, pairs ...string) url.Values {
	w.t.Helper()
	page, err := b.Open(context.Background(), w.authorize(pairs...))
	if err != nil {
		w.t.Fatal(err)
	}
	if to := page.Location(); to != nil {
		return to.Query()
	}
	form, err := page.Form("password")
	if err != nil {
		w.t.Fatalf("%s shows %q: %v", page.URL, page.Text(), err)
	}
	if form.Values.Has("username") {
		form.Values.Set("username", "alice")
	}
	form.Values.Set("password", "alice-pw")
	if page, err = b.Submit(context.Background(), form); err != nil {
		w.t.Fatal(err)
	}
	to := page.Location()
	if to == nil {
		w.t.Fatalf("after the login %s shows %q", page.URL, page.Text())
	}
	return to.Query()
}

// post sends a form to an endpoint as a client and reads the JSON answer.
func (w *world) post(endpoint string, client [2]string, form ...string) (int, map[string]any) {
	w.t.Helper()
	v := url.Values{}
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	if client[1] == "" && client[0] != "" {
		v.Set("client_id", client[0])
	}
	req, err := http.NewRequest(http.MethodPost, w.openid(endpoint), strings.NewReader(v.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client[1] != "" {
		req.SetBasicAuth(client[0], client[1])
	}
	return w.do(req)
}

func (w *world) do(req *http.Request) (int, map[string]any) {
	w.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	answer := map[string]any{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			answer["body"] = string(body)
		}
	}
	return resp.StatusCode, answer
}

var (
	web     = [2]string{"web", "web-secret"}
	spa     = [2]string{"spa", ""}
	service = [2]string{"service", "service-secret"}
	cli     = [2]string{"cli", ""}
	nobody  = [2]string{"", ""}
)

// tokens logs alice in by browser and exchanges the code.
func (w *world) tokens(b *formbrowser.Browser, pairs ...string) map[string]any {
	w.t.Helper()
	back := w.login(b, pairs...)
	status, answer := w.post("token", web, "grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", callback)
	if status != http.StatusOK {
		w.t.Fatalf("%d %v after %v", status, answer, back)
	}
	return answer
}

func text(m map[string]any, name string) string { s, _ := m[name].(string); return s }

// claims are the claims of a JWT, unverified.
func claims(t testing.TB, compact string) map[string]any {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWT", compact)
	}
	return decodeSegment(t, parts[1])
}
