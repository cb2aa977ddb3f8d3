package openid_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/tokens/clientauth"
)

// change changes the realm of a world.
func (w *world) change(f func(*model.Realm)) {
	w.t.Helper()
	err := w.store.Update(context.Background(), func(tx storage.Tx) error {
		realm, err := tx.Realms.ByName(context.Background(), "", "", "test")
		if err != nil {
			return err
		}
		realm = model.Clone(realm)
		f(realm)
		return tx.Realms.Update(context.Background(), "", realm)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) changeClient(clientID string, f func(*model.Client)) {
	w.t.Helper()
	err := w.store.Update(context.Background(), func(tx storage.Tx) error {
		client, err := tx.Clients.ByName(context.Background(), "test-realm", "", clientID)
		if err != nil {
			return err
		}
		client = model.Clone(client)
		if client.Attributes == nil {
			client.Attributes = map[string]string{}
		}
		f(client)
		return tx.Clients.Update(context.Background(), "test-realm", client)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) refresh(token string, more ...string) (int, map[string]any) {
	return w.post("token", web, append([]string{"grant_type", "refresh_token", "refresh_token", token}, more...)...)
}

func TestRefreshTokens_RFC6749_6(t *testing.T) {
	w := newWorld(t)
	first := w.tokens(w.browser(), "scope", "openid phone")
	status, second := w.refresh(text(first, "refresh_token"))
	if status != http.StatusOK || second["session_state"] != first["session_state"] || claims(t, text(second, "id_token"))["nonce"] != "n1" {
		t.Fatalf("%d %v", status, second)
	}
	if status, _ := w.refresh(text(first, "refresh_token")); status != http.StatusOK {
		t.Error("without rotation a refresh token is used more than once")
	}
	status, narrow := w.refresh(text(first, "refresh_token"), "scope", "openid")
	if status != http.StatusOK || strings.Contains(text(narrow, "scope"), "phone") {
		t.Errorf("narrowed: %d %v", status, narrow)
	}
	if status, wide := w.refresh(text(narrow, "refresh_token")); status != http.StatusOK || !strings.Contains(text(wide, "scope"), "phone") {
		t.Errorf("the refresh token keeps its scope: %d %v", status, wide["scope"])
	}
	if status, answer := w.refresh(text(first, "refresh_token"), "scope", "openid address"); status != http.StatusBadRequest || answer["error"] != "invalid_scope" {
		t.Errorf("widened: %d %v", status, answer)
	}
	for name, token := range map[string]string{"an access token": text(first, "access_token"), "an ID token": text(first, "id_token"), "nonsense": "x", "none": ""} {
		if status, answer := w.refresh(token); status != http.StatusBadRequest || answer["access_token"] != nil {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	status, answer := w.post("token", [2]string{"service", "service-secret"}, "grant_type", "refresh_token", "refresh_token", text(first, "refresh_token"))
	if status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("another client: %d %v", status, answer)
	}
}

// RFC 9700, section 4.14.2.
func TestARotatedRefreshTokenIsUsedOnceAndReuseRevokes(t *testing.T) {
	w := newWorld(t)
	w.change(func(r *model.Realm) { r.RevokeRefreshToken = true })
	first := w.tokens(w.browser())
	status, second := w.refresh(text(first, "refresh_token"))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, second)
	}
	status, third := w.refresh(text(second, "refresh_token"))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, third)
	}
	if status, answer := w.refresh(text(first, "refresh_token")); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("reuse: %d %v", status, answer)
	}
	if status, answer := w.refresh(text(third, "refresh_token")); status != http.StatusBadRequest {
		t.Errorf("the chain outlives its theft: %d %v", status, answer)
	}
	if _, answer := w.post("token/introspect", web, "token", text(third, "access_token")); answer["active"] != false {
		t.Errorf("the access token outlives it: %v", answer)
	}
}

func TestRotationAllowsWhatTheRealmAllows(t *testing.T) {
	w := newWorld(t)
	w.change(func(r *model.Realm) { r.RevokeRefreshToken, r.RefreshTokenMaxReuse = true, 1 })
	first := text(w.tokens(w.browser()), "refresh_token")
	for i, want := range []int{http.StatusOK, http.StatusOK, http.StatusBadRequest} {
		if status, answer := w.refresh(first); status != want {
			t.Errorf("use %d: %d %v", i+1, status, answer)
		}
	}
}

