package authentication

import (
	"encoding/base64"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// executors is every execution of browser flows that is known here, by
// Keycloak's names of their providers.
func executors() map[string]Executor {
	return map[string]Executor{
		"auth-cookie":                    cookieLogin{},
		"auth-spnego":                    skipped{},
		"identity-provider-redirector":   skipped{},
		"auth-username-password-form":    credentials{username: true, password: true},
		"auth-username-form":             credentials{username: true},
		"auth-password-form":             credentials{password: true},
		"auth-otp-form":                  otpForm{},
		"direct-grant-validate-username": directUsername{},
		"direct-grant-validate-password": directPassword{},
		"direct-grant-validate-otp":      directOTP{},
	}
}

// skipped stands for executions that have nothing to do here: SPNEGO without a
// Kerberos ticket, the redirector without a default identity provider.
type skipped struct{}

func (skipped) NeedsUser() bool                    { return false }
func (skipped) Configured(*Step, *model.User) bool { return true }
func (skipped) Begin(*Step) Result                 { return Result{Status: Attempted} }
func (skipped) Submit(*Step) Result                { return Result{Status: Attempted} }

// cookieLogin lets in who is logged in already: single sign-on.
type cookieLogin struct{}

func (cookieLogin) NeedsUser() bool                    { return false }
func (cookieLogin) Configured(*Step, *model.User) bool { return true }
func (cookieLogin) Submit(*Step) Result                { return Result{Status: Attempted} }

func (cookieLogin) Begin(s *Step) Result {
	tab := s.login.Tab
	if s.direct != nil || tab.UserID != "" {
		return Result{Status: Attempted}
	}
	session, user, err := s.p.Logins.Identify(s.ctx, s.r, s.login.Site, s.login.Realm)
	if err != nil {
		if !problem.Is(err, problem.NotFound) {
			s.p.Log.Warn().Err(err).Str("realm", s.login.Realm.Name).Msg("cannot tell who is logged in")
		}
		return Result{Status: Attempted}
	}
	if protocol := s.p.Protocols[tab.Protocol]; protocol == nil || protocol.Reauthenticate(s.login, session) {
		s.setUser(user) // it must be the same person again
		s.keepNotice(&themes.Notice{Kind: themes.Info, Key: "reauthenticate"})
		return Result{Status: Attempted}
	}
	s.setUser(user)
	tab.AuthNotes[sessions.SSONote] = "true"
	return Result{Status: Success}
}

// credentials asks for a username, a password or both.
type credentials struct{ username, password bool }

// LoginForm is the data of the login page.
type LoginForm struct {
	Links
	AskUsername, AskPassword bool
	UsernameLabel            string // key of a message
	Username                 string
	Locked                   bool // the username may not be changed
	RememberMe, Remembered   bool
}

func (c credentials) NeedsUser() bool { return !c.username }

func (c credentials) Configured(_ *Step, u *model.User) bool { return c.username || HasPassword(u) }

func (c credentials) Begin(s *Step) Result {
	if c.username && !c.password && s.login.Tab.UserID != "" {
		return Result{Status: Success}
	}
	form := &LoginForm{AskUsername: c.username, AskPassword: c.password, UsernameLabel: "username", RememberMe: c.username && s.login.Realm.RememberMe}
	if s.login.Realm.LoginWithEmail() {
		form.UsernameLabel = "usernameOrEmail"
	}
	form.Username, form.Remembered = s.offeredName()
	if u, err := s.User(); err == nil {
		form.Username, form.Locked = u.Username, true
	}
	return Result{Status: Ask, Page: "login", Data: form}
}

// offeredName is what the username field holds at first: what was typed before,
// what the application hints, what this browser remembers.
func (s *Step) offeredName() (name string, remembered bool) {
	notes := s.login.Tab.AuthNotes
	if typed := notes[sessions.UsernameNote]; typed != "" {
		return typed, notes[sessions.RememberMeNote] == "true"
	}
	if hint := s.login.Tab.ClientNotes["login_hint"]; hint != "" {
		return hint, false
	}
	if c, err := s.r.Cookie(sessions.RememberMeCookie); err == nil && s.login.Realm.RememberMe {
		if text, ok := strings.CutPrefix(c.Value, "username:"); ok {
			if name, err := base64.RawURLEncoding.DecodeString(text); err == nil {
				return string(name), true
			}
		}
	}
	return "", false
}

func (c credentials) Submit(s *Step) Result {
	user, result := c.who(s)
	if result.Status == Failed {
		return result
	}
	if !c.password {
		s.setUser(user)
		return Result{Status: Success}
	}
	return s.checkPassword(user, s.form.Get("password"))
}

// who is the user that the form names; nil for nobody, which is not told before
// a password was asked for.
func (c credentials) who(s *Step) (*model.User, Result) {
	if user, err := s.User(); err == nil {
		return user, Result{}
	}
	typed := strings.TrimSpace(s.form.Get("username"))
	notes := s.login.Tab.AuthNotes
	notes[sessions.UsernameNote] = truncated(typed)
	delete(notes, sessions.RememberMeNote)
	if s.login.Realm.RememberMe && s.form.Get("rememberMe") != "" {
		notes[sessions.RememberMeNote] = "true"
	}
	if typed == "" {
		return nil, wrong("missingUsernameMessage")
	}
	user, err := s.p.accounts.Find(s.ctx, s.login.Realm, typed)
	switch {
	case err == nil:
		return user, Result{}
	case !problem.Is(err, problem.NotFound):
		return nil, s.broken(err)
	case !c.password:
		return nil, wrong("invalidUserMessage")
	}
	return nil, Result{}
}

// truncated bounds what a form makes us store.
func truncated(s string) string { return s[:min(len(s), 255)] }

// checkPassword compares a password with that of user, nil for nobody, and
// makes it the login's user.
func (s *Step) checkPassword(user *model.User, password string) Result {
	verdict, err := s.p.accounts.CheckPassword(s.ctx, s.login.Realm, user, password, s.login.Site.Remote)
	switch {
	case err != nil:
		return s.broken(err)
	case user == nil:
		return s.wrongGuess("", "user_not_found", "invalidUserMessage")
	case verdict == Locked:
		return s.wrongGuess(user.ID, "user_temporarily_disabled", "accountTemporarilyDisabledMessage")
	case verdict != Right:
		return s.wrongGuess(user.ID, "invalid_user_credentials", "invalidUserMessage")
	case !user.Enabled:
		result := s.wrongGuess(user.ID, "user_disabled", "accountDisabledMessage")
		result.Err = problem.Forbidden.Errorf("cannot log in: the account is disabled")
		return result
	}
	s.setUser(user)
	delete(s.login.Tab.AuthNotes, sessions.SSONote)
	s.login.Tab.AuthNotes[usedNote+passwordType] = "true"
	return Result{Status: Success}
}

// wrongGuess tells the events what is wrong with a form, and the user only what
// the message says. Of a grant the token endpoint tells.
func (s *Step) wrongGuess(userID, code, message string) Result {
	if s.direct == nil {
		s.p.Events.Publish(s.ctx, events.Event{Type: events.Login, Realm: s.login.Realm.Name, Client: s.login.Client.ClientID, User: userID,
			Remote: s.login.Site.Remote, Error: code})
	}
	return wrong(message)
}

// broken is a fault of ours in the middle of a form: logged, and asked again.
func (s *Step) broken(err error) Result {
	s.p.Log.Error().Err(err).Str("realm", s.login.Realm.Name).Msg("cannot check a login")
	result := wrong("internalError")
	if problem.Is(err, problem.Unavailable) {
		result = wrong("tooManyLogins")
	}
	result.Err = err
	return result
}
