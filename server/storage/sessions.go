package storage

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Sessions is what lives for minutes to months and is written by every login.
type Sessions struct {
	Users           UserSessions
	Authentications AuthenticationSessions
	SingleUse       SingleUse
	LoginFailures   LoginFailures
	Events          EventLog[*model.Event]
	AdminEvents     EventLog[*model.AdminEvent]
}

// SessionKey names a user session.
type SessionKey struct {
	Realm   string // the realm's id
	ID      string
	Offline bool
}

// UserSessions keeps user sessions, each with its client sessions. What Get and
// List give belongs to the caller.
type UserSessions interface {
	// Get gives the session, or NotFound; an expired one is not found.
	Get(ctx context.Context, key SessionKey) (*model.UserSession, error)
	// Create keeps a new session with its Clients. An id that is taken is a Conflict.
	Create(ctx context.Context, session *model.UserSession) error
	// Change reads the session, lets fn change it and its Clients, and writes what
	// changed. No other change of the session happens meanwhile, on any server. If
	// fn fails nothing is written and its error returned.
	Change(ctx context.Context, key SessionKey, fn func(*model.UserSession) error) error
	// Touch notes that the session and, unless client is "", its session with that
	// client (by id) were used at the second at, and are not to expire before
	// expires. Touches are collected and written within a few seconds; Get on this
	// server sees them at once. A crash may lose the last ones.
	Touch(ctx context.Context, key SessionKey, client string, at, expires int64) error
	// Delete removes the session. Deleting what is not there is not an error:
	// found tells.
	Delete(ctx context.Context, key SessionKey) (found bool, err error)
	// List gives sessions, the oldest first.
	List(ctx context.Context, query SessionQuery) ([]*model.UserSession, error)
	Count(ctx context.Context, query SessionQuery) (int, error)
}

// SessionQuery narrows a list of sessions of one realm.
type SessionQuery struct {
	Realm   string // the realm's id
	User    string // the user's id
	Client  string // the client's id: sessions used with it
	Offline bool
	First   int
	Max     int // 0 is all
}

// AuthenticationSessions keeps logins that are under way. What Get gives
// belongs to the caller.
type AuthenticationSessions interface {
	Get(ctx context.Context, realm, id string) (*model.AuthenticationSession, error)
	Create(ctx context.Context, session *model.AuthenticationSession) error
	// Change is to authentication sessions what UserSessions.Change is to sessions.
	Change(ctx context.Context, realm, id string, fn func(*model.AuthenticationSession) error) error
	Delete(ctx context.Context, realm, id string) (found bool, err error)
}

// SingleUse keeps objects that may be used once: authorization codes, action
// tokens, used assertions. It holds across all servers and crashes.
type SingleUse interface {
	// Put keeps value under key until the second expires. A key that is taken and
	// not expired is a Conflict.
	Put(ctx context.Context, realm, key string, value []byte, expires int64) error
	// Take gives the value and removes it: of any number of takers one gets it,
	// the others NotFound.
	Take(ctx context.Context, realm, key string) ([]byte, error)
	// Peek gives the value and leaves it.
	Peek(ctx context.Context, realm, key string) ([]byte, error)
}

// LoginFailures counts failed logins per user.
type LoginFailures interface {
	// Get gives the count, or NotFound.
	Get(ctx context.Context, realm, user string) (*model.LoginFailure, error)
	// Change lets fn change the count (a new one if there was none); no other
	// change of it happens meanwhile, on any server. If fn fails nothing is written
	// and its error returned.
	Change(ctx context.Context, realm, user string, fn func(*model.LoginFailure) error) error
	// Delete forgets one user's failures, or all of the realm's if user is "".
	Delete(ctx context.Context, realm, user string) error
}
