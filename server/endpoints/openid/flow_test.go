package openid_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"

	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
)

func decodeSegment(t testing.TB, segment string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// An independent implementation of the client side agrees with us.
func TestAnIndependentRelyingPartyLogsIn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	party, err := rp.NewRelyingPartyOIDC(ctx, w.realm(), web[0], web[1], callback, []string{"openid", "email", "profile"})
	if err != nil {
		t.Fatal(err)
	}
	const verifier = "0123456789012345678901234567890123456789012345678"
	address := rp.AuthURL("state-1", party, rp.WithCodeChallenge(oidc.NewSHACodeChallenge(verifier)))
	b := w.browser()
	page, err := b.Open(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	form, err := page.Form("password")
	if err != nil {
		t.Fatalf("%s: %v", page.Text(), err)
	}
	form.Values.Set("username", "alice@example.org")
	form.Values.Set("password", "alice-pw")
	if page, err = b.Submit(ctx, form); err != nil {
		t.Fatal(err)
	}
	back := page.Location()
	if back == nil || back.Query().Get("state") != "state-1" || back.Query().Get("iss") != w.realm() {
		t.Fatalf("%v: %s", back, page.Text())
	}
	got, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, back.Query().Get("code"), party, rp.WithCodeVerifier(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if got.IDTokenClaims.PreferredUsername != "alice" || got.IDTokenClaims.AuthTime == 0 {
		t.Errorf("%+v", got.IDTokenClaims)
	}
	info, err := rp.Userinfo[*oidc.UserInfo](ctx, got.AccessToken, "Bearer", got.IDTokenClaims.Subject, party)
	if err != nil || info.Email != "alice@example.org" || !bool(info.EmailVerified) || info.Name != "Alice Adams" {
		t.Errorf("%+v, %v", info, err)
	}
	again, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, got.RefreshToken, "", "")
	if err != nil || again.IDTokenClaims.Subject != got.IDTokenClaims.Subject {
		t.Errorf("refresh: %v", err)
	}
}

func TestAccessTokensHaveKeycloaksClaims(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser(), "scope", "openid phone address microprofile-jwt")
	access, id, refresh := claims(t, text(answer, "access_token")), claims(t, text(answer, "id_token")), claims(t, text(answer, "refresh_token"))
	for name, want := range map[string]any{
		"iss": w.realm(), "typ": "Bearer", "azp": "web", "acr": "1", "sid": answer["session_state"],
		"preferred_username": "alice", "given_name": "Alice", "family_name": "Adams", "email_verified": true, "phone_number": "+49 30 1",
	} {
		if access[name] != want {
			t.Errorf("access token: %s is %v, want %v", name, access[name], want)
		}
	}
	roles, _ := access["realm_access"].(map[string]any)
	if got := strings.Trim(strings.Join(strings.Fields(toText(roles["roles"])), " "), "[]"); !strings.Contains(got, "staff") || !strings.Contains(got, "reader") || !strings.Contains(got, "offline_access") {
		t.Errorf("realm roles of groups and composites: %s", got)
	}
	if api := toText(access["resource_access"]); !strings.Contains(api, "read") || !strings.Contains(api, "manage-account") {
		t.Errorf("resource_access: %s", api)
	}
	if aud := toText(access["aud"]); !strings.Contains(aud, "api") || !strings.Contains(aud, "account") {
		t.Errorf("aud: %s", aud)
	}
	for name, want := range map[string]any{"aud": "web", "typ": "ID", "nonce": "n1", "azp": "web", "sub": access["sub"], "auth_time": access["auth_time"]} {
		if id[name] != want {
			t.Errorf("ID token: %s is %v, want %v", name, id[name], want)
		}
	}
	if id["at_hash"] == nil || id["realm_access"] != nil {
		t.Errorf("ID token: %v", id)
	}
	if refresh["typ"] != "Refresh" || refresh["aud"] != w.realm() || refresh["preferred_username"] != nil {
		t.Errorf("refresh token: %v", refresh)
	}
	for name, want := range map[string]any{"token_type": "Bearer", "not-before-policy": 0.0, "expires_in": 300.0, "refresh_expires_in": 1800.0} {
		if answer[name] != want {
			t.Errorf("answer: %s is %v, want %v", name, answer[name], want)
		}
	}
	if got := strings.Fields(text(answer, "scope")); !slices.Contains(got, "openid") || !slices.Contains(got, "email") || slices.Contains(got, "roles") {
		t.Errorf("scope: %v", got)
	}
	header := decodeSegment(t, strings.Split(text(answer, "access_token"), ".")[0])
	if header["alg"] != "RS256" || header["typ"] != "JWT" || header["kid"] == "" {
		t.Errorf("header: %v", header)
	}
}

