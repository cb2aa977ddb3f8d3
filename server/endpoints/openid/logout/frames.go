package logout

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// framesWait is how long, in seconds, the browser gets for telling clients
// before it goes on: a frame that never loads must not keep a person here.
const framesWait = 3

var framesPage = template.Must(template.New("frames").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Logging out</title>
<meta http-equiv="refresh" content="{{.Wait}};url={{.Next}}"></head>
<body><p>Logging out. <a href="{{.Next}}">Continue</a></p>
{{range .Frames}}<iframe src="{{.}}" hidden></iframe>
{{end}}</body></html>
`))

// frames shows a page that opens the addresses of clients that want to be told
// through the browser (OpenID Connect Front-Channel Logout), and then goes on
// to target, or to done.
func frames(w http.ResponseWriter, addresses []string, target, done string) {
	if target == "" {
		target = done
	}
	var origins []string
	for _, a := range addresses {
		if u, err := url.Parse(a); err == nil && !slices.Contains(origins, u.Scheme+"://"+u.Host) {
			origins = append(origins, u.Scheme+"://"+u.Host)
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; frame-src "+strings.Join(origins, " "))
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_ = framesPage.Execute(w, struct {
		Wait   int
		Next   template.URL //nolint:gosec // a registered redirect URI or our own
		Frames []string
	}{framesWait, template.URL(target), addresses}) //nolint:gosec // see Next
}

// withState adds "state" to an address.
func withState(address, state string) string {
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + "state=" + url.QueryEscape(state)
}
