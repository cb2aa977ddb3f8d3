package openid_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever strangers send, it is their error and never ours, and no answer
// sends a browser to a place that is not registered.
func TestNoRequestIsOurError(t *testing.T) {
	w := newWorld(t)
	answer := w.tokens(w.browser())
	values := rapid.OneOf(
		rapid.SampledFrom([]string{"", "web", "spa", "cli", "service", "openid", "code", "none", "login", "S256", "plain", callback, bye, "true", "-1", "form_post", "fragment",
			"authorization_code", "refresh_token", "password", "client_credentials", "alice", "openid offline_access", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			text(answer, "access_token"), text(answer, "id_token"), text(answer, "refresh_token"), "e30.e30.e30", "a.b.c", "x.y", strings.Repeat("a", 43), "\x00", "\r\nX: y", "%zz", "ünïcode"}),
		rapid.String(),
	)
	names := rapid.SampledFrom([]string{"client_id", "client_secret", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age", "id_token_hint",
		"login_hint", "ui_locales", "code_challenge", "code_challenge_method", "code", "code_verifier", "grant_type", "refresh_token", "username", "token", "token_type_hint",
		"client_assertion", "client_assertion_type", "post_logout_redirect_uri", "session_code", "confirmLogout", "access_token", "origin"})
	good := map[string]url.Values{
		"auth":             {"client_id": {"web"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}},
		"token":            {"client_id": {"web"}, "client_secret": {"web-secret"}, "grant_type": {"refresh_token"}, "refresh_token": {text(answer, "refresh_token")}},
		"token/introspect": {"client_id": {"web"}, "client_secret": {"web-secret"}, "token": {text(answer, "access_token")}},
		"revoke":           {"client_id": {"web"}, "client_secret": {"web-secret"}},
		"userinfo":         {"access_token": {text(answer, "access_token")}},
		"logout":           {"id_token_hint": {text(answer, "id_token")}},
	}
	rapid.Check(t, func(t *rapid.T) {
		v := url.Values{}
		endpoint := rapid.SampledFrom([]string{"auth", "token", "token/introspect", "userinfo", "revoke", "logout", "certs", "login-status-iframe.html/init"}).Draw(t, "endpoint")
		if rapid.Bool().Draw(t, "begins well") {
			v = maps.Clone(good[endpoint])
		}
		if v == nil {
			v = url.Values{}
		}
		for range rapid.IntRange(0, 8).Draw(t, "parameters") {
			name, value := names.Draw(t, "name"), values.Draw(t, "value")
			if rapid.Bool().Draw(t, "instead") {
				v.Del(name)
			}
			v[name] = append(v[name][:len(v[name]):len(v[name])], value)
		}
		method := rapid.SampledFrom([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodOptions, http.MethodHead}).Draw(t, "method")
		r := httptest.NewRequest(method, w.openid(endpoint)+"?"+v.Encode(), strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = "127.0.0.1:4711"
		if rapid.Bool().Draw(t, "authenticated") {
			r.SetBasicAuth(values.Draw(t, "user"), values.Draw(t, "password"))
		}
		if rapid.Bool().Draw(t, "with a cookie") {
			r.Header.Set("Cookie", "AUTH_SESSION_ID="+url.QueryEscape(values.Draw(t, "session"))+"; KEYCLOAK_IDENTITY="+url.QueryEscape(values.Draw(t, "identity")))
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code >= http.StatusInternalServerError {
			t.Fatalf("%s %s %v: %d %s", method, endpoint, v, rec.Code, rec.Body)
		}
		if to := rec.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "http://app.example/") && !strings.HasPrefix(to, "http://spa.example/") && !strings.HasPrefix(to, w.server.URL) {
			t.Fatalf("%s %s %v: redirects to %q", method, endpoint, v, to)
		}
	})
}
