package main

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"
)

const cookieName = "demo_app_session"

// app is the application: who is logged in is kept in memory.
type app struct {
	provider *provider
	public   string

	mu       sync.Mutex
	sessions map[string]*session // by the value of the cookie
}

// session is one browser. A login under way has state, nonce and verifier; a
// login that is complete has claims.
type session struct {
	state, nonce, verifier string
	idToken                string
	claims                 map[string]any
	expires                time.Time
}

// maxSessions bounds the memory of this example.
const maxSessions = 10000

func newApp(p *provider, public string) *app {
	return &app{provider: p, public: strings.TrimRight(public, "/"), sessions: map[string]*session{}}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /logout", a.logout)
	mux.HandleFunc("GET /style.css", style)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	view := page{Issuer: a.provider.issuer, Client: a.provider.client}
	if s := a.find(r); s != nil && s.claims != nil {
		view.describe(s.claims)
	}
	view.show(w, http.StatusOK)
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	s := &session{state: rand.Text(), nonce: rand.Text(), verifier: rand.Text() + rand.Text()}
	to, err := a.provider.authorize(r.Context(), a.public+"/callback", s)
	if err != nil {
		failed(w, err)
		return
	}
	a.keep(w, r, s)
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	s, q := a.find(r), r.URL.Query()
	switch {
	case s == nil || s.state == "" || q.Get("state") != s.state:
		page{Problem: "This login was not begun here, or it was completed already."}.show(w, http.StatusBadRequest)
		return
	case q.Get("iss") != "" && q.Get("iss") != a.provider.issuer: // RFC 9207
		page{Problem: "The answer is of another provider."}.show(w, http.StatusBadRequest)
		return
	case q.Get("error") != "":
		page{Problem: "The provider says: " + q.Get("error") + " " + q.Get("error_description")}.show(w, http.StatusForbidden)
		return
	}
	idToken, claims, err := a.provider.exchange(r.Context(), a.public+"/callback", q.Get("code"), s)
	if err != nil {
		failed(w, err)
		return
	}
	a.drop(r) // a session from before the login must not be one after it
	a.keep(w, r, &session{idToken: idToken, claims: claims})
	http.Redirect(w, r, a.public+"/", http.StatusSeeOther)
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	s := a.find(r)
	a.drop(r)
	if s == nil || s.idToken == "" {
		http.Redirect(w, r, a.public+"/", http.StatusSeeOther)
		return
	}
	to, err := a.provider.endSession(r.Context(), a.public+"/", s.idToken)
	if err != nil {
		failed(w, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (a *app) find(r *http.Request) *session {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.sessions[c.Value]; s != nil && time.Now().Before(s.expires) {
		return s
	}
	return nil
}

func (a *app) keep(w http.ResponseWriter, r *http.Request, s *session) {
	s.expires = time.Now().Add(8 * time.Hour)
	id := rand.Text()
	a.mu.Lock()
	if len(a.sessions) >= maxSessions {
		clear(a.sessions)
	}
	a.sessions[id] = s
	a.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
}

func (a *app) drop(r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		a.mu.Lock()
		delete(a.sessions, c.Value)
		a.mu.Unlock()
	}
}

func failed(w http.ResponseWriter, err error) {
	page{Problem: err.Error()}.show(w, http.StatusBadGateway)
}
