package themes

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/web"
)

func set(t *testing.T, c Config) *Set {
	t.Helper()
	c.Version = "v1"
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func show(s *Set, p Page, target string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	p.Root = "/auth"
	s.Render(w, r, p)
	return w
}

func TestPropertiesAreReadAsJavaReadsThem(t *testing.T) {
	for text, want := range map[string]map[string]string{
		"a=1\nb: 2\nc 3\n":             {"a": "1", "b": "2", "c": "3"},
		"# no\n! no\n\n  a = x y ":     {"a": "x y "},
		"a=1\\\n   2\\\n 3\nb=4":       {"a": "123", "b": "4"},
		`a=\u00e9\t\\ \q`:              {"a": "é\t\\ q"},
		"a\\ b=1\na\\:b=2":             {"a b": "1", "a:b": "2"},
		"a=\xe9":                       {"a": "é"}, // ISO-8859-1
		"a=é\r\nb=2\r":                 {"a": "é", "b": "2"},
		"a=x\\\\\nb=1":                 {"a": "x\\", "b": "1"},
		"a":                            {"a": ""},
		`a=\u00`:                       {"a": "u00"},
		"key=value with = and : signs": {"key": "value with = and : signs"},
	} {
		got := parseProperties([]byte(text))
		if len(got) != len(want) {
			t.Errorf("%q: %q", text, got)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%q: %s is %q, want %q", text, k, got[k], v)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) { parseProperties([]byte(rapid.String().Draw(t, "text"))) })
}

func TestMessageFormat(t *testing.T) {
	for text, want := range map[string]string{
		"{0} of {1}": "a of b", "it''s {0}": "it's a", "'{0}' is {0}": "{0} is a", "{2}": "{2}", "{0,number}": "a", "{x}": "{x}", "open {0": "open {0",
	} {
		if got := format(text, []string{"a", "b"}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		format(rapid.String().Draw(t, "text"), rapid.SliceOf(rapid.String()).Draw(t, "args"))
	})
}

func TestEveryTextIsInEveryLanguage(t *testing.T) {
	read := func(tag string) map[string]string {
		data, err := web.Themes.ReadFile("themes/gatehouse/login/messages/messages_" + tag + ".properties")
		if err != nil {
			t.Fatal(err)
		}
		return parseProperties(data)
	}
	en, de := read("en"), read("de")
	for k, text := range en {
		if de[k] == "" {
			t.Errorf("%s has no German text", k)
		}
		if strings.Count(text, "{") != strings.Count(de[k], "{") {
			t.Errorf("%s: other arguments in German", k)
		}
	}
	if len(en) != len(de) {
		t.Errorf("%d English, %d German texts", len(en), len(de))
	}
}

func TestALanguageIsChosenInKeycloaksOrder(t *testing.T) {
	s := set(t, Config{})
	realm := &model.Realm{Name: "r", InternationalizationEnabled: true, SupportedLocales: []string{"en", "de"}}
	for _, c := range []struct {
		name, target, own, cookie, accept, want string
	}{
		{"the realm's default", "/", "", "", "", "en"},
		{"the browser's", "/", "", "", "fr,de;q=0.8", "de"},
		{"the cookie before the browser's", "/", "", "en", "de", "en"},
		{"the user's own before the cookie", "/", "de", "en", "", "de"},
		{"ui_locales before the user's", "/?ui_locales=fr+de-AT", "en", "", "", "de"},
		{"the one picked before all", "/?kc_locale=de&ui_locales=en", "en", "en", "en", "de"},
		{"one that is not supported is not taken", "/?kc_locale=../../x", "", "", "", "en"},
	} {
		h := http.Header{"Accept-Language": {c.accept}}
		if c.cookie != "" {
			h.Set("Cookie", localeCookie+"="+c.cookie)
		}
		w := show(s, Page{Name: "error", Realm: realm, Locale: c.own}, c.target, h)
		if !strings.Contains(w.Body.String(), `<html lang="`+c.want+`">`) {
			t.Errorf("%s: %.80s", c.name, w.Body)
		}
		if set := w.Header().Get("Set-Cookie"); (set != "") != strings.Contains(c.target, "kc_locale=de") {
			t.Errorf("%s: cookie %q", c.name, set)
		}
	}
}

func TestADisplayNameCannotScriptThePage(t *testing.T) {
	for text, want := range map[string]string{
		`<b>Acme</b> <i onclick="x()">Inc</i>`:              "<b>Acme</b> <i>Inc</i>",
		`<div class="kc-logo-text"><span>Acme</span></div>`: "<div><span>Acme</span></div>",
		`<script>alert(1)</script>Acme`:                     "Acme",
		`<img src=x onerror=alert(1)>Acme`:                  "Acme",
		`<b>open`:                                           "<b>open</b>",
		`a & b < c`:                                         "a &amp; b &lt; c",
	} {
		if got := sanitise(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		got := sanitise(rapid.StringOf(rapid.SampledFrom([]rune(`<>/"'= abscriptonimgsvg&;!-`))).Draw(rt, "text"))
		nodes, err := html.ParseFragment(strings.NewReader(got), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
		if err != nil {
			rt.Fatal(err)
		}
		var walk func(*html.Node)
		walk = func(n *html.Node) {
			if n.Type == html.ElementNode && (!harmless[n.DataAtom] || len(n.Attr) > 0) {
				rt.Fatalf("%q keeps %s", got, n.Data)
			}
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				walk(c)
			}
		}
		for _, n := range nodes {
			walk(n)
		}
	})
}

func TestDisplayNames(t *testing.T) {
	settings := Settings{}
	s := set(t, Config{Settings: func() Settings { return settings }})
	body := func(r *model.Realm) string { return show(s, Page{Name: "error", Realm: r}, "/", nil).Body.String() }
	both := &model.Realm{Name: "r", DisplayName: "Plain", DisplayNameHTML: "<b>Bold</b>"}
	if got := body(both); !strings.Contains(got, "<b>Bold</b>") || !strings.Contains(got, "· Plain</title>") {
		t.Error(got)
	}
	if got := body(&model.Realm{Name: "only-name"}); !strings.Contains(got, "only-name") {
		t.Error(got)
	}
	settings.DisplayName = "Live <now>"
	if got := body(both); !strings.Contains(got, "Live &lt;now&gt;") || strings.Contains(got, "Bold") {
		t.Error(got)
	}
}

func TestAThemeOnDiskInheritsAndOverrides(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"acme-base/login/theme.properties":                "styles=css/base.css",
		"acme-base/login/messages/messages_en.properties": "errorTitle=Base title\ninvalidRequestMessage=Base message",
		"acme/login/theme.properties":                     "parent=acme-base\nstyles=css/acme.css",
		"acme/login/messages/messages_en.properties":      "errorTitle=Acme says",
		"acme/login/resources/css/acme.css":               "body{}",
		"acme/login/resources/img/logo.svg":               "<svg/>",
		"loop/login/theme.properties":                     "parent=loop",
		"acme/login/secret.txt":                           "not a resource",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := set(t, Config{Dir: dir, Settings: func() Settings { return Settings{Locked: true, StaticMaxAge: 365 * 24 * time.Hour} }})
	page := Page{Name: "error", Realm: &model.Realm{Name: "r", LoginTheme: "acme"}, Notice: &Notice{Kind: Error, Key: "invalidRequestMessage"}}
	body := show(s, page, "/", nil).Body.String()
	for _, want := range []string{"Acme says", "Base message", "/auth/resources/v1/login/acme/css/acme.css"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page: %s", want, body)
		}
	}
	if strings.Index(body, "gatehouse.css") > strings.Index(body, "base.css") || strings.Index(body, "base.css") > strings.Index(body, "acme.css") {
		t.Error("a child's styles must come after its parent's")
	}
	page.Realm = &model.Realm{Name: "r", LoginTheme: "loop"}
	if w := show(s, page, "/", nil); w.Code != http.StatusOK {
		t.Error("a theme that is its own parent:", w.Code)
	}
	page.Realm = &model.Realm{Name: "r", LoginTheme: "keycloak.v2"}
	if w := show(s, page, "/", nil); !strings.Contains(w.Body.String(), "/login/gatehouse/") {
		t.Error("a theme that is not here must be the built-in one")
	}
	for path, want := range map[string]int{
		"v1/login/acme/css/acme.css": 200, "v1/login/acme/css/gatehouse.css": 200, "v1/login/gatehouse/img/logo.svg": 200, "old/login/acme/css/acme.css": 200,
		"v1/login/acme/../secret.txt": 404, "v1/login/acme/%2e%2e/secret.txt": 404, "v1/login/nobody/css/acme.css": 404, "v1/email/acme/css/acme.css": 404,
		"v1/login/acme/css": 404, "v1/login/..%2facme/css/acme.css": 404, "v1/login/acme": 404,
	} {
		w := httptest.NewRecorder()
		s.Resources().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/auth/resources/"+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
		if kept := strings.Contains(w.Header().Get("Cache-Control"), "immutable"); want == 200 && kept != strings.HasPrefix(path, "v1/") {
			t.Errorf("%s: Cache-Control %q", path, w.Header().Get("Cache-Control"))
		}
	}
	if _, err := New(Config{Dir: filepath.Join(dir, "none")}); !problem.Is(err, problem.Invalid) {
		t.Error(err)
	}
}

func TestEveryPageIsWhole(t *testing.T) {
	s := set(t, Config{})
	entries, err := web.Themes.ReadDir("themes/gatehouse/login")
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.look(BuiltIn, Login)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".html"); ok {
			if _, err := l.page(name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func BenchmarkRender(b *testing.B) {
	s, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	p := Page{Name: "error", Realm: &model.Realm{Name: "r"}, Notice: &Notice{Kind: Error, Key: "invalidRequestMessage"}}
	for b.Loop() {
		s.Render(httptest.NewRecorder(), r, p)
	}
}

func TestThemesAreReadAnewWhenTheyAreNoLongerKept(t *testing.T) {
	dir := t.TempDir()
	write := func(style string) {
		t.Helper()
		at := filepath.Join(dir, "acme", Login)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "theme.properties"), []byte("styles="+style), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := Settings{Locked: true}
	s := set(t, Config{Dir: dir, Settings: func() Settings { return now }})
	last := func() string {
		l, err := s.look("acme", Login)
		if err != nil {
			t.Fatal(err)
		}
		return l.styles[len(l.styles)-1]
	}
	write("one.css")
	first := last()
	write("two.css")
	if kept := last(); first != "one.css" || kept != "one.css" {
		t.Errorf("kept themes: %s, then %s", first, kept)
	}
	now.Locked = false
	if got := last(); got != "two.css" {
		t.Errorf("cacheThemes was switched off, and the theme is still %s", got)
	}
}
