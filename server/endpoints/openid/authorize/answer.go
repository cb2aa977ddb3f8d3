package authorize

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens/oauth"
)

// answer is an authorization response on its way to the redirect URI.
type answer struct {
	target string
	mode   string
	names  []string
	values url.Values
}

// newAnswer begins a response with what every one has: state, and the issuer
// that tells clients of several servers whose answer it is (RFC 9207).
func newAnswer(v oauth.Visit, client *model.Client, q *request) *answer {
	a := &answer{target: q.target, mode: q.responseMode, values: url.Values{}}
	if q.state != "" {
		a.set("state", q.state)
	}
	if client.Attribute("exclude.issuer.from.auth.response") != "true" {
		a.set("iss", v.Site.Realm(v.Realm.Name))
	}
	return a
}

// answerOf begins the response to the request that a login keeps.
func answerOf(l *sessions.Login) *answer {
	return newAnswer(oauth.Visit{Site: l.Site, Realm: l.Realm}, l.Client, requestOf(l.Tab))
}

func (a *answer) set(name, value string) {
	a.names = append(a.names, name)
	a.values.Set(name, value)
}

func (a *answer) fail(err *oauth.Error) *answer {
	a.set("error", err.Code)
	if err.Description != "" {
		a.set("error_description", err.Description)
	}
	return a
}

// send answers the browser in the response mode of the request: query by
// default, as the only response type is code.
func (a *answer) send(w http.ResponseWriter, r *http.Request) {
	httpio.NoStore(w.Header())
	w.Header().Set("Referrer-Policy", "no-referrer") // the code is in the address
	switch a.mode {
	case "form_post":
		a.post(w)
		return
	case "fragment":
		w.Header().Set("Location", a.target+"#"+a.encode())
	default:
		separator := "?"
		if strings.Contains(a.target, "?") {
			separator = "&"
		}
		w.Header().Set("Location", a.target+separator+a.encode())
	}
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // RFC 9700, section 4.12: never repeat a form of credentials
	}
	w.WriteHeader(status)
}

func (a *answer) encode() string {
	var b strings.Builder
	for i, name := range a.names {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + url.QueryEscape(a.values.Get(name)))
	}
	return b.String()
}

// submit is the only script of the page; its hash is all that the page's policy
// lets run.
const submit = `document.forms[0].submit();`

var formPost = template.Must(template.New("form_post").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Continue</title></head>
<body><form method="post" action="{{.Target}}">{{range .Fields}}<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">{{end}}
<noscript><p>Scripts are switched off in your browser.</p><button type="submit">Continue</button></noscript></form>
<script>` + submit + `</script></body></html>
`))

// post answers with a form that sends itself (OAuth 2.0 Form Post Response
// Mode).
func (a *answer) post(w http.ResponseWriter) {
	hash := sha256.Sum256([]byte(submit))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'; script-src 'sha256-"+base64.StdEncoding.EncodeToString(hash[:])+"'")
	h.Set("X-Frame-Options", "SAMEORIGIN")
	h.Set("X-Content-Type-Options", "nosniff")
	fields := make([][2]string, len(a.names))
	for i, name := range a.names {
		fields[i] = [2]string{name, a.values.Get(name)}
	}
	target := template.URL(a.target) //nolint:gosec // a registered redirect URI; custom schemes are allowed
	_ = formPost.Execute(w, struct {
		Target template.URL
		Fields [][2]string
	}{target, fields}) // a browser that is gone cannot be told
}
