package authentication

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Types of credentials.
const (
	passwordType    = "password"
	passwordHistory = "password-history"
	otpType         = "otp"
)

// Verdict is what a password check says.
type Verdict int

// The verdicts. Only Right logs in; the others look alike from outside.
const (
	Right Verdict = iota
	Wrong
	Locked // too many wrong guesses: not even the right one counts
)

// Accounts finds users and checks and changes their credentials. It is safe for
// concurrent use.
type Accounts struct {
	store  storage.Store
	hasher *passwords.Hasher
	clock  clock.Clock
	log    zerolog.Logger
	said   once
}

// NewAccounts makes an Accounts.
func NewAccounts(store storage.Store, hasher *passwords.Hasher, c clock.Clock, log zerolog.Logger) *Accounts {
	return &Accounts{store: store, hasher: hasher, clock: c, log: log}
}

// Find is the user that a person means by what it typed: a username, or where
// the realm allows that an email address. problem.NotFound for nobody.
func (a *Accounts) Find(ctx context.Context, realm *model.Realm, typed string) (u *model.User, err error) {
	typed = strings.TrimSpace(typed)
	err = a.store.View(ctx, func(tx storage.Tx) error {
		if realm.LoginWithEmail() && strings.Contains(typed, "@") {
			if u, err = tx.Users.ByEmail(ctx, realm.ID, typed); err == nil || !problem.Is(err, problem.NotFound) {
				return err
			}
		}
		u, err = tx.Users.ByUsername(ctx, realm.ID, typed)
		return err
	})
	if err == nil && u.IsServiceAccount() {
		return nil, problem.NotFound.Errorf("cannot log in as %q: it is a service account", typed)
	}
	return u, err
}

// Change applies a change to the newest state of a user, again when somebody
// else was faster.
func (a *Accounts) Change(ctx context.Context, realmID, id string, change func(*model.User) error) (*model.User, error) {
	const tries = 10 // others change the same user at most that often meanwhile
	for n := 1; ; n++ {
		var u *model.User
		err := a.store.Update(ctx, func(tx storage.Tx) error {
			stored, err := tx.Users.Get(ctx, realmID, id)
			if err != nil {
				return err
			}
			u = model.Clone(stored)
			if err := change(u); err != nil {
				return err
			}
			return tx.Users.Update(ctx, realmID, u)
		})
		if !problem.Is(err, problem.Conflict) || n == tries {
			return u, err
		}
	}
}

// Policy is a realm's password policy. One that cannot be read is logged once,
// and nothing but the defaults is then demanded.
func (a *Accounts) policy(realm *model.Realm) passwords.Policy {
	p, err := passwords.ParsePolicy(realm.PasswordPolicy)
	if err != nil && a.said.first("policy"+realm.ID+realm.PasswordPolicy) {
		a.log.Warn().Str("realm", realm.Name).Err(err).Msg("the password policy cannot be used: passwords cannot be changed")
	}
	return p
}

// nobody is who the failures of users that do not exist are counted for: the
// same work again, in one row for each realm that is never asked about.
var nobody = &model.User{ID: "nobody"}

// CheckPassword compares a password with a user's, who may be nil for nobody:
// the work is the same. With the realm's protection on, wrong guesses count, and
// after too many of them none is right for a while.
func (a *Accounts) CheckPassword(ctx context.Context, realm *model.Realm, u *model.User, password, remote string) (Verdict, error) {
	policy := a.policy(realm)
	if u == nil || len(password) > 4*passwords.MaxLength {
		return Wrong, errors.Join(a.hasher.Pretend(ctx, policy, ""), a.countFailure(ctx, realm, nobody, remote))
	}
	locked, err := a.locked(ctx, realm, u.ID)
	if err != nil {
		return Wrong, err
	}
	stored, err := passwordOf(u)
	if locked || problem.Is(err, problem.NotFound) {
		if locked {
			return Locked, a.hasher.Pretend(ctx, policy, "")
		}
		return Wrong, errors.Join(a.hasher.Pretend(ctx, policy, ""), a.countFailure(ctx, realm, u, remote))
	}
	if err != nil {
		a.log.Warn().Err(err).Str("realm", realm.Name).Str("user", u.ID).Msg("a stored password cannot be verified")
		return Wrong, a.hasher.Pretend(ctx, policy, "")
	}
	same, err := a.hasher.Verify(ctx, stored, password)
	if err != nil {
		return Wrong, err
	}
	if !same {
		return Wrong, a.countFailure(ctx, realm, u, remote)
	}
	if locked, err = a.locked(ctx, realm, u.ID); err != nil || locked {
		return Locked, err // guesses that ran beside this one reached the limit
	}
	if policy.Outdated(stored) {
		a.rehash(ctx, realm, u, policy, password)
	}
	return Right, nil
}

