package openid_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func (w *world) userinfo(method, token, body string) (int, map[string]any, http.Header) {
	w.t.Helper()
	req := must(http.NewRequest(method, w.openid("userinfo"), strings.NewReader(body)))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Origin", "http://app.example")
	resp := must(http.DefaultClient.Do(req))
	defer resp.Body.Close()
	raw := must(io.ReadAll(resp.Body))
	answer := map[string]any{"body": string(raw)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		answer = decodeJSON(w.t, raw)
	}
	return resp.StatusCode, answer, resp.Header
}

// OpenID Connect Core, section 5.3; RFC 6750, section 3.
func TestUserInfo(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser(), "scope", "openid address")
	token := text(answer, "access_token")
	for name, ask := range map[string]func() (int, map[string]any, http.Header){
		"GET":               func() (int, map[string]any, http.Header) { return w.userinfo("GET", token, "") },
		"POST, header":      func() (int, map[string]any, http.Header) { return w.userinfo("POST", token, "") },
		"POST, in the form": func() (int, map[string]any, http.Header) { return w.userinfo("POST", "", "access_token="+token) },
	} {
		status, got, header := ask()
		address, _ := got["address"].(map[string]any)
		if status != http.StatusOK || got["sub"] != claims(t, token)["sub"] || got["email"] != "alice@example.org" || address["street_address"] != "Main St. 1" || address["locality"] != "Berlin" {
			t.Errorf("%s: %d %v", name, status, got)
		}
		if header.Get("Cache-Control") != "no-store" || header.Get("Access-Control-Allow-Origin") != "http://app.example" {
			t.Errorf("%s: %v", name, header)
		}
	}
	for name, c := range map[string]struct {
		token, body, challenge string
		status                 int
	}{
		"no token":        {"", "", "Bearer realm", 401},
		"nonsense":        {"x.y.z", "", "invalid_token", 401},
		"a refresh token": {text(answer, "refresh_token"), "", "invalid_token", 401},
		"an ID token":     {text(answer, "id_token"), "", "invalid_token", 401},
		"two tokens":      {token, "access_token=" + token, "invalid_request", 400},
		"cut short":       {token[:len(token)-4], "", "invalid_token", 401},
	} {
		status, _, header := w.userinfo("POST", c.token, c.body)
		if status != c.status || !strings.Contains(header.Get("WWW-Authenticate"), c.challenge) {
			t.Errorf("%s: %d %v", name, status, header.Get("WWW-Authenticate"))
		}
	}
	_, plain := w.post("token", service, "grant_type", "client_credentials")
	if status, _, _ := w.userinfo("GET", text(plain, "access_token"), ""); status != http.StatusForbidden {
		t.Errorf("without the openid scope: %d", status)
	}
	w.changeClient("web", func(c *model.Client) { c.Attributes["user.info.response.signature.alg"] = "RS256" })
	status, signed, header := w.userinfo("GET", token, "")
	if status != http.StatusOK || header.Get("Content-Type") != "application/jwt" || claims(t, text(signed, "body"))["aud"] != "web" {
		t.Errorf("signed: %d %v", status, signed)
	}
	w.clock.advance(6 * time.Minute)
	if status, _, _ := w.userinfo("GET", token, ""); status != http.StatusUnauthorized {
		t.Errorf("expired: %d", status)
	}
}

// RFC 7662, section 2.
func TestIntrospection_RFC7662_2(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser())
	api := [2]string{"api", "api-secret"}
	_, got := w.post("token/introspect", api, "token", text(answer, "access_token"))
	if got["active"] != true || got["username"] != "alice" || got["client_id"] != "web" || got["token_type"] != "Bearer" || got["iss"] != w.realm() {
		t.Errorf("%v", got)
	}
	if _, got := w.post("token/introspect", web, "token", text(answer, "refresh_token"), "token_type_hint", "refresh_token"); got["active"] != true || got["typ"] != "Refresh" {
		t.Errorf("refresh token: %v", got)
	}
	for name, token := range map[string]string{"ID token": text(answer, "id_token"), "nonsense": "x"} {
		if status, got := w.post("token/introspect", api, "token", token); status != 200 || len(got) != 1 || got["active"] != false {
			t.Errorf("%s: %v", name, got)
		}
	}
	for name, c := range map[string][2]string{"public client": cli, "wrong secret": {"api", "x"}, "nobody": nobody} {
		if status, got := w.post("token/introspect", c, "token", text(answer, "access_token")); status/100 != 4 || got["active"] != nil {
			t.Errorf("%s: %d %v", name, status, got)
		}
	}
	if status, _ := w.post("token/introspect", api); status != 400 {
		t.Errorf("no token: %d", status)
	}
}

