package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"sort"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

// page is what the application shows.
type page struct {
	Issuer, Client, Name, Problem string
	Claims                        []claim
}

type claim struct{ Name, Value string }

// describe fills in who the user is.
func (p *page) describe(claims map[string]any) {
	for _, name := range []string{"name", "preferred_username", "sub"} {
		if text, ok := claims[name].(string); ok && strings.TrimSpace(text) != "" && p.Name == "" {
			p.Name = text
		}
	}
	for name, value := range claims {
		text := fmt.Sprint(value)
		if seconds, ok := value.(float64); ok && (name == "exp" || name == "iat" || name == "auth_time") {
			text = time.Unix(int64(seconds), 0).UTC().Format("2006-01-02 15:04:05 UTC")
		}
		p.Claims = append(p.Claims, claim{name, text})
	}
	sort.Slice(p.Claims, func(i, j int) bool { return p.Claims[i].Name < p.Claims[j].Name })
}

func (p page) show(w http.ResponseWriter, status int) {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = t.Execute(w, p) // a browser that is gone cannot be told
}

func style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write([]byte(styleText)) // as above
}