func toText(v any) string { b, _ := json.Marshal(v); return string(b) }

func TestAClientChoosesItsSignatureAlgorithms(t *testing.T) {
	w := newWorld(t)
	challenge := oidc.NewSHACodeChallenge(strings.Repeat("v", 43))
	back := w.login(w.browser(), "client_id", "spa", "redirect_uri", "http://spa.example/x", "code_challenge", challenge, "code_challenge_method", "S256")
	status, answer := w.post("token", spa, "grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", "http://spa.example/x", "code_verifier", strings.Repeat("v", 43))
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	for token, want := range map[string]string{"access_token": "ES256", "id_token": "EdDSA", "refresh_token": "HS512"} {
		if alg := decodeSegment(t, strings.Split(text(answer, token), ".")[0])["alg"]; alg != want {
			t.Errorf("%s: %v, want %s", token, alg, want)
		}
	}
	if got := claims(t, text(answer, "access_token")); got["resource_access"] != nil && strings.Contains(toText(got["resource_access"]), `"api"`) {
		t.Errorf("a client without full scope got the roles of another: %v", got)
	}
	if got := toText(claims(t, text(answer, "access_token"))["allowed-origins"]); got != `["http://spa.example"]` {
		t.Errorf("allowed-origins: %s", got)
	}
}

// RFC 6749, section 4.1.2: the code is used once, and using it again revokes
// what it gave.
func TestAuthorizationCodeIsUsedOnce_RFC6749_4_1_2(t *testing.T) {
	w := newWorld(t)
	back := w.login(w.browser())
	form := []string{"grant_type", "authorization_code", "code", back.Get("code"), "redirect_uri", callback}
	status, first := w.post("token", web, form...)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, first)
	}
	if status, answer := w.post("token", web, form...); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("replay: %d %v", status, answer)
	}
	if _, answer := w.post("token/introspect", web, "token", text(first, "access_token")); answer["active"] != false {
		t.Errorf("the access token of a replayed code: %v", answer)
	}
	if status, answer := w.post("token", web, "grant_type", "refresh_token", "refresh_token", text(first, "refresh_token")); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the refresh token of a replayed code: %d %v", status, answer)
	}
}

func TestAStrangersCodeRevokesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	answer := w.tokens(b)
	forged := "00000000-0000-4000-8000-000000000000." + strings.SplitN(w.login(b).Get("code"), ".", 2)[1]
	if status, got := w.post("token", web, "grant_type", "authorization_code", "code", forged, "redirect_uri", callback); status != http.StatusBadRequest {
		t.Errorf("%d %v", status, got)
	}
	if _, got := w.post("token/introspect", web, "token", text(answer, "access_token")); got["active"] != true {
		t.Errorf("a made-up code logged the user out: %v", got)
	}
}

