package controller

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/consensus"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

// kindUser is the kind of record that holds a management user; the key is the
// user's name.
const kindUser = "user"

// users keeps management users in replicated records. It implements
// access.Store.
type users struct{ replica *replica.Replica }

// User gives one user.
func (u users) User(_ context.Context, name string) (access.User, error) {
	r, ok := u.replica.Record(kindUser, name)
	if !ok {
		return access.User{}, problem.NotFound.Errorf("cannot find user %q", name)
	}
	return decodeUser(r)
}

// Users gives all users, sorted by name.
func (u users) Users(context.Context) ([]access.User, error) {
	list := []access.User{}
	for _, r := range u.replica.Records(kindUser) {
		user, err := decodeUser(r)
		if err != nil {
			return nil, err
		}
		list = append(list, user)
	}
	return list, nil
}

// PutUser adds or replaces a user.
func (u users) PutUser(ctx context.Context, user access.User) error {
	value, err := json.Marshal(user)
	if err != nil {
		return problem.Internal.Errorf("cannot encode user %q: %w", user.Name, err)
	}
	return repeatable(u.replica.Put(ctx, kindUser, user.Name, value, domain.Any))
}

// RemoveUser removes a user.
func (u users) RemoveUser(ctx context.Context, name string) error {
	r, ok := u.replica.Record(kindUser, name)
	if !ok {
		return problem.NotFound.Errorf("cannot remove user %q: there is none of that name", name)
	}
	return repeatable(u.replica.Delete(ctx, kindUser, name, r.Version))
}

// repeatable says of the error of an operation's only write when it certainly wrote
// nothing: the caller may wait for the new leader and repeat it.
func repeatable(err error) error {
	if errors.Is(err, consensus.ErrUnknownOutcome) || !errors.Is(err, consensus.ErrNotLeading) && !errors.Is(err, peers.ErrNoLeader) {
		return err
	}
	return api.NotLeader{Cause: err}
}

// loginPatience bounds how long a login waits to hear of the leader's users. Without
// a majority people log in with what this controller knows.
const loginPatience = time.Second

// Fresh implements access.Store.
func (u users) Fresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	_ = u.replica.Fresh(ctx) // what is known serves where the newest cannot be had
}

func decodeUser(r domain.Record) (access.User, error) {
	var user access.User
	if err := json.Unmarshal(r.Value, &user); err != nil {
		return user, problem.Internal.Errorf("cannot read user %q: %w", r.Key, err)
	}
	return user, nil
}