// RFC 7009, section 2.
func TestRevocation_RFC7009_2(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser())
	if status, _ := w.post("revoke", service, "token", text(answer, "access_token")); status != 400 {
		t.Errorf("another client's token: %d", status)
	}
	if status, _ := w.post("revoke", web, "token", "nonsense"); status != 200 {
		t.Errorf("an invalid token: %d", status)
	}
	if status, _ := w.post("revoke", web, "token", text(answer, "id_token")); status != 400 {
		t.Errorf("an ID token: %d", status)
	}
	if status, got := w.post("revoke", web, "token", text(answer, "access_token")); status != 200 {
		t.Errorf("%d %v", status, got)
	}
	if _, got := w.post("token/introspect", web, "token", text(answer, "access_token")); got["active"] != false {
		t.Error("a revoked access token is active")
	}
	if status, _ := w.refresh(text(answer, "refresh_token")); status != 200 {
		t.Error("revoking an access token ended the session")
	}
	_, again := w.refresh(text(answer, "refresh_token"))
	if status, _ := w.post("revoke", web, "token", text(answer, "refresh_token")); status != 200 {
		t.Errorf("%d", status)
	}
	if _, got := w.post("token/introspect", web, "token", text(again, "access_token")); got["active"] != false {
		t.Error("an access token outlives the revoked refresh token")
	}
}

const bye = "http://app.example/bye"

func logoutAt(w *world, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return w.openid("logout") + "?" + q.Encode()
}

// The modules of oidcc-rp-initiated-logout.
func TestLogoutByTheRelyingParty(t *testing.T) {
	ctx := context.Background()
	unsigned := "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwidHlwIjoiSUQifQ."
	for _, c := range []struct {
		name     string
		request  func(idToken string) []string
		to       string // where the browser goes
		status   int    // of the page, when it stays
		loggedIn bool   // afterwards
	}{
		{"hint, redirect and state", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", bye, "state", "x y"}
		}, bye + "?state=x+y", 0, false},
		{"no state", func(id string) []string { return []string{"id_token_hint", id, "post_logout_redirect_uri", bye} }, bye, 0, false},
		{"only a hint", func(id string) []string { return []string{"id_token_hint", id} }, "", 200, false},
		{"unregistered redirect", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", "http://evil.example"}
		}, "", 400, true},
		{"query added", func(id string) []string {
			return []string{"id_token_hint", id, "post_logout_redirect_uri", bye + "?foo=bar"}
		}, "", 400, true},
		{"hint of alg none", func(string) []string { return []string{"id_token_hint", unsigned, "post_logout_redirect_uri", bye} }, "", 400, true},
		{"tampered hint", func(id string) []string {
			return []string{"id_token_hint", tampered(id), "post_logout_redirect_uri", bye}
		}, "", 400, true},
		{"redirect without hint", func(string) []string { return []string{"post_logout_redirect_uri", bye} }, "", 400, true},
		{"redirect by client_id asks", func(string) []string { return []string{"client_id", "web", "post_logout_redirect_uri", bye} }, "", 200, true},
		{"no parameters asks", func(string) []string { return nil }, "", 200, true},
		{"only state asks", func(string) []string { return []string{"state", "s"} }, "", 200, true},
		{"client_id of another", func(id string) []string { return []string{"id_token_hint", id, "client_id", "spa"} }, "", 400, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser()
			answer := w.tokens(b)
			page, err := b.Open(ctx, logoutAt(w, c.request(text(answer, "id_token"))...))
			if err != nil {
				t.Fatal(err)
			}
			if to := page.Location(); c.to != "" && (to == nil || to.String() != c.to) {
				t.Errorf("to %v, want %s: %s", to, c.to, page.Text())
			} else if c.to == "" && (to != nil || page.Status != c.status) {
				t.Errorf("to %v, %d, want %d: %s", to, page.Status, c.status, page.Text())
			}
			back := w.login(b, "prompt", "none")
			if in := back.Get("code") != ""; in != c.loggedIn {
				t.Errorf("logged in: %v (%v)", in, back)
			}
		})
	}
}

