package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// fake is a provider that logs everybody in, with claims a test may spoil.
type fake struct {
	*httptest.Server
	key       *rsa.PrivateKey
	spoil     func(header, claims map[string]any)
	challenge string
	nonce     string
}

func newFake(t *testing.T) *fake {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{key: key, spoil: func(_, _ map[string]any) {}}
	mux := http.NewServeMux()
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, metadata{f.URL, f.URL + "/auth", f.URL + "/token", f.URL + "/logout", f.URL + "/certs"})
	})
	mux.HandleFunc("/auth", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		f.challenge, f.nonce = q.Get("code_challenge"), q.Get("nonce")
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"c"}, "state": {q.Get("state")}, "iss": {f.URL}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("/token", f.token)
	mux.HandleFunc("/certs", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"keys": []any{map[string]string{"kid": "k", "alg": "RS256", "use": "sig", "kty": "RSA",
			"n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes())}}})
	})
	mux.HandleFunc("/logout", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("post_logout_redirect_uri"), http.StatusFound)
	})
	return f
}

func (f *fake) token(w http.ResponseWriter, r *http.Request) {
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if text(sum[:]) != f.challenge {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]string{"error": "invalid_grant"})
		return
	}
	header := map[string]any{"alg": "RS256", "kid": "k"}
	claims := map[string]any{"iss": f.URL, "aud": "me", "sub": "1", "name": "Alice <b>", "nonce": f.nonce, "exp": time.Now().Add(time.Hour).Unix()}
	f.spoil(header, claims)
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	message := text(h) + "." + text(c)
	digest := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(nil, f.key, crypto.SHA256, digest[:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, map[string]string{"id_token": message + "." + text(signature)})
}

func answer(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v)
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// visit logs in to an application of the fake's and returns the last page.
func visit(t *testing.T, f *fake) (browser *http.Client, address string, page string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Start()
	t.Cleanup(server.Close)
	server.Config.Handler = newApp(&provider{issuer: f.URL, client: "me", http: http.DefaultClient}, server.URL).routes()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser = &http.Client{Jar: jar}
	return browser, server.URL, post(t, browser, server.URL+"/login")
}

func post(t *testing.T, browser *http.Client, address string) string {
	t.Helper()
	resp, err := browser.Post(address, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, _ = b.ReadFrom(resp.Body)
	return b.String()
}

func TestAUserLogsInAndOut(t *testing.T) {
	browser, address, page := visit(t, newFake(t))
	if !strings.Contains(page, "Hello, Alice &lt;b&gt;") {
		t.Error(page)
	}
	if page := post(t, browser, address+"/logout"); !strings.Contains(page, "Log in") {
		t.Error(page)
	}
}

func TestAnIDTokenThatIsNotRightIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(header, claims map[string]any){
		"another issuer":   func(_, c map[string]any) { c["iss"] = "https://evil.example" },
		"another audience": func(_, c map[string]any) { c["aud"] = []string{"other"} },
		"another party":    func(_, c map[string]any) { c["aud"] = []string{"me", "other"}; c["azp"] = "other" },
		"another login":    func(_, c map[string]any) { c["nonce"] = "x" },
		"expired":          func(_, c map[string]any) { c["exp"] = 1 },
		"unknown key":      func(h, _ map[string]any) { h["kid"] = "x" },
		"no algorithm":     func(h, _ map[string]any) { h["alg"] = "none" },
		"another one":      func(h, _ map[string]any) { h["alg"] = "HS256" },
	} {
		f := newFake(t)
		f.spoil = spoil
		if _, _, page := visit(t, f); !strings.Contains(page, "did not work") {
			t.Errorf("%s: %s", name, page)
		}
	}
}

func TestACallbackThatNobodyAskedForIsRefused(t *testing.T) {
	f := newFake(t)
	browser, address, _ := visit(t, f)
	resp, err := browser.Get(address + "/callback?code=c&state=guessed")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	server := httptest.NewServer(nil)
	defer server.Close()
	listen := strings.TrimPrefix(server.URL, "http://")
	if err := run(context.Background(), []string{"--listen", listen}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), listen) {
		t.Error(err)
	}
}
