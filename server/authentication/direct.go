package authentication

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
)

// direct is what a flow without a browser adds to a Step: its refusal.
type direct struct{ refusal error }

func (d *direct) failed(r Result) {
	if d.refusal == nil {
		d.refusal = r.Err
	}
}

func noGrant(err error) Result { return Result{Status: Failed, Err: err} }

func badCredentials() error {
	return problem.Unauthorized.Errorf("cannot log in: the user or a credential is wrong")
}

// VerifyPassword runs a realm's direct-grant flow: it gives the user whose
// username, password and, where the user has a device for it, one-time code
// ("totp" or "otp") are in the form. Errors: problem.Unauthorized for wrong
// credentials or after too many of them, problem.Forbidden for a disabled
// account, problem.Precondition when a required action waits, problem.Invalid
// without a username, problem.Unavailable when too many logins are waiting.
func (p *Processor) VerifyPassword(ctx context.Context, realm *model.Realm, client *model.Client, form url.Values, remote string) (*model.User, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	if err != nil {
		return nil, err
	}
	l := &sessions.Login{Site: addresses.Site{Remote: remote}, Realm: realm, Client: client,
		Root: &model.AuthenticationSession{}, Tab: &model.AuthenticationTab{ClientID: client.ID}}
	s := p.step(nil, r, l)
	s.direct, s.form = &direct{}, form
	root, err := p.tree(ctx, realm, client, "direct_grant")
	if err != nil {
		return nil, err
	}
	ok, c, err := s.flow(root)
	switch {
	case s.direct.refusal != nil:
		return nil, s.direct.refusal
	case err != nil && !isRefusal(err):
		return nil, err
	case err != nil || c != nil || !ok || l.Tab.UserID == "":
		return nil, badCredentials()
	}
	u, err := s.User()
	if err != nil {
		return nil, err
	}
	if due := p.pending(realm, u); len(due) > 0 {
		return nil, problem.Precondition.Errorf("cannot log in: the account is not fully set up: %v", due)
	}
	return u, p.accounts.Succeeded(ctx, realm, u.ID)
}

func isRefusal(err error) bool {
	var no *refusal
	return asRefusal(err, &no)
}

// directUsername takes the username of a grant. Nobody learns from it whether
// there is such a user: that is told with the password.
type directUsername struct{}

func (directUsername) NeedsUser() bool                    { return false }
func (directUsername) Configured(*Step, *model.User) bool { return true }
func (directUsername) Submit(s *Step) Result              { return Result{Status: Attempted} }

func (directUsername) Begin(s *Step) Result {
	typed := strings.TrimSpace(s.form.Get("username"))
	if s.direct == nil || typed == "" {
		return noGrant(problem.Invalid.Errorf("cannot log in: the parameter username is missing"))
	}
	user, err := s.p.accounts.Find(s.ctx, s.login.Realm, typed)
	if problem.Is(err, problem.NotFound) {
		if _, err := s.p.accounts.CheckPassword(s.ctx, s.login.Realm, nil, s.form.Get("password"), ""); err != nil {
			return noGrant(err)
		}
		return noGrant(badCredentials())
	}
	if err != nil {
		return noGrant(err)
	}
	s.setUser(user)
	return Result{Status: Success}
}

// directPassword checks the password of a grant.
type directPassword struct{}

func (directPassword) NeedsUser() bool                    { return true }
func (directPassword) Configured(*Step, *model.User) bool { return true }
func (directPassword) Submit(s *Step) Result              { return Result{Status: Attempted} }

func (directPassword) Begin(s *Step) Result {
	u, err := s.User()
	if err != nil || s.direct == nil {
		return noGrant(badCredentials())
	}
	result := s.checkPassword(u, s.form.Get("password"))
	if result.Status == Failed && result.Err == nil {
		return noGrant(badCredentials())
	}
	return result
}

// directOTP checks the one-time code of a grant.
type directOTP struct{}

func (directOTP) NeedsUser() bool                        { return true }
func (directOTP) Configured(_ *Step, u *model.User) bool { return len(devices(u)) > 0 }
func (directOTP) Submit(s *Step) Result                  { return Result{Status: Attempted} }

func (directOTP) Begin(s *Step) Result {
	u, err := s.User()
	if err != nil || s.direct == nil {
		return noGrant(badCredentials())
	}
	typed := s.form.Get("otp")
	if typed == "" {
		typed = s.form.Get("totp")
	}
	result := s.checkOTP(u, "", typed)
	if result.Status == Failed && result.Err == nil {
		return noGrant(badCredentials())
	}
	return result
}