// tampered is a token with another character in its signature than it has.
func tampered(token string) string {
	at, other := len(token)-10, "A"
	if token[at:at+1] == other {
		other = "B"
	}
	return token[:at] + other + token[at+1:]
}

func TestALogoutWithoutProofIsConfirmedByThePerson(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.tokens(b)
	page := must(b.Open(context.Background(), logoutAt(w, "client_id", "web", "post_logout_redirect_uri", bye, "state", "1")))
	form, err := page.Form("session_code")
	if err != nil {
		t.Fatalf("%s: %v", page.Text(), err)
	}
	forged := *form
	forged.Values = url.Values{"confirmLogout": {"true"}, "session_code": {"e30.e30.e30"}}
	if _, err := b.Submit(context.Background(), &forged); err != nil {
		t.Fatal(err)
	}
	if back := w.login(b, "prompt", "none"); back.Get("code") == "" {
		t.Fatal("another site's form logged the person out")
	}
	form.Values.Set("confirmLogout", "true")
	page = must(b.Submit(context.Background(), form))
	if to := page.Location(); to == nil || to.String() != bye+"?state=1" {
		t.Errorf("to %v: %s", to, page.Text())
	}
	if back := w.login(b, "prompt", "none"); back.Get("error") != "login_required" {
		t.Errorf("%v", back)
	}
}

// OpenID Connect Back-Channel Logout, section 2.4; oidcc-backchannel-rp-initiated-logout.
func TestLogoutTellsClientsBehindTheBrowsersBack(t *testing.T) {
	w := newWorld(t)
	told := make(chan string, 1)
	client := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.FormValue("logout_token") }))
	defer client.Close()
	w.changeClient("web", func(c *model.Client) { c.Attributes["backchannel.logout.url"] = client.URL + "/logout" })
	b := w.browser()
	answer := w.tokens(b)
	must(b.Open(context.Background(), logoutAt(w, "id_token_hint", text(answer, "id_token"))))
	select {
	case token := <-told:
		c := claims(t, token)
		events, _ := c["events"].(map[string]any)
		if c["sid"] != answer["session_state"] || c["aud"] != "web" || c["nonce"] != nil || c["sub"] != claims(t, text(answer, "id_token"))["sub"] ||
			events["http://schemas.openid.net/event/backchannel-logout"] == nil {
			t.Errorf("%v", c)
		}
		if typ := decodeSegment(t, strings.Split(token, ".")[0])["typ"]; typ != "logout+jwt" {
			t.Errorf("typ %v", typ)
		}
	default:
		t.Error("the client was not told")
	}
	if status, _ := w.refresh(text(answer, "refresh_token")); status != 400 {
		t.Error("a refresh token outlives its session")
	}
}

func TestLogoutTellsClientsThroughTheBrowser(t *testing.T) {
	w := newWorld(t)
	w.changeClient("web", func(c *model.Client) {
		c.FrontchannelLogout = true
		c.Attributes["frontchannel.logout.url"] = "http://app.example/front?x=1"
	})
	b := w.browser()
	answer := w.tokens(b)
	page := must(b.Open(context.Background(), logoutAt(w, "id_token_hint", text(answer, "id_token"), "post_logout_redirect_uri", bye)))
	body := string(page.Body)
	if !strings.Contains(body, "http://app.example/front?x=1&amp;") || !strings.Contains(body, "sid="+text(answer, "session_state")) || !strings.Contains(body, "url="+bye) {
		t.Errorf("%s", body)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "frame-src http://app.example") {
		t.Errorf("%s", policy)
	}
}