func TestOfManyThatUseARotatedTokenAtOnceOneGetsTokens(t *testing.T) {
	w := newWorld(t)
	w.change(func(r *model.Realm) { r.RevokeRefreshToken = true })
	token := text(w.tokens(w.browser()), "refresh_token")
	var mu sync.Mutex
	var wait sync.WaitGroup
	won := 0
	for range 8 {
		wait.Go(func() {
			if status, _ := w.refresh(token); status == http.StatusOK {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if won > 1 {
		t.Errorf("%d got tokens", won)
	}
}

func TestSessionsEndByIdlenessAgeAndNotBefore(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser())
	for range 3 { // each use keeps the session
		w.clock.advance(25 * time.Minute)
		status, next := w.refresh(text(answer, "refresh_token"))
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, next)
		}
		answer = next
	}
	w.clock.advance(32 * time.Minute)
	if status, got := w.refresh(text(answer, "refresh_token")); status != http.StatusBadRequest || got["error"] != "invalid_grant" {
		t.Errorf("idle: %d %v", status, got)
	}
	answer = w.tokens(w.browser())
	w.change(func(r *model.Realm) { r.NotBefore = w.clock.Now().Unix() + 1 })
	if status, got := w.refresh(text(answer, "refresh_token")); status != http.StatusBadRequest {
		t.Errorf("not before: %d %v", status, got)
	}
	if _, got := w.post("token/introspect", web, "token", text(answer, "access_token")); got["active"] != false {
		t.Errorf("not before: %v", got)
	}
}

func TestOfflineTokensOutliveTheSession(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser(), "scope", "openid offline_access")
	if got := claims(t, text(answer, "refresh_token"))["typ"]; got != "Offline" || answer["refresh_expires_in"] != 0.0 {
		t.Fatalf("%v, %v", got, answer["refresh_expires_in"])
	}
	w.clock.advance(11 * time.Hour)
	status, again := w.refresh(text(answer, "refresh_token"))
	if status != http.StatusOK || claims(t, text(again, "refresh_token"))["typ"] != "Offline" {
		t.Fatalf("%d %v", status, again)
	}
	if _, got := w.post("token/introspect", web, "token", text(again, "access_token")); got["active"] != true {
		t.Errorf("%v", got)
	}
	if status, got := w.post("revoke", web, "token", text(answer, "refresh_token")); status != http.StatusOK {
		t.Errorf("%d %v", status, got)
	}
	if status, got := w.refresh(text(again, "refresh_token")); status != http.StatusBadRequest {
		t.Errorf("revoked: %d %v", status, got)
	}
}

func TestPasswordGrant(t *testing.T) {
	w := newWorld(t)
	good := []string{"grant_type", "password", "username", "alice", "password", "alice-pw", "scope", "openid"}
	status, answer := w.post("token", cli, good...)
	if status != http.StatusOK || text(answer, "id_token") == "" || text(answer, "refresh_token") == "" || claims(t, text(answer, "access_token"))["sid"] != answer["session_state"] {
		t.Fatalf("%d %v", status, answer)
	}
	for _, c := range []struct {
		name   string
		client [2]string
		form   []string
		status int
		code   string
	}{
		{"wrong password", cli, []string{"username", "alice", "password", "x"}, 401, "invalid_grant"},
		{"unknown user", cli, []string{"username", "who", "password", "x"}, 401, "invalid_grant"},
		{"disabled user", cli, []string{"username", "bob", "password", "bob-pw"}, 400, "invalid_grant"},
		{"no username", cli, []string{"password", "x"}, 400, "invalid_request"},
		{"not allowed", web, []string{"username", "alice", "password", "alice-pw"}, 400, "unauthorized_client"},
		{"scope", cli, []string{"username", "alice", "password", "alice-pw", "scope", "nonsense"}, 400, "invalid_scope"},
	} {
		if status, answer := w.post("token", c.client, append([]string{"grant_type", "password"}, c.form...)...); status != c.status || answer["error"] != c.code {
			t.Errorf("%s: %d %v", c.name, status, answer)
		}
	}
}

func TestClientCredentialsGrant_RFC6749_4_4(t *testing.T) {
	w := newWorld(t)
	status, answer := w.post("token", service, "grant_type", "client_credentials")
	if status != http.StatusOK || answer["refresh_token"] != nil || answer["session_state"] != nil || answer["refresh_expires_in"] != 0.0 {
		t.Fatalf("%d %v", status, answer)
	}
	access := claims(t, text(answer, "access_token"))
	if access["preferred_username"] != "service-account-service" || access["sid"] != nil || access["azp"] != "service" || access["client_id"] != "service" {
		t.Errorf("%v", access)
	}
	if _, got := w.post("token/introspect", service, "token", text(answer, "access_token")); got["active"] != true || got["username"] != "service-account-service" {
		t.Errorf("%v", got)
	}
	if status, got := w.post("token", cli, "grant_type", "client_credentials"); status != 401 || got["error"] != "unauthorized_client" {
		t.Errorf("a public client: %d %v", status, got)
	}
	if status, got := w.post("token", web, "grant_type", "client_credentials"); status != 401 || got["error"] != "unauthorized_client" {
		t.Errorf("without a service account: %d %v", status, got)
	}
}

