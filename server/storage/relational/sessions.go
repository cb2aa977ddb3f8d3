package relational

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Sessions implements storage.Store: reads go to the database directly, each
// write through the commit log.
func (s *Store) Sessions() storage.Sessions {
	read := conn{s.cfg.Read, s}
	if s.plans != nil {
		read.runner = s.plans
	}
	return storage.Sessions{
		Users:           groupedUserSessions{userSessions{read}},
		Authentications: groupedAuthentications{authentications{read}},
		SingleUse:       groupedSingleUse{singleUse{read}},
		LoginFailures:   groupedLoginFailures{loginFailures{read}},
		// Their queries come in many texts: not with plans.
		Events:      groupedEvents[model.Event, *model.Event]{userEvents{conn{s.cfg.Read, s}, false}},
		AdminEvents: groupedEvents[model.AdminEvent, *model.AdminEvent]{adminEvents{conn{s.cfg.Read, s}, true}},
	}
}

// ChangeSessions implements storage.Store.
func (s *Store) ChangeSessions(ctx context.Context, fn func(storage.Sessions) error) error {
	return s.log.do(ctx, "", false, func(_ context.Context, c conn) error { return fn(c.sessions()) })
}

// sessions works inside c's transaction.
func (c conn) sessions() storage.Sessions {
	return storage.Sessions{
		Users: userSessions{c}, Authentications: authentications{c}, SingleUse: singleUse{c}, LoginFailures: loginFailures{c},
		Events: userEvents{c, false}, AdminEvents: adminEvents{c, true},
	}
}

// now is the second it is.
func (c conn) now() int64 { return c.s.cfg.Options.Clock.Now().Unix() }

// live reports whether something that expires at a second is still there.
func (c conn) live(expires int64) bool { return expires == 0 || expires > c.now() }

// The grouped types read as the embedded ones do and write through the log.
type (
	groupedUserSessions    struct{ userSessions }
	groupedAuthentications struct{ authentications }
	groupedSingleUse       struct{ singleUse }
	groupedLoginFailures   struct{ loginFailures }
)

func (g groupedUserSessions) Create(ctx context.Context, session *model.UserSession) error {
	return g.c.s.log.do(ctx, "user/"+session.ID, false, func(ctx context.Context, c conn) error { return userSessions{c}.Create(ctx, session) })
}

func (g groupedUserSessions) Change(ctx context.Context, key storage.SessionKey, fn func(*model.UserSession) error) error {
	return g.c.s.log.do(ctx, "user/"+key.ID, false, func(ctx context.Context, c conn) error { return userSessions{c}.Change(ctx, key, fn) })
}

func (g groupedUserSessions) Delete(ctx context.Context, key storage.SessionKey) (found bool, err error) {
	err = g.c.s.log.do(ctx, "user/"+key.ID, false, func(ctx context.Context, c conn) (err error) {
		found, err = userSessions{c}.Delete(ctx, key)
		return err
	})
	return found && err == nil, err
}

func (g groupedAuthentications) Create(ctx context.Context, session *model.AuthenticationSession) error {
	return g.c.s.log.do(ctx, "authentication/"+session.ID, true, func(ctx context.Context, c conn) error { return authentications{c}.Create(ctx, session) })
}

func (g groupedAuthentications) Change(ctx context.Context, realm, id string, fn func(*model.AuthenticationSession) error) error {
	return g.c.s.log.do(ctx, "authentication/"+id, false, func(ctx context.Context, c conn) error { return authentications{c}.Change(ctx, realm, id, fn) })
}

func (g groupedAuthentications) Delete(ctx context.Context, realm, id string) (found bool, err error) {
	err = g.c.s.log.do(ctx, "authentication/"+id, true, func(ctx context.Context, c conn) (err error) {
		found, err = authentications{c}.Delete(ctx, realm, id)
		return err
	})
	return found && err == nil, err
}

func (g groupedSingleUse) Put(ctx context.Context, realm, key string, value []byte, expires int64) error {
	return g.c.s.log.do(ctx, "single/"+key, true, func(ctx context.Context, c conn) error { return singleUse{c}.Put(ctx, realm, key, value, expires) })
}

func (g groupedSingleUse) Take(ctx context.Context, realm, key string) (value []byte, err error) {
	err = g.c.s.log.do(ctx, "single/"+key, true, func(ctx context.Context, c conn) (err error) {
		value, err = singleUse{c}.Take(ctx, realm, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (g groupedLoginFailures) Change(ctx context.Context, realm, user string, fn func(*model.LoginFailure) error) error {
	return g.c.s.log.do(ctx, "failure/"+user, false, func(ctx context.Context, c conn) error { return loginFailures{c}.Change(ctx, realm, user, fn) })
}

func (g groupedLoginFailures) Delete(ctx context.Context, realm, user string) error {
	return g.c.s.log.do(ctx, "failure/"+user, true, func(ctx context.Context, c conn) error { return loginFailures{c}.Delete(ctx, realm, user) })
}
