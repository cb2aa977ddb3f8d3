package authentication

import (
	"context"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// Config is everything a Processor needs.
type Config struct {
	Store     storage.Store
	Logins    sessions.Logins
	Hasher    *passwords.Hasher
	Themes    *themes.Set
	Protocols map[string]Protocol // by the name that tabs carry
	Events    Events              // nil: they are logged
	Clock     clock.Clock
	Log       zerolog.Logger
}

// Events is told what happened.
type Events interface {
	Publish(ctx context.Context, e events.Event)
}

// Processor runs logins. It is safe for concurrent use; the state of a login is
// in its tab.
type Processor struct {
	Config
	accounts   *Accounts
	executors  map[string]Executor
	conditions map[string]Condition
	actions    map[string]Action
	said       once
}

// New makes a Processor with the executions and required actions of this
// package. The map of protocols may be filled in until the first login.
func New(c Config) *Processor {
	if c.Events == nil {
		c.Events = events.Log{Log: c.Log}
	}
	p := &Processor{Config: c}
	p.accounts = NewAccounts(c.Store, c.Hasher, c.Clock, c.Log)
	p.executors, p.conditions, p.actions = executors(), conditions(), actions()
	return p
}

var _ Starter = (*Processor)(nil)

// Accounts is the part that checks and changes credentials, for pages and
// grants beside the login.
func (p *Processor) Accounts() *Accounts { return p.accounts }

// Run goes on with a login from where its tab stands; see Starter.
func (p *Processor) Run(w http.ResponseWriter, r *http.Request, l *sessions.Login, o Options) {
	s := p.step(w, r, l)
	s.passive = o.Passive
	s.deliver(s.walk())
}

// Show answers a GET of a login page: the challenge that the login waits for.
// place and execution say which page the browser asks for; one that is over (the
// back button) gets a page that leads on.
func (p *Processor) Show(w http.ResponseWriter, r *http.Request, l *sessions.Login, place, execution string) {
	s := p.step(w, r, l)
	c, err := s.walk()
	if err == nil && c != nil && execution != "" && (c.Place != place || c.Execution != execution) {
		s.expired()
		return
	}
	s.deliver(c, err)
}

// Submit takes the form of a login page. A form of an earlier page, or one sent
// before, changes nothing: its session code is over.
func (p *Processor) Submit(w http.ResponseWriter, r *http.Request, l *sessions.Login, in Submission) {
	s := p.step(w, r, l)
	c, err := s.walk()
	if err != nil || c == nil {
		s.deliver(c, err)
		return
	}
	if in.Code != s.code() || c.Place != in.Place || c.Execution != in.Execution {
		s.expired()
		return
	}
	delete(l.Tab.AuthNotes, noticeNote)
	s.turn()
	s.form = in.Form
	result := c.submit(s)
	s.form = nil
	switch result.Status {
	case Success:
		s.redirect(s.walk())
	case Denied:
		s.fail(AccessDenied)
	default:
		s.again(result)
	}
}

// Submission is the form of a login page.
type Submission struct {
	Place     string // of the page: the name of the login action
	Execution string
	Code      string // session_code
	Form      map[string][]string
}

// Restart begins the login of a tab from its start.
func (p *Processor) Restart(w http.ResponseWriter, r *http.Request, l *sessions.Login) {
	s := p.step(w, r, l)
	s.turn()
	l.Tab.UserID = ""
	l.Tab.ExecutionStatus = map[string]string{}
	l.Tab.UserSessionNotes = map[string]string{}
	for _, note := range []string{noticeNote, doneNote, sessions.UsernameNote, sessions.SSONote, sessions.RememberMeNote} {
		delete(l.Tab.AuthNotes, note)
	}
	if err := p.Logins.Save(r.Context(), l); err != nil {
		s.deliver(nil, err)
		return
	}
	http.Redirect(w, r, s.address("authenticate", ""), http.StatusSeeOther)
}

// walk does all that can be done without the user, in order: the flow, the
// required actions, the consent. It returns what to ask, or nil when the login
// is complete.
func (s *Step) walk() (*Challenge, error) {
	if s.login.Tab.AuthNotes[doneNote] == "" {
		if c, err := s.browser(); err != nil || c != nil {
			return c, err
		}
		s.login.Tab.AuthNotes[doneNote] = "true"
	}
	user, err := s.User()
	if err != nil {
		return nil, err
	}
	if !user.Enabled {
		return nil, refused("accountDisabledMessage")
	}
	if c, err := s.requiredActions(user); err != nil || c != nil {
		return c, err
	}
	return s.consent(user)
}

// browser walks the browser flow to its end or to its next challenge.
func (s *Step) browser() (*Challenge, error) {
	root, err := s.p.tree(s.ctx, s.login.Realm, s.login.Client, "browser")
	if err != nil {
		return nil, err
	}
	ok, c, err := s.flow(root)
	switch {
	case err != nil || c != nil:
		return c, err
	case !ok || s.login.Tab.UserID == "":
		return nil, refused("invalidUserMessage")
	}
	return nil, nil
}

// deliver answers with a page, or hands over to the protocol.
func (s *Step) deliver(c *Challenge, err error) {
	switch {
	case err != nil:
		s.trouble(err)
	case c == nil:
		s.complete()
	case s.passive:
		s.fail(c.passive())
	default:
		if err := s.save(); err != nil {
			s.trouble(err)
			return
		}
		s.render(c)
	}
}

// redirect is deliver after a form: the next page is fetched by GET, so that
// neither reload nor back sends a form again.
func (s *Step) redirect(c *Challenge, err error) {
	if err != nil || c == nil {
		s.deliver(c, err)
		return
	}
	if err := s.save(); err != nil {
		s.trouble(err)
		return
	}
	http.Redirect(s.w, s.r, s.address(c.Place, c.Execution), http.StatusSeeOther)
}

// again shows the same page with what is wrong with the form.
func (s *Step) again(result Result) {
	s.keepNotice(result.Notice)
	c, err := s.walk()
	s.redirect(c, err)
}

// complete stores the sessions and lets the protocol answer.
func (s *Step) complete() {
	user, err := s.User()
	if err != nil {
		s.trouble(err)
		return
	}
	protocol := s.p.Protocols[s.login.Tab.Protocol]
	if protocol == nil {
		s.trouble(problem.Unsupported.Errorf("cannot complete a login of protocol %q: it is not served here", s.login.Tab.Protocol))
		return
	}
	// Only a whole login forgets wrong guesses: whoever has the password but not
	// the device could otherwise guess codes for ever.
	if s.login.Tab.AuthNotes[sessions.SSONote] == "" {
		err = s.p.accounts.Succeeded(s.ctx, s.login.Realm, user.ID)
	}
	if err != nil {
		s.trouble(err)
		return
	}
	out, err := s.p.Logins.Attach(s.ctx, s.w, s.login, user)
	if err != nil {
		s.trouble(err)
		return
	}
	s.p.Log.Debug().Str("realm", s.login.Realm.Name).Str("user", user.ID).Str("client", s.login.Client.ClientID).Msg("logged in")
	protocol.Authenticated(s.w, s.r, s.login, out)
}

// fail ends the login and tells the protocol why.
func (s *Step) fail(why Reason) {
	protocol := s.p.Protocols[s.login.Tab.Protocol]
	if protocol == nil {
		s.passive = false // there is nobody to tell but the browser
		s.trouble(problem.Unsupported.Errorf("cannot end a login of protocol %q: it is not served here", s.login.Tab.Protocol))
		return
	}
	if err := s.p.Logins.Forget(s.ctx, s.login); err != nil {
		s.p.Log.Warn().Err(err).Str("realm", s.login.Realm.Name).Msg("cannot forget a login that failed: it expires by itself")
	}
	protocol.Failed(s.w, s.r, s.login, why)
}

// trouble is the error page, or in a passive login the protocol's error. What
// is our fault is logged and not explained.
func (s *Step) trouble(err error) {
	notice, status := &themes.Notice{Kind: themes.Error, Key: "internalError"}, http.StatusInternalServerError
	var no *refusal
	switch {
	case asRefusal(err, &no):
		notice.Key, notice.Args, status = no.key, no.args, http.StatusBadRequest
	case problem.Is(err, problem.NotFound):
		notice.Key, status = "expiredCodeMessage", http.StatusBadRequest
	case problem.Is(err, problem.Conflict):
		notice.Key, status = "differentUserAuthenticated", http.StatusBadRequest
	case problem.Is(err, problem.Unavailable):
		notice.Key, status = "tooManyLogins", http.StatusServiceUnavailable
	}
	if no == nil {
		s.p.Log.Warn().Err(err).Str("realm", s.login.Realm.Name).Str("client", s.login.Client.ClientID).Msg("a login ended with an error")
	}
	if s.passive {
		why := Unavailable
		if no != nil {
			why = LoginRequired
		}
		s.fail(why)
		return
	}
	s.p.Themes.Render(s.w, s.r, themes.Page{Name: "error", Status: status, Realm: s.login.Realm, Root: s.root(), Notice: notice, Data: struct{ Back string }{home(s.login.Client)}})
}

// expired is the page of a step that is over.
func (s *Step) expired() {
	s.p.Themes.Render(s.w, s.r, themes.Page{Name: "page-expired", Status: http.StatusBadRequest, Realm: s.login.Realm, Root: s.root(),
		Data: struct{ Continue, Restart string }{s.address("authenticate", ""), s.address("restart", "")}})
}

// home is where an application's users begin, "" if it does not say.
func home(c *model.Client) string {
	if c.BaseURL != "" && c.BaseURL[0] == '/' {
		return c.RootURL + c.BaseURL
	}
	return c.BaseURL
}

// Again shows the first page of a login that began anew, with the reason.
func (p *Processor) Again(w http.ResponseWriter, r *http.Request, l *sessions.Login, why string) {
	s := p.step(w, r, l)
	s.keepNotice(&themes.Notice{Kind: themes.Warning, Key: why})
	s.redirect(s.walk())
}
