package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/web"
)

// policy lets the pages use what this console serves and nothing else: no inline
// script or style, no other origin, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded adds what protects every answer, and refuses changes that another
// site's page made the browser send.
func guarded(h http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		origin.Handler(h).ServeHTTP(w, r)
	})
}

// asset is a file beside the pages; its address changes with its content.
type asset struct {
	content []byte
	address string
	media   string
}

// themeAssets are those that the console shares with the login pages.
const themeAssets = "themes/gatehouse/common/resources/"

func loadAssets() (map[string]asset, error) {
	assets := map[string]asset{}
	for _, f := range []struct {
		from fs.FS
		name string
	}{
		{web.Console, "console/console.css"}, {web.Console, "console/console.js"},
		{web.Themes, themeAssets + "css/gatehouse.css"}, {web.Themes, themeAssets + "img/logo.svg"}, {web.Themes, themeAssets + "img/favicon.svg"},
	} {
		content, err := fs.ReadFile(f.from, f.name)
		if err != nil {
			return nil, problem.Internal.Errorf("cannot load the console's assets: %w", err)
		}
		name, sum := path.Base(f.name), sha256.Sum256(content)
		assets[name] = asset{
			content: content,
			address: "/console/assets/" + name + "?v=" + base64.RawURLEncoding.EncodeToString(sum[:9]),
			media:   mime.TypeByExtension(path.Ext(name)),
		}
	}
	return assets, nil
}

func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := c.assets[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", a.media)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.content) // the browser has gone: nobody is left to be told
}

// loadPages reads a template for each page, with the layout around it.
func loadPages(assets map[string]asset) (map[string]*template.Template, error) {
	functions := template.FuncMap{
		"asset": func(name string) string { return assets[name].address },
		"value": profiles.Format,
		"time":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"lower": strings.ToLower,
		"rate":  rateText,
	}
	layout, err := template.New("layout.html").Funcs(functions).ParseFS(web.Console, "console/layout.html")
	if err != nil {
		return nil, problem.Internal.Errorf("cannot read the console's pages: %w", err)
	}
	names, err := fs.Glob(web.Console, "console/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := layout.Clone()
		if err == nil {
			page, err = page.ParseFS(web.Console, name)
		}
		if err != nil {
			return nil, problem.Internal.Errorf("cannot read the console's pages: %w", err)
		}
		pages[path.Base(name)] = page
	}
	return pages, nil
}

// rateText is a number a second, with a digit behind the point while it is small.
func rateText(r float64) string {
	if r > 0 && r < 10 {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return strconv.FormatFloat(r, 'f', 0, 64)
}

// view is what the layout shows around a page.
type view struct {
	Title   string
	Section string // of the navigation, the path of its first page
	User    string // "" for nobody
	CSRF    string
	Version string
	Done    string // what the form before has done
	Problem string // what it could not
	Access  bool   // the visitor may see who may manage the domain
	// Live pages fetch themselves again and again.
	Live    bool
	Content any
}

func (c *Console) render(w http.ResponseWriter, status int, page string, data view) {
	data.Version = c.config.Version
	var b bytes.Buffer
	if err := c.pages[page].ExecuteTemplate(&b, "layout", data); err != nil {
		c.config.Log.Error().Err(err).Str("page", page).Msg("cannot show a page of the console")
		http.Error(w, "This page cannot be shown; the controller's log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser has gone: nobody is left to be told
}

// show renders a page for who is signed in.
func (v *visit) show(page string, data view) { v.showAs(http.StatusOK, page, data) }

func (v *visit) showAs(status int, page string, data view) {
	data.User, data.CSRF = v.caller.Name, v.csrf
	data.Access = v.may(nil, "list-users", nil)
	if data.Done == "" {
		data.Done = doneText(v.r)
	}
	v.render(v.w, status, page, data)
}

// wrong is the view of a page that also says what went wrong, if anything did.
func (d view) wrong(err error) view {
	if err != nil {
		d.Problem = err.Error()
	}
	return d
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return problem.KindOf(err).HTTP()
}

// fail shows why something cannot be done.
func (v *visit) fail(err error) {
	status := statusOf(err)
	title := "This cannot be done"
	if status == http.StatusNotFound {
		title = "Not found"
	}
	v.showAs(status, "problem.html", view{Title: title, Problem: err.Error()})
}

func (c *Console) nowhere(v *visit) {
	v.fail(problem.NotFound.Errorf("cannot find %s: the console has no such page", v.r.URL.Path))
}

// do runs one operation as the visitor and reads its result; into may be nil.
func (v *visit) do(ctx context.Context, op profiles.Operation, into any) (revision uint64, err error) {
	response, err := v.execute(ctx, api.Inside{Operation: op, Again: v.refresh()})
	if err != nil || into == nil || response.Result == nil {
		return response.Revision, err
	}
	if err := reread(response.Result, into); err != nil {
		return 0, problem.Internal.Errorf("cannot read the answer to %s: %w", op.Name, err)
	}
	return response.Revision, nil
}

// reread reads a result or an event, which is anything that encodes to JSON.
func reread(value, into any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// read is do for a read.
func (v *visit) read(at profiles.Address, name string, params map[string]any, into any) (revision uint64, err error) {
	return v.do(v.r.Context(), profiles.Operation{Name: name, Address: at, Params: params}, into)
}
