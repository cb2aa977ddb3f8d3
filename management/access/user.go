package access

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// User is a management user as it is kept.
type User struct {
	Name     string   `json:"name"`
	Verifier Verifier `json:"verifier"`
	Grants   []Grant  `json:"grants"`
	// Generation rises with every change of the password, which ends the
	// sessions opened with the one before.
	Generation uint64 `json:"generation"`
}

// Store keeps management users: a controller in replicated records, a
// standalone server in a file (FileStore). A Store is safe for concurrent use.
type Store interface {
	// User gives one user, or a problem.NotFound.
	User(ctx context.Context, name string) (User, error)
	// Users gives all users, sorted by name.
	Users(ctx context.Context) ([]User, error)
	// PutUser adds or replaces the user of that name.
	PutUser(ctx context.Context, u User) error
	// RemoveUser removes a user, or gives a problem.NotFound.
	RemoveUser(ctx context.Context, name string) error
	// Fresh returns when the store holds all users that were added and changed,
	// anywhere, before it was called, or when it cannot learn of them soon. A login
	// asks for it: a user who was added a moment ago may log in somewhere else.
	Fresh(ctx context.Context)
}

// nameLimit is the most characters of a user's name.
const nameLimit = 64

// passwordLimit bounds the work of one login.
const passwordLimit = 1024

// CheckName refuses a name that could be mistaken in a log, an address or a
// SCRAM message.
func CheckName(name string) error {
	bad := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-@", r)
	}
	switch {
	case name == "":
		return problem.Invalid.Errorf("cannot add a user without a name")
	case len([]rune(name)) > nameLimit:
		return problem.Invalid.Errorf("cannot use a user name of more than %d characters", nameLimit)
	case strings.ContainsFunc(name, bad):
		return problem.Invalid.Errorf("cannot use user name %q: only letters, digits and . _ - @ are allowed", name)
	case name == LocalSuperUser().Name:
		return problem.Invalid.Errorf("cannot use user name %q: it stands for the local socket's caller", name)
	}
	return nil
}

// restricted are the passwords that the guide refuses.
var restricted = []string{"root", "admin", "administrator"}

// PasswordRules are the rules of the installation guide ("Setup Slave
// Connection to Domain Controller"), one a line, to be shown before a prompt.
func PasswordRules() []string {
	return []string{
		"The password should not be one of the following restricted values {" + strings.Join(restricted, ", ") + "}",
		"The password should contain at least 8 characters, 1 alphabetic character(s), 1 digit(s), 1 non-alphanumeric symbol(s)",
		"The password should be different from the username",
	}
}

// CheckPassword holds a password against PasswordRules and names the first it
// breaks. The error does not contain the password.
func CheckPassword(name, password string) error {
	rules := PasswordRules()
	refuse := func(rule int) error {
		return problem.Invalid.Errorf("cannot use this password for %q: %s", name, strings.ToLower(rules[rule][:1])+rules[rule][1:])
	}
	symbol := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	switch {
	case slices.Contains(restricted, strings.ToLower(password)):
		return refuse(0)
	case strings.EqualFold(name, password):
		return refuse(2)
	case len([]rune(password)) < 8, !strings.ContainsFunc(password, unicode.IsLetter),
		!strings.ContainsFunc(password, unicode.IsDigit), !strings.ContainsFunc(password, symbol):
		return refuse(1)
	case len(password) > passwordLimit:
		return problem.Invalid.Errorf("cannot use a password of more than %d bytes", passwordLimit)
	}
	return nil
}

// NewUser makes a user of a name, a password and grants that keep the rules.
func NewUser(name, password string, grants []Grant) (User, error) {
	if err := CheckName(name); err != nil {
		return User{}, err
	}
	if err := CheckPassword(name, password); err != nil {
		return User{}, err
	}
	if len(grants) == 0 {
		return User{}, problem.Invalid.Errorf("cannot add user %q without a role: the roles are %v", name, Roles())
	}
	v, err := NewVerifier(name, password)
	return User{Name: name, Verifier: v, Grants: grants, Generation: 1}, err
}
