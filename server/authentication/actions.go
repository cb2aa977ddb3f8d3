package authentication

import (
	"cmp"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/themes"
)

// Action is something a user must do before the login completes. Begin asks,
// Submit takes the form; with Success the action is taken off the user.
type Action interface {
	Begin(s *Step, u *model.User) Result
	Submit(s *Step, u *model.User) Result
}

const updatePassword = "UPDATE_PASSWORD"

// actions is every required action that is known here, by Keycloak's names.
func actions() map[string]Action {
	return map[string]Action{
		updatePassword:         newPassword{},
		"UPDATE_PROFILE":       profile{},
		"VERIFY_PROFILE":       profile{},
		"TERMS_AND_CONDITIONS": terms{},
		"terms_and_conditions": terms{},
		"CONFIGURE_TOTP":       otpSetup{},
	}
}

// pending lists what a user must do, in the realm's order. An action that the
// realm switched off or that is not known here stays with the user and is not
// asked for.
func (p *Processor) pending(realm *model.Realm, u *model.User) []string {
	due := slices.Clone(u.RequiredActions)
	if (temporary(u) || p.accounts.passwordExpired(realm, u)) && !slices.Contains(due, updatePassword) {
		due = append(due, updatePassword)
	}
	order := map[string]int{}
	for i := range realm.RequiredActions {
		if a := &realm.RequiredActions[i]; !a.Enabled {
			due = without(due, a.Alias)
		} else {
			order[a.Alias] = a.Priority
		}
	}
	due = slices.DeleteFunc(due, func(name string) bool {
		if p.actions[name] != nil {
			return false
		}
		if p.said.first("action" + realm.ID + name) {
			p.Log.Warn().Str("realm", realm.Name).Str("action", name).Msg("this required action is kept but not known here: it is not asked for")
		}
		return true
	})
	slices.SortStableFunc(due, func(x, y string) int { return cmp.Compare(order[x], order[y]) })
	return slices.Compact(due)
}

// passwordExpired reports whether the policy wants a new password by now.
func (a *Accounts) passwordExpired(realm *model.Realm, u *model.User) bool {
	days := a.policy(realm).ExpireDays
	for i := range u.Credentials {
		if c := &u.Credentials[i]; days > 0 && c.Type == passwordType {
			return a.clock.Now().After(time.UnixMilli(c.CreatedDate).Add(time.Duration(days) * 24 * time.Hour))
		}
	}
	return false
}

// temporary reports a password that an administrator set to be changed at once:
// files say it at the credential.
func temporary(u *model.User) bool {
	return slices.ContainsFunc(u.Credentials, func(c model.Credential) bool { return c.Type == passwordType && c.Temporary })
}

func (s *Step) requiredActions(u *model.User) (*Challenge, error) {
	due := s.p.pending(s.login.Realm, u)
	if len(due) == 0 {
		return nil, nil //nolint:nilnil // nothing to do, no error
	}
	name := due[0]
	action := s.p.actions[name]
	return &Challenge{Place: placeAction, Execution: name, Result: action.Begin(s, u), submit: func(s *Step) Result {
		result := action.Submit(s, u)
		if result.Status == Success {
			return s.settled(u.ID, name)
		}
		return result
	}}, nil
}

// settled takes a fulfilled action off the user.
func (s *Step) settled(userID, name string) Result {
	u, err := s.p.accounts.Change(s.ctx, s.login.Realm.ID, userID, func(u *model.User) error {
		u.RequiredActions = without(u.RequiredActions, name)
		return nil
	})
	if err != nil {
		return s.broken(err)
	}
	s.setUser(u)
	return Result{Status: Success}
}

// newPassword asks for a password of the user's own choice.
type newPassword struct{}

// PasswordForm is the data of the page that asks for a new password.
type PasswordForm struct {
	Links
	Username string
}

func (newPassword) Begin(_ *Step, u *model.User) Result {
	return Result{Status: Ask, Page: "update-password", Data: &PasswordForm{Username: u.Username},
		Notice: &themes.Notice{Kind: themes.Warning, Key: "updatePasswordMessage"}}
}

func (newPassword) Submit(s *Step, u *model.User) Result {
	fresh := s.form.Get("password-new")
	if fresh != s.form.Get("password-confirm") {
		return wrong("notMatchPasswordMessage")
	}
	v, err := s.p.accounts.SetPassword(s.ctx, s.login.Realm, u, fresh, updatePassword)
	if err != nil {
		return s.broken(err)
	}
	return broke(v)
}

func broke(v *passwords.Violation) Result {
	if v == nil {
		return Result{Status: Success}
	}
	return wrong(v.Message, v.Arguments...)
}

// profile asks for name and email address.
type profile struct{}

// ProfileForm is the data of the page that asks for name and email address.
type ProfileForm struct {
	Links
	Email, FirstName, LastName string
}

func (profile) Begin(_ *Step, u *model.User) Result {
	return Result{Status: Ask, Page: "update-profile", Data: &ProfileForm{Email: u.Email, FirstName: u.FirstName, LastName: u.LastName},
		Notice: &themes.Notice{Kind: themes.Info, Key: "updateProfileMessage"}}
}

func (profile) Submit(s *Step, u *model.User) Result {
	text := func(name string) string { return truncated(strings.TrimSpace(s.form.Get(name))) }
	email, first, last := text("email"), text("firstName"), text("lastName")
	switch address, err := mail.ParseAddress(email); {
	case email == "":
		return wrong("missingEmailMessage")
	case err != nil || address.Address != email:
		return wrong("invalidEmailMessage")
	case first == "":
		return wrong("missingFirstNameMessage")
	case last == "":
		return wrong("missingLastNameMessage")
	}
	if taken, err := s.emailTaken(email, u.ID); taken || err != nil {
		if err != nil {
			return s.broken(err)
		}
		return wrong("emailExistsMessage")
	}
	_, err := s.p.accounts.Change(s.ctx, s.login.Realm.ID, u.ID, func(u *model.User) error {
		u.EmailVerified = u.EmailVerified && strings.EqualFold(u.Email, email)
		u.Email, u.FirstName, u.LastName = email, first, last
		return nil
	})
	if problem.Is(err, problem.Conflict) {
		return wrong("emailExistsMessage")
	}
	if err != nil {
		return s.broken(err)
	}
	return Result{Status: Success}
}

func (s *Step) emailTaken(email, by string) (taken bool, err error) {
	if s.login.Realm.DuplicateEmailsAllowed {
		return false, nil
	}
	err = s.p.Store.View(s.ctx, func(tx storage.Tx) error {
		u, err := tx.Users.ByEmail(s.ctx, s.login.Realm.ID, email)
		taken = err == nil && u.ID != by
		return err
	})
	if problem.Is(err, problem.NotFound) {
		err = nil
	}
	return taken, err
}

// terms asks the user to accept the realm's terms and conditions.
type terms struct{}

func (terms) Begin(*Step, *model.User) Result {
	return Result{Status: Ask, Page: "terms", Data: &struct{ Links }{}}
}

func (terms) Submit(s *Step, _ *model.User) Result {
	if s.form.Get("cancel") != "" {
		return Result{Status: Denied}
	}
	if s.form.Get("accept") == "" {
		return Result{Status: Failed}
	}
	return Result{Status: Success}
}
