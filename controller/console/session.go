package console

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// cookieName is the session cookie: "<browser's id>.<session token>". It goes to
// the console's own path only: browsers do not tell ports apart, and other
// servers of this machine have no business with it.
const cookieName = "__Secure-gatehouse-console"

// via is this door's name in the audit log.
const via = "console"

// refreshHeader marks what an open page fetches by itself. It neither keeps a
// session alive nor goes into the audit log.
const refreshHeader = "Gatehouse-Refresh"

// formLimit is the largest form taken, bytes: an attribute's value, or all of a
// resource.
const formLimit = 1 << 20

// visit is one request of a person who is signed in.
type visit struct {
	*Console
	w      http.ResponseWriter
	r      *http.Request
	caller access.Caller
	csrf   string
	began  time.Time
}

// page serves a page to whoever is signed in, and leads others to the sign-in.
func (c *Console) page(serve func(*visit)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := c.visit(w, r); v != nil {
			serve(v)
		}
	})
}

// form takes a form that this console's own page sent.
func (c *Console) form(take func(*visit)) http.Handler {
	return c.page(func(v *visit) {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, formLimit)
		if err := v.r.ParseForm(); err != nil {
			v.fail(problem.Invalid.Errorf("cannot read the form: %w", err))
			return
		}
		if !hmac.Equal([]byte(v.r.PostForm.Get("csrf")), []byte(v.csrf)) {
			v.fail(problem.Forbidden.Errorf("cannot take the form: it is not from this session; open the page again and repeat it"))
			return
		}
		take(v)
	})
}

// visit finds out who asks; nil: the answer is given.
func (c *Console) visit(w http.ResponseWriter, r *http.Request) *visit {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		c.toSignIn(w, r)
		return nil
	}
	id, token, _ := strings.Cut(cookie.Value, ".")
	caller, expires, err := c.config.Management.Session(r.Context(), token, r.RemoteAddr)
	if problem.Is(err, problem.Unauthorized) {
		c.toSignIn(w, r)
		return nil
	}
	if err != nil {
		http.Error(w, err.Error(), problem.KindOf(err).HTTP())
		return nil
	}
	v := &visit{Console: c, w: w, r: r, caller: caller, csrf: c.csrf(id), began: c.config.Clock.Now()}
	if v.refresh() || expires.Sub(c.config.Clock.Now()) > access.SessionLifetime/2 {
		return v
	}
	if token, expires, err = c.config.Management.Renew(r.Context(), caller); err != nil {
		c.config.Log.Warn().Err(err).Str("user", caller.Name).Msg("cannot renew a console session")
		return v
	}
	http.SetCookie(w, sessionCookie(id+"."+token, expires))
	return v
}

// csrf is what a form of the browser with this id carries.
func (c *Console) csrf(id string) string {
	mac := hmac.New(sha256.New, c.config.Key)
	mac.Write([]byte("gatehouse console form\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func sessionCookie(value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/console", Expires: expires,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

// toSignIn leads to the sign-in, and from there back.
func (c *Console) toSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(refreshHeader) != "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	to := "/console/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != "/console" {
		to += "?" + url.Values{"to": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

type signInView struct {
	Name, To, Problem string
	Nobody            bool
}

func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	c.showSignIn(w, r, http.StatusOK, signInView{To: r.URL.Query().Get("to")})
}

func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request, status int, s signInView) {
	anybody, err := c.config.Management.Anybody(r.Context())
	if err != nil {
		s.Problem, status = err.Error(), problem.KindOf(err).HTTP()
	}
	s.Nobody = err == nil && !anybody
	c.render(w, status, "sign-in.html", view{Title: "Sign in", Content: s})
}

// signIn opens a session.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	s := signInView{Name: r.PostFormValue("name"), To: r.PostFormValue("to")}
	token, expires, err := c.config.Management.SignIn(r.Context(), s.Name, r.PostFormValue("password"), r.RemoteAddr, via)
	if err != nil {
		s.Problem = "The user name or the password is wrong."
		if !problem.Is(err, problem.Unauthorized) {
			s.Problem = err.Error()
		}
		c.showSignIn(w, r, problem.KindOf(err).HTTP(), s)
		return
	}
	http.SetCookie(w, sessionCookie(rand.Text()+"."+token, expires))
	http.Redirect(w, r, within(s.To), http.StatusSeeOther)
}

// within is a place of the console: what is outside becomes its first page.
func within(to string) string {
	if u, err := url.Parse(to); err != nil || u.Scheme != "" || u.Host != "" || u.Path != "/console" && !strings.HasPrefix(u.Path, "/console/") {
		return "/console"
	}
	return to
}

// signOut ends the session at all controllers, whoever else has its cookie.
func (c *Console) signOut(v *visit) {
	if err := c.config.Management.SignOut(v.r.Context(), v.caller); err != nil {
		v.fail(err) // the cookie stays: one who believes to be out must be
		return
	}
	gone := sessionCookie("", time.Unix(1, 0))
	gone.MaxAge = -1
	http.SetCookie(v.w, gone)
	http.Redirect(v.w, v.r, "/console/sign-in", http.StatusSeeOther)
}

// refresh tells a page's own fetch from a person's visit.
func (v *visit) refresh() bool { return v.r.Header.Get(refreshHeader) != "" }

// may reports whether the caller may run an operation: what is refused is not
// offered.
func (v *visit) may(at profiles.Address, name string, params map[string]any) bool {
	return v.config.Management.Allowed(v.caller, profiles.Operation{Name: name, Address: at, Params: params}) == nil
}

// patience is how long a page waits for what its form began: almost all is done
// by then, and a person does not wonder yet. What takes longer goes on, and the
// pages show how far it is.
const patience = 3 * time.Second

// endurance bounds what goes on: a rollout of a large domain with its gates.
const endurance = 6 * time.Hour

// begin runs an operation that may take longer than a person waits, and that
// does not end when the browser goes. over is false when it goes on.
func (v *visit) begin(op profiles.Operation) (revision uint64, over bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.r.Context()), endurance)
	type answer struct {
		revision uint64
		err      error
	}
	done := make(chan answer, 1)
	v.begun.Go(func() {
		defer cancel()
		revision, err := v.do(ctx, op, nil)
		if err != nil {
			v.config.Log.Warn().Err(err).Str("user", v.caller.Name).Str("operation", op.Name).Msg("an operation of the console failed")
		}
		done <- answer{revision, err}
	})
	go func() {
		select {
		case <-v.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	timer := v.config.Clock.NewTimer(patience)
	defer timer.Stop()
	select {
	case a := <-done:
		return a.revision, true, a.err
	case <-timer.C:
		return 0, false, nil
	}
}