func TestCodeExchangeRefusals_RFC6749_4_1_3_RFC7636_RFC9700(t *testing.T) {
	w := newWorld(t)
	verifier := strings.Repeat("a", 50)
	pkce := []string{"code_challenge", oidc.NewSHACodeChallenge(verifier), "code_challenge_method", "S256"}
	b := w.browser()
	for _, c := range []struct {
		name     string
		request  []string
		client   [2]string
		exchange []string
		reason   string
	}{
		{"another redirect_uri", nil, web, []string{"redirect_uri", "http://app.example/q?a=b"}, "invalid_grant"},
		{"no redirect_uri", nil, web, []string{"redirect_uri", ""}, "invalid_grant"},
		{"another client", nil, [2]string{"api", "api-secret"}, nil, "unauthorized_client"},
		{"PKCE without a verifier", pkce, web, nil, "invalid_grant"},
		{"PKCE with a wrong verifier", pkce, web, []string{"code_verifier", strings.Repeat("b", 50)}, "invalid_grant"},
		{"PKCE with the challenge as verifier", pkce, web, []string{"code_verifier", pkce[1]}, "invalid_grant"},
		{"PKCE with a short verifier", pkce, web, []string{"code_verifier", "a"}, "invalid_grant"},
		{"PKCE downgraded: a verifier, no challenge", nil, web, []string{"code_verifier", verifier}, "invalid_grant"},
		{"wrong secret", nil, [2]string{"web", "wrong"}, nil, "unauthorized_client"},
		{"unknown client", nil, [2]string{"who", "x"}, nil, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := w.login(b, c.request...).Get("code")
			form := append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback}, c.exchange...)
			status, answer := w.post("token", c.client, form...)
			if status/100 != 4 || answer["error"] != c.reason || answer["access_token"] != nil {
				t.Errorf("%d %v, want %s", status, answer, c.reason)
			}
		})
	}
	t.Run("expired", func(t *testing.T) {
		code := w.login(b).Get("code")
		w.clock.advance(61 * time.Second)
		if status, answer := w.post("token", web, "grant_type", "authorization_code", "code", code, "redirect_uri", callback); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
			t.Errorf("%d %v", status, answer)
		}
	})
}

// RFC 6749, section 4.1.2.1; conformance oidcc-ensure-registered-redirect-uri
// and its kin.
func TestAWrongRedirectURINeverRedirects(t *testing.T) {
	w := newWorld(t)
	for _, uri := range []string{
		"http://evil.example/callback", "http://app.example/callback/../evil", "http://app.example/callback#x", "http://app.example/callback?x=y",
		"http://app.example/q", "http://app.example/q?a=c", "http://app.example/callback/", "http://app.example:81/callback", "https://app.example/callback",
		"http://app.example@evil.example/callback", "//app.example/callback", "javascript:alert(1)", "http://app.example/callback\r\nX: y", " ", "x",
	} {
		page, err := w.browser().Open(context.Background(), w.authorize("redirect_uri", uri))
		if err != nil {
			t.Fatal(err)
		}
		if page.Location() != nil || page.Status != http.StatusBadRequest {
			t.Errorf("%q: status %d, to %v", uri, page.Status, page.Location())
		}
	}
	for _, pairs := range [][]string{{"redirect_uri", ""}, {"client_id", ""}, {"client_id", "who"}, {"client_id", "off"}, {"client_id", "bearer"}} {
		page, err := w.browser().Open(context.Background(), w.authorize(pairs...))
		if err != nil || page.Location() != nil || page.Status < 400 {
			t.Errorf("%v: %v, %d", pairs, err, page.Status)
		}
	}
}

func TestErrorsOfTheRequestAreToldByRedirect(t *testing.T) {
	w := newWorld(t)
	spaAt := []string{"client_id", "spa", "redirect_uri", "http://spa.example/x"}
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"response_type missing", []string{"response_type", ""}, "invalid_request"},
		{"response_type unknown", []string{"response_type", "what"}, "unsupported_response_type"},
		{"implicit flow", []string{"response_type", "id_token token"}, "unsupported_response_type"},
		{"response_mode", []string{"response_mode", "what"}, "invalid_request"},
		{"request object", []string{"request", "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"},
		{"request_uri", []string{"request_uri", "https://x"}, "request_uri_not_supported"},
		{"scope", []string{"scope", "openid nonsense"}, "invalid_scope"},
		{"prompt=none and login", []string{"prompt", "none login"}, "invalid_request"},
		{"prompt=none, nobody is logged in", []string{"prompt", "none"}, "login_required"},
		{"max_age", []string{"max_age", "soon"}, "invalid_request"},
		{"code_challenge_method", []string{"code_challenge", strings.Repeat("a", 43), "code_challenge_method", "S512"}, "invalid_request"},
		{"code_challenge too short", []string{"code_challenge", "a", "code_challenge_method", "S256"}, "invalid_request"},
		{"method without challenge", []string{"code_challenge_method", "S256"}, "invalid_request"},
		{"PKCE demanded, none", spaAt, "invalid_request"},
		{"PKCE demanded, plain", append([]string{"code_challenge", strings.Repeat("a", 43), "code_challenge_method", "plain"}, spaAt...), "invalid_request"},
		{"standard flow off", []string{"client_id", "cli", "redirect_uri", "http://x"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			page, err := w.browser().Open(context.Background(), w.authorize(c.pairs...))
			if err != nil {
				t.Fatal(err)
			}
			to := page.Location()
			if c.want == "" {
				if to != nil {
					t.Errorf("redirected to %v", to)
				}
				return
			}
			if to == nil || to.Query().Get("error") != c.want || to.Query().Get("state") != "s1" || to.Query().Get("iss") != w.realm() || to.Query().Has("code") {
				t.Errorf("%v: %d %s", to, page.Status, page.Text())
			}
		})
	}
}

