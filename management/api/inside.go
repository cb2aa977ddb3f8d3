package api

import (
	"context"
	"time"

	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Inside is one operation of a caller for whom a part of this process speaks,
// as the console does for whoever is signed in to it.
type Inside struct {
	Caller    access.Caller
	Operation profiles.Operation
	// Via is the door that the caller came through, for the audit log.
	Via string
	// Again is a read that the caller's open page repeats by itself: the first one
	// is in the audit log, the repetitions are not. What is refused or changes
	// anything always is.
	Again bool
	// Emit, if not nil, takes the events of an operation whose answer is a stream,
	// one at a time.
	Emit func(event any) error
}

// Execute runs an operation from inside with the authorisation, masking and
// audit of every other door.
func (i *Interface) Execute(ctx context.Context, in Inside) (Response, error) {
	return i.execute(ctx, call{caller: in.Caller, via: in.Via, op: in.Operation, again: in.Again, emit: in.Emit})
}

// Allowed says whether the caller may run an operation now: nil, or why not. It
// is for offering only what will not be refused; Execute asks again.
func (i *Interface) Allowed(c access.Caller, op profiles.Operation) error {
	tree := i.config.Model.Tree()
	op.Address = op.Address.Canonical()
	c, err := access.Effective(c, tree)
	if err != nil {
		return err
	}
	return access.Authorize(c, op, tree)
}

// SignIn checks a name and a password and opens a session; remote ("host:port")
// is for the audit log. A wrong one is problem.Unauthorized.
func (i *Interface) SignIn(ctx context.Context, name, password, remote, via string) (token string, expires time.Time, err error) {
	caller, err := i.sessions.Basic(ctx, name, password)
	if err != nil {
		i.refuse(remote, via, err)
		return "", time.Time{}, err
	}
	return i.sessions.Open(ctx, caller)
}

// Session gives the caller of a session's token, and when it expires.
func (i *Interface) Session(ctx context.Context, token, remote string) (access.Caller, time.Time, error) {
	caller, err := i.sessions.Bearer(ctx, token)
	if err != nil {
		return caller, time.Time{}, err
	}
	caller.Remote = remote
	return caller, i.sessions.Expiry(token), nil
}

// Renew gives a further token of the session of a caller that Session gave.
func (i *Interface) Renew(ctx context.Context, c access.Caller) (token string, expires time.Time, err error) {
	return i.sessions.Open(ctx, c)
}

// SignOut ends the session of a caller that Session gave, with all its tokens.
func (i *Interface) SignOut(ctx context.Context, c access.Caller) error {
	return i.sessions.End(ctx, c)
}

// Anybody reports whether there is a management user at all: without one nobody
// can sign in.
func (i *Interface) Anybody(ctx context.Context) (bool, error) {
	users, err := i.config.Users.Users(ctx)
	return len(users) > 0, err
}
