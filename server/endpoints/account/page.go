package account

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/httpio"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// Page is the data of the account page.
type Page struct {
	Action, Token             string
	Username, FullName, Email string
	EmailVerified             bool
	HasPassword               bool
	Sessions                  []Session
	Others                    bool // there are sessions besides this one
}

// Session is a line of the page's table; times are UTC, as the heading says.
type Session struct {
	Started, LastAccess, Address, Clients string
	Current                               bool
}

// said is the notice of what was done last; pages after a form say it in their
// address, so that a reload does it not again.
func said(r *http.Request) *themes.Notice {
	key := map[string]string{"password": "passwordUpdated", "sessions": "sessionsEnded"}[r.URL.Query().Get("done")]
	if key == "" {
		return nil
	}
	return &themes.Notice{Kind: themes.Info, Key: key}
}

func (e *Endpoint) show(w http.ResponseWriter, r *http.Request, v *visit, status int, notice *themes.Notice) {
	page := &Page{
		Action: v.address(""), Token: v.token, Username: v.user.Username, Email: v.user.Email, EmailVerified: v.user.EmailVerified,
		FullName: strings.TrimSpace(v.user.FirstName + " " + v.user.LastName), HasPassword: authentication.HasPassword(v.user),
	}
	all, err := e.Sessions.OfUser(r.Context(), v.realm, v.user.ID, false)
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	names, err := e.clientNames(r.Context(), v.realm, all)
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	for _, u := range all {
		page.Sessions = append(page.Sessions, Session{
			Started: moment(u.Started), LastAccess: moment(u.LastAccess), Address: u.IPAddress, Current: u.ID == v.session.ID,
			Clients: strings.Join(slices.Sorted(maps.Keys(named(u, names))), ", "),
		})
		page.Others = page.Others || u.ID != v.session.ID
	}
	e.Themes.Render(w, r, themes.Page{Kind: themes.Account, Name: "account", Status: status, Realm: v.realm, Root: v.site.Path(),
		Locale: v.user.Attribute("locale"), Notice: notice, Data: page})
}

func moment(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02 15:04")
}

func named(u *model.UserSession, names map[string]string) map[string]bool {
	set := map[string]bool{}
	for id := range u.Clients {
		if names[id] != "" {
			set[names[id]] = true
		}
	}
	return set
}

// clientNames gives the names of the clients of sessions by their ids; clients
// that are gone have none.
func (e *Endpoint) clientNames(ctx context.Context, realm *model.Realm, all []*model.UserSession) (map[string]string, error) {
	names := map[string]string{}
	err := e.Store.View(ctx, func(tx storage.Tx) error {
		for _, u := range all {
			for id := range u.Clients {
				c, err := tx.Clients.Get(ctx, realm.ID, id)
				if problem.Is(err, problem.NotFound) {
					continue
				}
				if err != nil {
					return err
				}
				if names[id] = c.Name; c.Name == "" || strings.HasPrefix(c.Name, "${") {
					names[id] = c.ClientID
				}
			}
		}
		return nil
	})
	return names, err
}

func (e *Endpoint) submit(w http.ResponseWriter, r *http.Request, v *visit, action string) {
	form, err := httpio.Form(r)
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	if !v.trusts(form) {
		e.refuse(w, r, v, problem.Invalid.Errorf("cannot take the form: it is not of this page"))
		return
	}
	switch action {
	case "password":
		e.changePassword(w, r, v, form)
	case "sessions":
		e.endOthers(w, r, v)
	case "logout":
		e.logout(w, r, v)
	default:
		http.NotFound(w, r)
	}
}

func (e *Endpoint) changePassword(w http.ResponseWriter, r *http.Request, v *visit, form url.Values) {
	key, args, err := e.newPassword(r.Context(), v, form)
	switch {
	case err != nil:
		e.refuse(w, r, v, err)
	case key != "":
		e.show(w, r, v, http.StatusBadRequest, &themes.Notice{Kind: themes.Error, Key: key, Args: args})
	default:
		http.Redirect(w, r, v.address("")+"?done=password", http.StatusSeeOther)
	}
}

// newPassword changes the password, or says with a message's key why not. The
// present one is asked for: an unattended browser gives nobody the account.
func (e *Endpoint) newPassword(ctx context.Context, v *visit, form url.Values) (key string, args []string, err error) {
	fresh := form.Get("password-new")
	if fresh != form.Get("password-confirm") {
		return "notMatchPasswordMessage", nil, nil
	}
	if authentication.HasPassword(v.user) {
		verdict, err := e.Accounts.CheckPassword(ctx, v.realm, v.user, form.Get("password"), v.site.Remote)
		if err != nil {
			return "", nil, err
		}
		if verdict != authentication.Right {
			return "invalidPasswordExistingMessage", nil, nil
		}
	}
	broken, err := e.Accounts.SetPassword(ctx, v.realm, v.user, fresh, "")
	if broken != nil {
		return broken.Message, broken.Arguments, nil
	}
	return "", nil, err
}

func (e *Endpoint) endOthers(w http.ResponseWriter, r *http.Request, v *visit) {
	all, err := e.Sessions.OfUser(r.Context(), v.realm, v.user.ID, false)
	for _, u := range all {
		if err == nil && u.ID != v.session.ID {
			err = e.end(r.Context(), v, u.ID)
		}
	}
	if err != nil {
		e.refuse(w, r, v, err)
		return
	}
	http.Redirect(w, r, v.address("")+"?done=sessions", http.StatusSeeOther)
}

func (e *Endpoint) logout(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := e.end(r.Context(), v, v.session.ID); err != nil {
		e.refuse(w, r, v, err)
		return
	}
	e.Sessions.DropIdentity(w, v.site, v.realm)
	e.Themes.Render(w, r, themes.Page{Name: "info", Realm: v.realm, Root: v.site.Path(), Notice: &themes.Notice{Kind: themes.Info, Key: "successLogout"},
		Data: struct{ Title, Back string }{"loggedOutTitle", ""}})
}

// end ends a session and tells its clients; that it had ended is no error.
func (e *Endpoint) end(ctx context.Context, v *visit, id string) error {
	ended, err := e.Sessions.End(ctx, v.realm, id, false)
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err == nil && e.Ended != nil {
		e.Ended(ctx, v.site, v.realm, ended)
	}
	return err
}
