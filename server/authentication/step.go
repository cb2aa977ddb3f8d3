package authentication

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"sync"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// Notes of a tab that only this package reads.
const (
	turnNote   = "turn"   // how many forms were taken: each ends the session code before
	doneNote   = "done"   // the flow is complete: what the user sets up now is not asked for in this login
	usedNote   = "used."  // with a credential's type: one was verified in this login
	noticeNote = "notice" // what is wrong with the last form, until the next
)

// Step is one request of a login: what executions and actions work with.
type Step struct {
	p       *Processor
	ctx     context.Context //nolint:containedctx // a Step lives as long as its request
	w       http.ResponseWriter
	r       *http.Request
	login   *sessions.Login
	before  *model.AuthenticationTab // as stored
	user    *model.User
	at      *node      // the execution that runs
	form    url.Values // of a Submit
	passive bool
	direct  *direct // of a grant without browser; nil in a browser
}

func (p *Processor) step(w http.ResponseWriter, r *http.Request, l *sessions.Login) *Step {
	if l.Tab.AuthNotes == nil {
		l.Tab.AuthNotes = map[string]string{}
	}
	if l.Tab.ExecutionStatus == nil {
		l.Tab.ExecutionStatus = map[string]string{}
	}
	return &Step{p: p, ctx: r.Context(), w: w, r: r, login: l, before: model.Clone(l.Tab)}
}

// Status is how an execution ended.
type Status int

// What an execution or an action returns to the processor.
const (
	Ask       Status = iota // show the page
	Success                 // done
	Attempted               // not applicable here; an alternative may do
	Failed                  // wrong: the page again, with the notice
	Denied                  // the user refused: the login ends
)

// Result is what an execution returns.
type Result struct {
	Status Status
	Page   string         // with Ask: the template
	Data   any            // of the template
	Notice *themes.Notice // with Ask, and with Failed
	Err    error          // with Failed: what a grant is told, nil for wrong credentials
}

// Challenge is a page that the login waits at.
type Challenge struct {
	Place     string // name of the login action
	Execution string
	Result
	submit func(*Step) Result
}

func (c *Challenge) passive() Reason {
	switch c.Place {
	case placeAction:
		return InteractionRequired
	case placeConsent:
		return ConsentRequired
	}
	return LoginRequired
}

// The login actions that pages post to.
const (
	placeFlow    = "authenticate"
	placeAction  = "required-action"
	placeConsent = "consent"
)

// User is who the login is about; problem.NotFound before anyone said.
func (s *Step) User() (*model.User, error) {
	if s.user != nil && s.user.ID == s.login.Tab.UserID {
		return s.user, nil
	}
	if s.login.Tab.UserID == "" {
		return nil, problem.NotFound.Errorf("cannot tell who logs in: no step has asked yet")
	}
	err := s.p.Store.View(s.ctx, func(tx storage.Tx) (err error) {
		s.user, err = tx.Users.Get(s.ctx, s.login.Realm.ID, s.login.Tab.UserID)
		return err
	})
	return s.user, err
}

func (s *Step) setUser(u *model.User) { s.user, s.login.Tab.UserID = u, u.ID }

// save stores the tab if it changed.
func (s *Step) save() error {
	if reflect.DeepEqual(s.before, s.login.Tab) {
		return nil
	}
	if err := s.p.Logins.Save(s.ctx, s.login); err != nil {
		return err
	}
	s.before = model.Clone(s.login.Tab)
	return nil
}

// code is the session code of the page that is shown now. Only who knows the
// cookie can make it, so no other site can post a form; each form that is taken
// makes the next one.
func (s *Step) code() string {
	t := s.login.Tab
	sum := sha256.Sum256([]byte("session code\x00" + s.login.Root.ID + "\x00" + t.ID + "\x00" + t.AuthNotes[turnNote]))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// turn ends the session code.
func (s *Step) turn() {
	n, _ := strconv.Atoi(s.login.Tab.AuthNotes[turnNote]) // absent is 0
	s.login.Tab.AuthNotes[turnNote] = strconv.Itoa(n + 1)
}

// address is a login page's, to be fetched.
func (s *Step) address(place, execution string) string {
	q := url.Values{"client_id": {s.login.Client.ClientID}, "tab_id": {s.login.Tab.ID}}
	if execution != "" {
		q.Set("execution", execution)
	}
	return s.login.Site.Action(s.login.Realm.Name, place) + "?" + q.Encode()
}

// target is where the form of a page is posted to.
func (s *Step) target(c *Challenge) string {
	return s.address(c.Place, c.Execution) + "&session_code=" + s.code()
}

func (s *Step) root() string { return s.login.Site.Path() }

func (s *Step) keepNotice(n *themes.Notice) {
	if n == nil {
		return
	}
	data, err := json.Marshal(n)
	if err == nil { // strings always have JSON
		s.login.Tab.AuthNotes[noticeNote] = string(data)
	}
}

func (s *Step) keptNotice() *themes.Notice {
	var n themes.Notice
	if json.Unmarshal([]byte(s.login.Tab.AuthNotes[noticeNote]), &n) != nil {
		return nil
	}
	return &n
}

// render shows a challenge's page.
func (s *Step) render(c *Challenge) {
	page := themes.Page{Name: c.Page, Realm: s.login.Realm, Root: s.root(), Notice: s.keptNotice(), Data: c.Data}
	if page.Notice == nil {
		page.Notice = c.Notice
	}
	if f, ok := c.Data.(links); ok {
		restart := s.address("restart", "")
		if s.login.Tab.UserID == "" {
			restart = ""
		}
		f.link(s.target(c), restart)
	}
	page.Locale = s.login.Tab.ClientNotes["ui_locales"]
	if u, err := s.User(); err == nil {
		page.Locale += " " + u.Attribute("locale")
	}
	s.p.Themes.Render(s.w, s.r, page)
}

// links is page data that wants the addresses of its form and of a restart.
type links interface{ link(action, restart string) }

// Links is what the data of every page with a form begins with.
type Links struct{ Action, Restart string }

func (l *Links) link(action, restart string) { l.Action, l.Restart = action, restart }

// refusal is an end of the login that the user may be told.
type refusal struct {
	key  string
	args []string
}

func (r *refusal) Error() string { return r.key }

func refused(key string, args ...string) error { return &refusal{key, args} }

func asRefusal(err error, to **refusal) bool { return errors.As(err, to) }

func wrong(key string, args ...string) Result {
	return Result{Status: Failed, Notice: &themes.Notice{Kind: themes.Error, Key: key, Args: args}}
}

// once remembers what was said, so that a log says it once.
type once struct{ said sync.Map }

func (o *once) first(what string) bool {
	_, again := o.said.LoadOrStore(what, true)
	return !again
}
