// Package loginactions serves the pages of a login at
// {realm}/login-actions/{action}: it finds the login that a browser is in, takes
// its forms once, and begins an expired login again. What a step asks is package
// authentication's business; it knows no protocol.
package loginactions

import (
	"context"
	"net/http"
	"net/url"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// BodyLimit is the most bytes of a login form.
const BodyLimit = 64 << 10

// Config is what the endpoint needs.
type Config struct {
	Store     storage.Store
	Book      func() addresses.Book // asked at each request: addresses may change live
	Logins    sessions.Logins
	Processor *authentication.Processor
	Themes    *themes.Set
	Clock     clock.Clock
	Log       zerolog.Logger
}

type endpoint struct {
	Config
	answers *answers
}

// New is the handler of /realms/{realm}/login-actions/{action}, mounted with
// these path values.
func New(c Config) http.Handler {
	return httpio.LimitBody(BodyLimit, &endpoint{c, newAnswers(c.Clock)})
}

// request is what a login page's address and form say, read once.
type request struct {
	site                addresses.Site
	realm               *model.Realm
	action, client, tab string
	execution, code     string
	form                url.Values // of a POST
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	in, err := e.read(r)
	if err != nil {
		e.refuse(w, r, in, err)
		return
	}
	if r.Method == http.MethodPost {
		e.answers.once(w, r, in, func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, in) })
		return
	}
	e.serve(w, r, in)
}

func (e *endpoint) read(r *http.Request) (*request, error) {
	q := r.URL.Query()
	in := &request{site: e.Book().Of(r), action: r.PathValue("action"), client: q.Get("client_id"), tab: q.Get("tab_id"), execution: q.Get("execution"), code: q.Get("session_code")}
	realm, err := e.realm(r.Context(), r.PathValue("realm"))
	if err != nil {
		return in, err
	}
	in.realm, in.site = realm, in.site.WithFrontend(realm.Attribute("frontendUrl"))
	if httpio.Repeated(q) != "" {
		return in, problem.Invalid.Errorf("cannot read the address: a parameter is repeated")
	}
	if r.Method == http.MethodPost {
		in.form, err = httpio.Form(r)
	}
	return in, err
}

func (e *endpoint) realm(ctx context.Context, name string) (realm *model.Realm, err error) {
	err = e.Store.View(ctx, func(tx storage.Tx) error {
		realm, err = tx.Realms.ByName(ctx, "", "", name)
		return err
	})
	return realm, err
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request, in *request) {
	if refusal := e.closed(in); refusal != "" {
		e.page(w, r, in, http.StatusForbidden, refusal)
		return
	}
	l, err := e.Logins.Find(r.Context(), r, in.site, in.realm, in.client, in.tab)
	if problem.Is(err, problem.NotFound) {
		e.beginAgain(w, r, in)
		return
	}
	if err != nil {
		e.refuse(w, r, in, err)
		return
	}
	switch in.action {
	case "authenticate", "required-action", "consent":
		if r.Method == http.MethodPost {
			e.Processor.Submit(w, r, l, authentication.Submission{Place: in.action, Execution: in.execution, Code: in.code, Form: in.form})
			return
		}
		e.Processor.Show(w, r, l, in.action, in.execution)
	case "restart":
		e.Processor.Restart(w, r, l)
	default:
		e.page(w, r, in, http.StatusNotFound, "pageNotFound")
	}
}

// closed is why nobody logs in to the realm this way, "" if somebody may.
func (e *endpoint) closed(in *request) string {
	switch {
	case !in.realm.Enabled:
		return "realmDisabled"
	case in.site.Secure, in.realm.SSLRequired == "none", in.realm.SSLRequired != "all" && in.site.Private():
		return ""
	}
	return "httpsRequired"
}

// beginAgain answers a page whose login is over: who is logged in by now is told
// so; otherwise the login begins again as the browser's KC_RESTART recorded it.
func (e *endpoint) beginAgain(w http.ResponseWriter, r *http.Request, in *request) {
	if _, _, err := e.Logins.Identify(r.Context(), r, in.site, in.realm); err == nil {
		e.Themes.Render(w, r, themes.Page{Name: "info", Realm: in.realm, Root: in.site.Path(), Notice: &themes.Notice{Kind: themes.Info, Key: "alreadyLoggedIn"}})
		return
	}
	l, err := e.Logins.Restart(r.Context(), w, r, in.site, in.realm)
	switch {
	case problem.Is(err, problem.NotFound):
		e.page(w, r, in, http.StatusBadRequest, "cookieNotFoundMessage")
	case err != nil:
		e.refuse(w, r, in, err)
	default:
		e.Processor.Again(w, r, l, "loginTimeout")
	}
}

// refuse answers what cannot be served.
func (e *endpoint) refuse(w http.ResponseWriter, r *http.Request, in *request, err error) {
	kind := problem.KindOf(err)
	key := "internalError"
	switch kind {
	case problem.NotFound:
		key = "realmNotFound"
	case problem.Invalid, problem.TooLarge:
		key = "invalidRequestMessage"
	default:
		e.Log.Error().Err(err).Msg("cannot serve a login page")
	}
	e.page(w, r, in, kind.HTTP(), key)
}

func (e *endpoint) page(w http.ResponseWriter, r *http.Request, in *request, status int, key string) {
	e.Themes.Render(w, r, themes.Page{Name: "error", Status: status, Realm: in.realm, Root: in.site.Path(), Notice: &themes.Notice{Kind: themes.Error, Key: key}})
}
