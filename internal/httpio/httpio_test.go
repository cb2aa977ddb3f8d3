package httpio_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

func formPost(body io.Reader, kind string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", body)
	r.Header.Set("Content-Type", kind)
	return r
}

func TestABodyOverItsLimitIs413(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"announced": strings.NewReader("a=" + strings.Repeat("x", 100)),
		"streamed":  io.MultiReader(strings.NewReader("a="), strings.NewReader(strings.Repeat("x", 100))),
	} {
		t.Run(name, func(t *testing.T) {
			h := httpio.LimitBody(50, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := httpio.Form(r); err != nil {
					w.WriteHeader(problem.KindOf(err).HTTP())
				}
			}))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, formPost(body, "application/x-www-form-urlencoded"))
			if w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("status %d, want 413", w.Code)
			}
		})
	}
}

func TestOnlyAFormIsAForm(t *testing.T) {
	for _, kind := range []string{"", "application/json", "multipart/form-data; boundary=x", ";"} {
		if _, err := httpio.Form(formPost(strings.NewReader("a=b"), kind)); !problem.Is(err, problem.Invalid) {
			t.Errorf("Content-Type %q: %v", kind, err)
		}
	}
	v, err := httpio.Form(formPost(strings.NewReader("a=b"), "application/x-www-form-urlencoded; charset=UTF-8"))
	if err != nil || v.Get("a") != "b" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestRequestParametersMustNotRepeat_RFC6749_3_1(t *testing.T) {
	v := url.Values{"scope": {"a", "b"}, "audience": {"x", "y"}, "state": {"1"}}
	if got := httpio.Repeated(v, "audience"); got != "scope" {
		t.Errorf("Repeated = %q", got)
	}
	if got := httpio.Repeated(v, "audience", "scope"); got != "" {
		t.Errorf("Repeated = %q", got)
	}
}

func TestOnlyAllowedOriginsReadTheAnswer(t *testing.T) {
	for _, c := range []struct {
		origin  string
		origins []string
		allowed bool
	}{
		{"https://app", []string{"https://app"}, true},
		{"https://app.evil", []string{"https://app"}, false},
		{"null", []string{"https://app"}, false},
		{"https://any", []string{"*"}, true},
		{"https://any", nil, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Origin", c.origin)
		w := httptest.NewRecorder()
		httpio.CORS{Methods: "GET"}.Allow(w, r, c.origins)
		if got := w.Header().Get("Access-Control-Allow-Origin") == c.origin; got != c.allowed {
			t.Errorf("%s with %v: allowed %v", c.origin, c.origins, got)
		}
	}
}