// rehash stores the password anew, as the policy asks. That it cannot is no
// reason to refuse the login.
func (a *Accounts) rehash(ctx context.Context, realm *model.Realm, u *model.User, policy passwords.Policy, password string) {
	fresh, err := a.hasher.Hash(ctx, policy, password)
	if err == nil {
		_, err = a.Change(ctx, realm.ID, u.ID, func(u *model.User) error {
			for i := range u.Credentials {
				if u.Credentials[i].Type == passwordType {
					return put(&u.Credentials[i], fresh)
				}
			}
			return problem.NotFound.Errorf("cannot renew a password hash: the password is gone")
		})
	}
	if err != nil {
		a.log.Warn().Err(err).Str("realm", realm.Name).Str("user", u.ID).Msg("cannot renew a password hash")
	}
}

// passwordOf is a user's stored password; problem.NotFound without one.
func passwordOf(u *model.User) (passwords.Hash, error) {
	for i := range u.Credentials {
		if u.Credentials[i].Type == passwordType {
			return hashOf(&u.Credentials[i])
		}
	}
	return passwords.Hash{}, problem.NotFound.Errorf("cannot check a password: the user has none")
}

func hashOf(c *model.Credential) (passwords.Hash, error) {
	if c.CredentialData == "" {
		return passwords.ParseOld(c.Algorithm, c.HashIterations, c.Salt, c.HashedSaltedValue)
	}
	return passwords.Parse(c.CredentialData, c.SecretData)
}

// put makes a credential hold a hash, in the present form.
func put(c *model.Credential, h passwords.Hash) (err error) {
	c.CredentialData, c.SecretData, err = h.Marshal()
	c.Value, c.HashedSaltedValue, c.Salt, c.Algorithm, c.HashIterations = "", "", "", "", 0
	return err
}

// HasPassword reports whether a user has a password at all.
func HasPassword(u *model.User) bool {
	_, err := passwordOf(u)
	return !problem.Is(err, problem.NotFound)
}

// NewPassword is the credential of a password by a realm's policy, without
// checking the policy's rules: for administrators and imports.
func (a *Accounts) NewPassword(ctx context.Context, realm *model.Realm, password string, temporary bool) (model.Credential, error) {
	c := model.Credential{ID: uuid.NewString(), Type: passwordType, CreatedDate: a.clock.Now().UnixMilli(), Temporary: temporary}
	h, err := a.hasher.Hash(ctx, a.policy(realm), password)
	if err == nil {
		err = put(&c, h)
	}
	return c, err
}

// SetPassword changes a user's own password: the policy's rule that it breaks,
// or nil when it is stored. done names a required action that this fulfils.
func (a *Accounts) SetPassword(ctx context.Context, realm *model.Realm, u *model.User, password, done string) (*passwords.Violation, error) {
	policy, err := passwords.ParsePolicy(realm.PasswordPolicy)
	if err != nil {
		return &passwords.Violation{Message: "invalidPasswordGenericMessage"}, nil
	}
	if password == "" {
		return &passwords.Violation{Message: "missingPasswordMessage"}, nil
	}
	if v := policy.Check(password, passwords.Subject{Username: u.Username, Email: u.Email}); v != nil {
		return v, nil
	}
	if v, err := a.repeats(ctx, policy, u, password); v != nil || err != nil {
		return v, err
	}
	fresh, err := a.NewPassword(ctx, realm, password, false)
	if err != nil {
		return nil, err
	}
	_, err = a.Change(ctx, realm.ID, u.ID, func(u *model.User) error {
		u.Credentials = replaced(u.Credentials, fresh, policy.History)
		u.RequiredActions = without(u.RequiredActions, done)
		return nil
	})
	return nil, err
}
