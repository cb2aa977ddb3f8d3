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

// GrantError is a refused grant: what the token endpoint answers with status
// 400 or, for Unauthorized, 401.
type GrantError struct {
	Code        string // of RFC 6749, section 5.2
	Description string
	// Unauthorized is Keycloak's answer to a wrong user or password.
	Unauthorized bool
}

// Error is the code and the description.
func (e *GrantError) Error() string { return e.Code + ": " + e.Description }

// direct is what a flow without a browser adds to a Step.
type direct struct{ refusal *GrantError }

func (d *direct) failed(r Result) {
	if d.refusal == nil && r.OAuth[0] != "" {
		d.refusal = &GrantError{Code: r.OAuth[0], Description: r.OAuth[1], Unauthorized: r.OAuth[0] == "invalid_grant" && r.OAuth[1] == badCredentials}
	}
}

const badCredentials = "Invalid user credentials"

func noGrant(code, description string) Result {
	return Result{Status: Failed, OAuth: [2]string{code, description}}
}

// Grant runs a realm's direct-grant flow: the user whose name, password and
// one-time code a client sends. Refusals are *GrantError; all else is a fault of
// ours. typed is the name as it was sent.
func (p *Processor) Grant(ctx context.Context, site addresses.Site, realm *model.Realm, client *model.Client, form url.Values) (u *model.User, typed string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	if err != nil {
		return nil, "", err
	}
	l := &sessions.Login{Site: site, Realm: realm, Client: client, Root: &model.AuthenticationSession{}, Tab: &model.AuthenticationTab{ClientID: client.ID}}
	s := p.step(nil, r, l)
	s.direct, s.form = &direct{}, form
	root, err := p.tree(ctx, realm, client, "direct_grant")
	if err != nil {
		return nil, "", err
	}
	typed = strings.TrimSpace(form.Get("username"))
	ok, c, err := s.flow(root)
	switch {
	case s.direct.refusal != nil:
		return nil, typed, s.direct.refusal
	case err != nil && !isRefusal(err):
		return nil, typed, err
	case err != nil || c != nil || !ok || l.Tab.UserID == "":
		return nil, typed, &GrantError{Code: "invalid_grant", Description: badCredentials, Unauthorized: true}
	}
	if u, err = s.User(); err != nil {
		return nil, typed, err
	}
	if len(p.pending(realm, u)) > 0 {
		return nil, typed, &GrantError{Code: "invalid_grant", Description: "Account is not fully set up"}
	}
	return u, typed, nil
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
		return noGrant("invalid_request", "Missing parameter: username")
	}
	user, err := s.p.accounts.Find(s.ctx, s.login.Realm, typed)
	if problem.Is(err, problem.NotFound) {
		if _, err := s.p.accounts.CheckPassword(s.ctx, s.login.Realm, nil, s.form.Get("password"), ""); err != nil {
			return noGrant("temporarily_unavailable", "Too many logins are waiting")
		}
		return noGrant("invalid_grant", badCredentials)
	}
	if err != nil {
		s.p.Log.Error().Err(err).Str("realm", s.login.Realm.Name).Msg("cannot look up a user")
		return noGrant("server_error", "Cannot check the credentials")
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
		return noGrant("invalid_grant", badCredentials)
	}
	result := s.checkPassword(u, s.form.Get("password"))
	if result.Status != Failed {
		return result
	}
	switch result.Notice.Key {
	case "accountDisabledMessage":
		return noGrant("invalid_grant", "Account disabled")
	case "tooManyLogins":
		return noGrant("temporarily_unavailable", "Too many logins are waiting")
	case "internalError":
		return noGrant("server_error", "Cannot check the credentials")
	}
	return noGrant("invalid_grant", badCredentials)
}

// directOTP checks the one-time code of a grant.
type directOTP struct{}

func (directOTP) NeedsUser() bool                        { return true }
func (directOTP) Configured(_ *Step, u *model.User) bool { return len(devices(u)) > 0 }
func (directOTP) Submit(s *Step) Result                  { return Result{Status: Attempted} }

func (directOTP) Begin(s *Step) Result {
	u, err := s.User()
	if err != nil || s.direct == nil {
		return noGrant("invalid_grant", badCredentials)
	}
	typed := s.form.Get("otp")
	if typed == "" {
		typed = s.form.Get("totp")
	}
	if result := s.checkOTP(u, "", typed); result.Status == Success {
		return result
	}
	return noGrant("invalid_grant", badCredentials)
}
