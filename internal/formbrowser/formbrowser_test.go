package formbrowser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/formbrowser"
)

func site(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /start", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1", Path: "/"})
		http.Redirect(w, r, "/form", http.StatusFound)
	})
	mux.HandleFunc("GET /form", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<title>x</title><style>p{}</style><form action="/other"><input name=q></form>
			<form method=post action="/login?a=b"><input type=hidden name=code value=7><input name=user>
			<input type=checkbox name=keep value=on checked><input type=checkbox name=no value=on>
			<input type=submit name=go value=Go></form><a href="bye">Log <b>out</b></a>`)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		cookie, _ := r.Cookie("visit")
		if cookie == nil {
			http.Error(w, "no cookie", http.StatusBadRequest)
			return
		}
		q := url.Values{"form": {r.PostFormValue("user") + r.PostFormValue("code") + r.PostFormValue("keep") + r.PostFormValue("no")}}
		http.Redirect(w, r, "http://app.example/callback?"+q.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("GET /loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func TestABrowserFillsInAFormAndStopsAtTheApplication(t *testing.T) {
	s, ctx := site(t), context.Background()
	b := formbrowser.New(nil, func(u *url.URL) bool { return u.Host == "app.example" })
	page, err := b.Open(ctx, s.URL+"/start")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Cookie(s.URL, "visit"); got != "1" {
		t.Errorf("cookie %q, want 1", got)
	}
	if got := page.Link("Log out"); got == nil || got.Path != "/bye" {
		t.Errorf("link %v, want /bye", got)
	}
	if got := page.Text(); got != "x Log out" {
		t.Errorf("text %q", got)
	}
	form, err := page.Form("user")
	if err != nil {
		t.Fatal(err)
	}
	form.Values.Set("user", "alice")
	page, err = b.Submit(ctx, form)
	if err != nil {
		t.Fatal(err)
	}
	if got := page.Location(); got == nil || got.Query().Get("form") != "alice7on" {
		t.Errorf("location %v, want alice7on", got)
	}
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	s, ctx := site(t), context.Background()
	b := formbrowser.New(nil, nil)
	page, err := b.Open(ctx, s.URL+"/form")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := page.Form("password"); err == nil || !strings.Contains(err.Error(), `"password"`) {
		t.Errorf("Form = %v", err)
	}
	if page.Link("nothing") != nil || page.Location() != nil {
		t.Error("found a link or a redirect that is not there")
	}
	if _, err := b.Open(ctx, s.URL+"/loop"); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("an endless redirect ended with %v", err)
	}
}
