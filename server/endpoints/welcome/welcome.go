// Package welcome serves the first page of a server: where one lands without
// knowing better, and where the first administrator is made, by a browser on
// the machine itself and only while there is none. It knows no login.
package welcome

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

const (
	admin       = "admin"         // the realm role that may everything
	tokenCookie = "WELCOME_STATE" // pairs a form with the browser it was shown in
	// lockWait is how long a second browser waits for a first that makes the
	// administrator: a few writes.
	lockWait = 10 * time.Second
)

// Config is what the endpoint needs.
type Config struct {
	Store    storage.Store
	Master   string // the name of the realm of administrators; "" is model.Master
	Book     func() addresses.Book
	Accounts *authentication.Accounts
	Themes   *themes.Set
	Clock    clock.Clock
	Log      zerolog.Logger
}

type endpoint struct{ Config }

// New is the handler of the context path ("/auth/") and, with a redirect to it,
// of "/".
func New(c Config) http.Handler {
	c.Master = cmp.Or(c.Master, model.Master)
	return httpio.LimitBody(64<<10, &endpoint{c})
}

// Page is the data of the page.
type Page struct {
	Action, Token, Account string
	NeedsAdmin, Create     bool
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	site := e.Book().Of(r)
	if r.URL.Path != site.Path()+"/" {
		if r.URL.Path == "/" || r.URL.Path == site.Path() {
			http.Redirect(w, r, site.Path()+"/", http.StatusFound)
			return
		}
		e.Themes.Render(w, r, themes.Page{Name: "error", Status: http.StatusNotFound, Root: site.Path(), Notice: &themes.Notice{Kind: themes.Error, Key: "pageNotFound"}})
		return
	}
	needed, err := e.needsAdmin(r.Context())
	if err != nil {
		e.Log.Error().Err(err).Msg("cannot tell whether there is an administrator")
		e.page(w, r, site, http.StatusInternalServerError, Page{}, &themes.Notice{Kind: themes.Error, Key: "internalError"})
		return
	}
	page := Page{Action: site.Path() + "/", NeedsAdmin: needed, Create: needed && here(r), Account: site.Realm(e.Master) + "/account"}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		e.page(w, r, site, http.StatusOK, page, nil)
	case http.MethodPost:
		e.create(w, r, site, page)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// needsAdmin reports whether nobody administers the server yet.
func (e *endpoint) needsAdmin(ctx context.Context) (needed bool, err error) {
	err = e.Store.View(ctx, func(tx storage.Tx) error {
		realm, err := tx.Realms.ByName(ctx, "", "", e.Master)
		if err != nil {
			return err
		}
		n, err := tx.UserSearch.Count(ctx, realm.ID, storage.UserQuery{RealmRole: admin, ServiceAccounts: true})
		needed = n == 0
		return err
	})
	return needed, err
}

// forwarding are headers that a proxy adds: a request with one of them was made
// elsewhere, whatever address it comes from.
var forwarding = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "X-Forwarded-Server", "Cf-Connecting-Ip", "True-Client-Ip"}

// here reports whether the browser runs on this machine: its address is, no
// proxy stands between, and it asked for this machine by a name that cannot be
// made to point here (DNS rebinding).
func here(r *http.Request) bool {
	for _, name := range forwarding {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if ip := net.ParseIP(address); err != nil || ip == nil || !ip.IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *endpoint) page(w http.ResponseWriter, r *http.Request, site addresses.Site, status int, page Page, notice *themes.Notice) {
	if page.Create {
		page.Token = rand.Text()
		http.SetCookie(w, &http.Cookie{Name: tokenCookie, Value: page.Token, Path: site.Path() + "/", HttpOnly: true, Secure: site.Secure, SameSite: http.SameSiteStrictMode})
	}
	e.Themes.Render(w, r, themes.Page{Kind: themes.Welcome, Name: "welcome", Status: status, Root: site.Path(), Notice: notice, Data: page})
}

func (e *endpoint) create(w http.ResponseWriter, r *http.Request, site addresses.Site, page Page) {
	form, err := httpio.Form(r)
	if err == nil && (!page.Create || !paired(r, form)) {
		err = problem.Forbidden.Errorf("cannot create the administrator: only a browser on this machine may, while there is none")
	}
	if err != nil {
		e.page(w, r, site, problem.KindOf(err).HTTP(), page, &themes.Notice{Kind: themes.Error, Key: "invalidRequestMessage"})
		return
	}
	key := ""
	switch {
	case strings.TrimSpace(form.Get("username")) == "":
		key = "missingUsernameMessage"
	case form.Get("password") == "":
		key = "missingPasswordMessage"
	case form.Get("password") != form.Get("passwordConfirmation"):
		key = "notMatchPasswordMessage"
	}
	if key != "" {
		e.page(w, r, site, http.StatusBadRequest, page, &themes.Notice{Kind: themes.Error, Key: key})
		return
	}
	if err := e.add(r.Context(), strings.TrimSpace(form.Get("username")), form.Get("password")); err != nil {
		e.Log.Error().Err(err).Msg("cannot create the administrator")
		e.page(w, r, site, problem.KindOf(err).HTTP(), page, &themes.Notice{Kind: themes.Error, Key: "internalError"})
		return
	}
	e.Log.Info().Str("user", form.Get("username")).Msg("the first administrator was created in a browser on this machine")
	page.Create, page.NeedsAdmin = false, false
	e.page(w, r, site, http.StatusOK, page, &themes.Notice{Kind: themes.Info, Key: "welcomeCreated"})
}

// paired reports whether the form was shown in the browser that sends it.
func paired(r *http.Request, form url.Values) bool {
	c, err := r.Cookie(tokenCookie)
	return err == nil && c.Value != "" && subtle.ConstantTimeCompare([]byte(c.Value), []byte(form.Get("stateChecker"))) == 1
}

// add makes the administrator, unless another browser or server was faster.
func (e *endpoint) add(ctx context.Context, username, password string) error {
	unlock, err := e.Store.Lock(ctx, "first-administrator", lockWait)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }() // a lock that cannot be freed ends with the process
	if needed, err := e.needsAdmin(ctx); err != nil || !needed {
		if err == nil {
			err = problem.Conflict.Errorf("cannot create the administrator: there is one by now")
		}
		return err
	}
	return realmfile.CreateAdmin(ctx, e.Store, realmfile.Admin{Username: username, Password: password, Realm: e.Master}, func(ctx context.Context, realm *model.Realm, password string) (model.Credential, error) {
		return e.Accounts.NewPassword(ctx, realm, password, false)
	})
}
