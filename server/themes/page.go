package themes

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// The kinds of notice.
const (
	Info    = "info"
	Warning = "warning"
	Error   = "error"
)

// Notice is a sentence above a page's content: a key of the messages and its
// arguments.
type Notice struct {
	Kind string
	Key  string
	Args []string
}

// Page is what to show.
type Page struct {
	Kind   string // Login by default, Account or Welcome
	Name   string // of the template, such as "login"
	Status int    // 200 by default
	Root   string // the server's context path, "/auth" or ""
	Realm  *model.Realm
	Locale string // what the application and the user wish, the first first, parted by spaces
	Notice *Notice
	Data   any // what the template asks for as .Data
}

// view is what templates see.
type view struct {
	Lang    string
	Locales []Locale
	Styles  []string
	Notice  *shown
	Wide    bool
	Data    any

	page     Page
	look     *look
	resource string
	display  string
}

type shown struct{ Kind, Text string }

// T is a text in the page's language; a key without a text is shown as it is.
func (v *view) T(key string, args ...any) string {
	text, found := v.look.text(v.page.Realm, v.Lang, key)
	if !found {
		return key
	}
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = fmt.Sprint(a)
	}
	return format(text, texts)
}

// Resource is the address of a file of the theme.
func (v *view) Resource(name string) string { return v.resource + name }

// DisplayName is what the realm is called.
func (v *view) DisplayName() string { return v.display }

// DisplayNameHTML is the name with the realm's own emphasis: only bold, italic
// and line breaks of its HTML are kept.
func (v *view) DisplayNameHTML() template.HTML {
	r := v.page.Realm
	if r == nil || r.DisplayNameHTML == "" || v.display != r.DisplayName {
		return template.HTML(template.HTMLEscapeString(v.display)) //nolint:gosec // escaped
	}
	if safe := sanitise(r.DisplayNameHTML); strings.TrimSpace(plain(r.DisplayNameHTML)) != "" {
		return template.HTML(safe) //nolint:gosec // only known tags without attributes are left
	}
	return template.HTML(template.HTMLEscapeString(v.display)) //nolint:gosec // escaped
}

// Render answers with a page. Nothing is sent before the page is whole.
func (s *Set) Render(w http.ResponseWriter, r *http.Request, p Page) {
	body, err := s.render(w, r, p)
	if err != nil {
		s.log.Error().Err(err).Str("page", p.Name).Msg("cannot show a page")
		http.Error(w, "cannot show this page", http.StatusInternalServerError)
		return
	}
	s.headers(w.Header(), p.Realm)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(max(p.Status, http.StatusOK))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a browser that is gone cannot be told
	}
}

func (s *Set) render(w http.ResponseWriter, r *http.Request, p Page) ([]byte, error) {
	if p.Kind == "" {
		p.Kind = Login
	}
	name := s.nameFor(p)
	l, err := s.look(name, p.Kind)
	if err != nil {
		return nil, err
	}
	t, err := l.page(p.Name)
	if err != nil {
		return nil, err
	}
	languages := supported(p.Realm)
	tag, picked := choose(r, languages, p.Locale)
	if picked {
		s.remember(w, r, p, tag)
	}
	v := &view{Lang: tag, Locales: offer(r, languages, tag), Wide: p.Kind == Account, Data: p.Data, page: p, look: l,
		resource: p.Root + "/resources/" + s.version + "/" + p.Kind + "/" + name + "/", display: s.displayName(p.Realm)}
	for _, style := range l.styles {
		v.Styles = append(v.Styles, v.Resource(style))
	}
	if n := p.Notice; n != nil {
		args := make([]any, len(n.Args))
		for i, a := range n.Args {
			args[i] = a
		}
		v.Notice = &shown{n.Kind, v.T(n.Key, args...)}
	}
	var b bytes.Buffer
	err = t.ExecuteTemplate(&b, "layout", v)
	return b.Bytes(), err
}

// nameFor is the theme a page wears.
func (s *Set) nameFor(p Page) string {
	name := ""
	if p.Realm != nil {
		name = p.Realm.LoginTheme
		if p.Kind == Account && p.Realm.AccountTheme != "" {
			name = p.Realm.AccountTheme
		}
	}
	if p.Kind == Welcome {
		name = s.settings().WelcomeTheme
	}
	if name == "" || !s.Has(name) {
		name = s.settings().DefaultTheme
	}
	if !s.Has(name) {
		name = BuiltIn
	}
	return name
}

func (s *Set) displayName(realm *model.Realm) string {
	switch name := s.settings().DisplayName; {
	case name != "":
		return name
	case realm == nil:
		return "Gatehouse"
	case realm.DisplayName != "":
		return realm.DisplayName
	case plain(realm.DisplayNameHTML) != "":
		return plain(realm.DisplayNameHTML)
	}
	return realm.Name
}

// remember keeps the language that was picked, for the realm's pages.
func (s *Set) remember(w http.ResponseWriter, r *http.Request, p Page, tag string) {
	at := p.Root + "/"
	if p.Realm != nil {
		at = p.Root + "/realms/" + url.PathEscape(p.Realm.Name) + "/"
	}
	http.SetCookie(w, &http.Cookie{Name: localeCookie, Value: tag, Path: at, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
}

// policy forbids scripts, plug-ins, framing by others and all resources that
// are not ours. It does not name form-action: browsers apply that to the
// redirect after a form too, which goes to the application.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors "

func (s *Set) headers(h http.Header, realm *model.Realm) {
	httpio.NoStore(h)
	httpio.Security(h)
	frame, ancestors := "SAMEORIGIN", "'self'"
	if realm != nil {
		if v, ok := realm.BrowserSecurityHeaders["xFrameOptions"]; ok {
			frame = v
		}
		if v := directive(realm.BrowserSecurityHeaders["contentSecurityPolicy"], "frame-ancestors"); v != "" {
			ancestors = v
		}
	}
	if h.Set("Content-Security-Policy", policy+ancestors); frame != "" {
		h.Set("X-Frame-Options", frame)
	}
	h.Set("X-Robots-Tag", "none")
}

// directive is the value of one directive of a content security policy.
func directive(policy, name string) string {
	for part := range strings.SplitSeq(policy, ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(part), name+" "); ok {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == ',' {
					return -1
				}
				return r
			}, strings.TrimSpace(value))
		}
	}
	return ""
}