func TestLogoutByRefreshTokenAsAdaptersDo(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	answer := w.tokens(b)
	if status, _ := w.post("logout", service, "refresh_token", text(answer, "refresh_token")); status != 400 {
		t.Errorf("another client: %d", status)
	}
	if status, got := w.post("logout", web, "refresh_token", text(answer, "refresh_token")); status != http.StatusNoContent {
		t.Errorf("%d %v", status, got)
	}
	if back := w.login(b, "prompt", "none"); back.Get("error") != "login_required" {
		t.Errorf("%v", back)
	}
}

func TestDiscoveryNamesWhatIsThere(t *testing.T) {
	w := newWorld(t)
	status, doc := w.do(must(http.NewRequest(http.MethodGet, w.realm()+"/.well-known/openid-configuration", nil)))
	if status != 200 || doc["issuer"] != w.realm() {
		t.Fatalf("%d %v", status, doc)
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint", "introspection_endpoint", "revocation_endpoint", "check_session_iframe"} {
		address, _ := doc[name].(string)
		req := must(http.NewRequest(http.MethodGet, address, nil))
		if name == "introspection_endpoint" {
			req.Method = http.MethodPost
		}
		if resp := must(http.DefaultTransport.RoundTrip(req)); resp.StatusCode == http.StatusNotFound {
			t.Errorf("%s: %s is not there", name, address)
		}
	}
	for _, name := range []string{"backchannel_logout_supported", "backchannel_logout_session_supported", "frontchannel_logout_supported", "authorization_response_iss_parameter_supported"} {
		if doc[name] != true {
			t.Errorf("%s: %v", name, doc[name])
		}
	}
	_, info := w.do(must(http.NewRequest(http.MethodGet, w.realm(), nil)))
	if info["realm"] != "test" || text(info, "public_key") == "" || info["token-service"] != w.realm()+"/protocol/openid-connect" {
		t.Errorf("%v", info)
	}
}

// oidcc-server-rotate-keys, and tokens of before the rotation stay good.
func TestKeysRotate(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser())
	before := decodeSegment(t, strings.Split(text(answer, "access_token"), ".")[0])["kid"]
	err := w.store.Update(context.Background(), func(tx storage.Tx) error {
		return tx.Components.Create(context.Background(), "test-realm", &model.Component{Name: "new", ProviderID: "rsa-generated",
			ProviderType: "org.keycloak.keys.KeyProvider", Config: map[string][]string{"priority": {"200"}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	status, again := w.refresh(text(answer, "refresh_token"))
	if status != 200 {
		t.Fatalf("%d %v", status, again)
	}
	after := decodeSegment(t, strings.Split(text(again, "access_token"), ".")[0])["kid"]
	if before == after {
		t.Error("the new key does not sign")
	}
	_, set := w.do(must(http.NewRequest(http.MethodGet, w.openid("certs"), nil)))
	if all := toText(set); !strings.Contains(all, before.(string)) || !strings.Contains(all, after.(string)) {
		t.Errorf("%s", all)
	}
	if _, got := w.post("token/introspect", web, "token", text(answer, "access_token")); got["active"] != true {
		t.Error("a token of before the rotation is worthless")
	}
}

func TestCookiesOfALogin(t *testing.T) {
	w := newWorld(t)
	resp := must(http.DefaultClient.Get(w.authorize()))
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		switch c.Name {
		case "AUTH_SESSION_ID":
			id, node, _ := strings.Cut(c.Value, ".")
			if len(id) < 32 || node != "node-1" || !c.HttpOnly || c.Path != "/auth/realms/test/" {
				t.Errorf("%v", c)
			}
		case "KC_RESTART":
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
				t.Errorf("%v", c)
			}
		}
	}
	b := w.browser()
	back := w.login(b)
	at := w.realm() + "/"
	if id := b.Cookie(at, "AUTH_SESSION_ID"); id != back.Get("session_state")+".node-1" {
		t.Errorf("AUTH_SESSION_ID %q, session %q", id, back.Get("session_state"))
	}
	if c := claims(t, b.Cookie(at, "KEYCLOAK_IDENTITY")); c["sid"] != back.Get("session_state") || c["typ"] != "Serialized-ID" {
		t.Errorf("%v", c)
	}
	if b.Cookie(at, "KEYCLOAK_SESSION") == "" || b.Cookie(at, "KC_RESTART") != "" {
		t.Error("KEYCLOAK_SESSION or KC_RESTART")
	}
}
