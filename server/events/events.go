// Package events owns what happens to users and clients as events: their names
// and form, and where they are published. It does not know who makes them.
package events

import (
	"context"

	"github.com/rs/zerolog"
)

// Type names what happened, as Keycloak does. A failure is the type with
// "_ERROR".
type Type string

// The types of events.
const (
	Login        Type = "LOGIN"
	Logout       Type = "LOGOUT"
	CodeToToken  Type = "CODE_TO_TOKEN"
	Refresh      Type = "REFRESH_TOKEN"
	ClientLogin  Type = "CLIENT_LOGIN"
	Introspect   Type = "INTROSPECT_TOKEN"
	UserInfo     Type = "USER_INFO_REQUEST"
	RevokeGrant  Type = "REVOKE_GRANT"
	ClientNotice Type = "CLIENT_INFO"
)

// Event is one thing that happened. It carries no secret.
type Event struct {
	Type    Type
	Realm   string // name
	Client  string // clientId
	User    string // id
	Session string // id
	Remote  string // address of the caller
	Error   string // "" is a success; else a code such as invalid_grant
	Reason  string // for people; of failures
	Details map[string]string
}

// Log publishes events to a log: failures as warnings.
type Log struct{ Log zerolog.Logger }

// Publish writes the event as one line.
func (l Log) Publish(_ context.Context, e Event) {
	line, name := l.Log.Debug(), string(e.Type)
	if e.Error != "" {
		line, name = l.Log.Warn(), name+"_ERROR"
	}
	for key, value := range map[string]string{"realm": e.Realm, "client": e.Client, "user": e.User, "session": e.Session, "remote": e.Remote, "error": e.Error, "reason": e.Reason} {
		if value != "" {
			line = line.Str(key, value)
		}
	}
	for key, value := range e.Details {
		line = line.Str(key, value)
	}
	line.Msg(name)
}