// RFC 6749, section 3.1: unknown parameters are ignored; conformance modules of
// the basic profile.
func TestRequestsThatMustSucceed(t *testing.T) {
	w := newWorld(t)
	for _, pairs := range [][]string{
		{"extra", "foobar"}, {"display", "page"}, {"display", "popup"}, {"ui_locales", "se"}, {"claims_locales", "se"}, {"acr_values", "1 2"},
		{"login_hint", "buffy@example.org"}, {"nonce", ""}, {"redirect_uri", "http://app.example/q?a=b"}, {"scope", "email openid"}, {"prompt", "login"}, {"max_age", "10000"}, {"state", ""},
	} {
		if back := w.login(w.browser(), pairs...); back.Get("code") == "" {
			t.Errorf("%v: %v", pairs, back)
		}
	}
	page, err := w.browser().Submit(context.Background(), formOf(t, w.authorize()))
	if err != nil || page.Status != http.StatusOK {
		t.Errorf("a POST: %v, %d", err, page.Status)
	}
}

func TestSingleSignOnByPrompt(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	first := w.tokens(b)
	subject, since := claims(t, text(first, "id_token"))["sub"], claims(t, text(first, "id_token"))["auth_time"]
	w.clock.advance(10 * time.Second)
	silent := w.tokens(b, "prompt", "none", "id_token_hint", text(first, "id_token"))
	if id := claims(t, text(silent, "id_token")); id["sub"] != subject || id["auth_time"] != since || id["acr"] != "0" {
		t.Errorf("prompt=none: %v", id)
	}
	if silent["session_state"] != first["session_state"] {
		t.Error("another session")
	}
	for _, pairs := range [][]string{{"prompt", "login"}, {"max_age", "5"}} {
		again := w.tokens(b, pairs...)
		if id := claims(t, text(again, "id_token")); id["auth_time"].(float64) <= since.(float64) || id["sub"] != subject {
			t.Errorf("%v: %v, before %v", pairs, id["auth_time"], since)
		}
		w.clock.advance(10 * time.Second)
	}
	if back := w.login(b, "max_age", "10000"); back.Get("code") == "" {
		t.Errorf("max_age of a fresh session: %v", back)
	}
	if back := w.login(b, "prompt", "none", "id_token_hint", "e30.e30.e30"); back.Get("error") != "login_required" {
		t.Errorf("a foreign hint: %v", back)
	}
}

func TestResponseModes(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	w.login(b)
	page, err := b.Open(context.Background(), w.authorize("response_mode", "fragment"))
	if err != nil || page.Location() == nil || !strings.HasPrefix(page.Location().Fragment, "state=s1&") {
		t.Errorf("fragment: %v, %v", err, page.Location())
	}
	page, err = b.Open(context.Background(), w.authorize("response_mode", "form_post", "state", `"><script>`))
	if err != nil {
		t.Fatal(err)
	}
	form, err := page.Form("code")
	if err != nil || form.Action.String() != callback || form.Values.Get("state") != `"><script>` || form.Values.Get("iss") != w.realm() {
		t.Errorf("form_post: %v, %+v", err, form)
	}
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy: %s", policy)
	}
}

func formOf(t testing.TB, address string) *formbrowser.Form {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	f := &formbrowser.Form{Method: http.MethodPost, Values: u.Query()}
	u.RawQuery = ""
	f.Action = u
	return f
}

func decodeJSON(t testing.TB, data []byte) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return m
}