func TestTokenEndpointRefusals(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		client [2]string
		form   []string
		status int
		code   string
	}{
		{"no grant_type", web, nil, 400, "invalid_request"},
		{"unknown grant_type", web, []string{"grant_type", "magic"}, 400, "unsupported_grant_type"},
		{"no client", nobody, []string{"grant_type", "client_credentials"}, 401, "invalid_client"},
		{"no secret", [2]string{"service", ""}, []string{"grant_type", "client_credentials"}, 401, "unauthorized_client"},
		{"disabled client", [2]string{"off", "off-secret"}, []string{"grant_type", "client_credentials"}, 401, "invalid_client"},
		{"bearer-only client", [2]string{"bearer", "bearer-secret"}, []string{"grant_type", "client_credentials"}, 400, "invalid_client"},
		{"header and form differ", service, []string{"grant_type", "client_credentials", "client_id", "web"}, 401, "invalid_client"},
		{"an assertion type of nobody", nobody, []string{"grant_type", "client_credentials", "client_assertion", "x", "client_assertion_type", "y"}, 400, "invalid_client"},
	} {
		if status, answer := w.post("token", c.client, c.form...); status != c.status || answer["error"] != c.code {
			t.Errorf("%s: %d %v", c.name, status, answer)
		}
	}
	if status, _ := w.do(must(http.NewRequest(http.MethodGet, w.openid("token"), nil))); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
	body := must(http.NewRequest(http.MethodPost, w.openid("token"), strings.NewReader("a="+strings.Repeat("x", 2<<20))))
	body.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if status, _ := w.do(body); status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d", status)
	}
	twice := must(http.NewRequest(http.MethodPost, w.openid("token"), strings.NewReader("grant_type=password&grant_type=password")))
	twice.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if status, answer := w.do(twice); status != 400 || answer["error_description"] != "duplicated parameter" {
		t.Errorf("repeated: %d %v", status, answer)
	}
	nowhere := must(http.NewRequest(http.MethodPost, w.server.URL+"/auth/realms/nowhere/protocol/openid-connect/token", nil))
	if status, answer := w.do(nowhere); status != 404 || answer["error"] != "Realm does not exist" {
		t.Errorf("no such realm: %d %v", status, answer)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// RFC 7523, section 3.
func TestClientAssertions_RFC7523_3(t *testing.T) {
	w := newWorld(t)
	signer := func(secret string, alg jose.SignatureAlgorithm) jose.Signer {
		return must(jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: []byte(secret)}, nil))
	}
	const secret = "a-secret-of-at-least-thirty-two-bytes"
	good := func() jwt.Claims {
		now := w.clock.Now()
		return jwt.Claims{Issuer: "signed", Subject: "signed", Audience: jwt.Audience{w.realm()}, ID: uuid.NewString(),
			Expiry: jwt.NewNumericDate(now.Add(time.Minute)), IssuedAt: jwt.NewNumericDate(now)}
	}
	try := func(s jose.Signer, c jwt.Claims) (int, map[string]any) {
		return w.post("token", nobody, "grant_type", "client_credentials", "client_assertion_type", clientauth.AssertionType,
			"client_assertion", must(jwt.Signed(s).Claims(c).Serialize()))
	}
	once := good()
	for i, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		if status, answer := try(signer(secret, jose.HS256), once); status != want {
			t.Errorf("use %d: %d %v", i+1, status, answer)
		}
	}
	endpoint := good()
	endpoint.Audience = jwt.Audience{w.openid("token")}
	if status, answer := try(signer(secret, jose.HS256), endpoint); status != http.StatusOK {
		t.Errorf("for the endpoint: %d %v", status, answer)
	}
	for name, spoil := range map[string]func(*jwt.Claims){
		"expired":         func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(w.clock.Now().Add(-time.Minute)) },
		"without end":     func(c *jwt.Claims) { c.Expiry = nil },
		"for others":      func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://other"} },
		"for nobody":      func(c *jwt.Claims) { c.Audience = nil },
		"of others":       func(c *jwt.Claims) { c.Issuer = "other" },
		"from the future": func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(w.clock.Now().Add(time.Hour)) },
		"old":             func(c *jwt.Claims) { c.IssuedAt = jwt.NewNumericDate(w.clock.Now().Add(-time.Hour)) },
		"without id":      func(c *jwt.Claims) { c.ID = "" },
	} {
		c := good()
		spoil(&c)
		if status, answer := try(signer(secret, jose.HS256), c); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if status, _ := try(signer("another-secret-of-thirty-two-bytes!!", jose.HS256), good()); status != http.StatusUnauthorized {
		t.Errorf("another's secret: %d", status)
	}
	if status, _ := w.post("token", [2]string{"signed", secret}, "grant_type", "client_credentials"); status != http.StatusUnauthorized {
		t.Errorf("the secret itself: %d", status)
	}
}

func TestTheRealmDemandsTLSOfStrangers(t *testing.T) {
	w := newWorld(t)
	w.change(func(r *model.Realm) { r.SSLRequired = "all" })
	if status, answer := w.post("token", service, "grant_type", "client_credentials"); status != http.StatusForbidden || answer["error_description"] != "HTTPS required" {
		t.Errorf("%d %v", status, answer)
	}
	w.change(func(r *model.Realm) { r.SSLRequired, r.Enabled = "none", false })
	if status, answer := w.post("token", service, "grant_type", "client_credentials"); status != http.StatusForbidden {
		t.Errorf("a disabled realm: %d %v", status, answer)
	}
}
