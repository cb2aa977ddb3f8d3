package demo

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// What the demo's realm file says.
const (
	realmPath   = "/auth/realms/demo"
	oidcPath    = realmPath + "/protocol/openid-connect"
	appClient   = "demo-app"
	appRedirect = "http://localhost:8180/callback"
	service     = "demo-service"
	secret      = "demo-service-secret"
	user        = "alice"
	password    = "alice-in-demo"
)

// application is an application that a person logs in to: a browser on one
// side, the token endpoint on the other.
type application struct {
	public  string // the address a person uses, http://localhost:8080
	browser *formbrowser.Browser
	tokens  tokens
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	State   string `json:"session_state"`
}

func newApplication(public string) *application {
	return &application{public: public, browser: formbrowser.New(nil, func(u *url.URL) bool {
		return strings.HasPrefix(u.String(), appRedirect)
	})}
}

// authorize opens the authorization endpoint; with prompt "none" it never
// shows a page.
func (a *application) authorize(ctx context.Context, verifier, state, prompt string) (*formbrowser.Page, error) {
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {appClient}, "redirect_uri": {appRedirect}, "scope": {"openid profile email"},
		"state": {state}, "nonce": {rand.Text()},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	if prompt != "" {
		q.Set("prompt", prompt)
	}
	return a.browser.Open(ctx, a.public+oidcPath+"/auth?"+q.Encode())
}

// login goes through the login page and gives the code with its verifier.
func (a *application) login(ctx context.Context) (code, verifier string, err error) {
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	page, err := a.authorize(ctx, verifier, state, "")
	if err != nil {
		return "", "", err
	}
	form, err := page.Form("username")
	if err != nil {
		return "", "", err
	}
	form.Values.Set("username", user)
	form.Values.Set("password", password)
	if page, err = a.browser.Submit(ctx, form); err != nil {
		return "", "", err
	}
	code, err = codeOf(page, state)
	return code, verifier, err
}

// silent asks for a code without showing a page: it works as long as the
// session does.
func (a *application) silent(ctx context.Context) (code, verifier string, err error) {
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	page, err := a.authorize(ctx, verifier, state, "none")
	if err != nil {
		return "", "", err
	}
	code, err = codeOf(page, state)
	return code, verifier, err
}

func codeOf(page *formbrowser.Page, state string) (string, error) {
	to := page.Location()
	if to == nil || !strings.HasPrefix(to.String(), appRedirect) {
		return "", problem.Unauthorized.Errorf("the login did not return to the application: %s, status %d: %.300s", page.URL.Path, page.Status, page.Text())
	}
	q := to.Query()
	if q.Get("state") != state {
		return "", problem.Invalid.Errorf("the state of the login was not kept")
	}
	if q.Get("code") == "" {
		return "", problem.Unauthorized.Errorf("no code: %s %s", q.Get("error"), q.Get("error_description"))
	}
	return q.Get("code"), nil
}

// exchange turns a code into tokens at a server of the caller's choice.
func (a *application) exchange(ctx context.Context, server, code, verifier string) error {
	return a.post(ctx, server, oidcPath+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect},
		"client_id": {appClient}, "code_verifier": {verifier},
	}, &a.tokens)
}

func (a *application) refresh(ctx context.Context, server string) error {
	return a.post(ctx, server, oidcPath+"/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {a.tokens.Refresh}, "client_id": {appClient},
	}, &a.tokens)
}

func (a *application) userinfo(ctx context.Context, server string) (claims map[string]any, err error) {
	req, err := a.request(ctx, http.MethodGet, server, oidcPath+"/userinfo", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.tokens.Access)
	return claims, fetch(req, &claims)
}

func (a *application) introspect(ctx context.Context, server string) (claims map[string]any, err error) {
	req, err := a.request(ctx, http.MethodPost, server, oidcPath+"/token/introspect", url.Values{"token": {a.tokens.Access}})
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(service, secret)
	return claims, fetch(req, &claims)
}

func (a *application) post(ctx context.Context, server, path string, form url.Values, into any) error {
	req, err := a.request(ctx, http.MethodPost, server, path, form)
	if err != nil {
		return err
	}
	return fetch(req, into)
}

// request speaks to one server directly as the balancer would: with the public
// host, which names the issuer.
func (a *application) request(ctx context.Context, method, server, path string, form url.Values) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, server+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	public, err := url.Parse(a.public)
	if err != nil {
		return nil, err
	}
	req.Host = public.Host
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req, nil
}

func fetch(req *http.Request, into any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return problem.Unavailable.Errorf("%s %s answers %s: %.300s", req.Method, req.URL.Path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}
