// Package events owns what happens to users and clients as events: their names
// and form, and where they are published. It does not know who makes them.
package events

import (
	"context"
	"slices"

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

// Log publishes events to a log. The zero levels are debug for what succeeds
// and warn for what fails.
type Log struct {
	Log              zerolog.Logger
	Success, Failure Level
	Exclude          []string // names of events that are not published; with _ERROR for failures
}

// Level is the level of an event's line; the zero Level is the default one.
type Level struct {
	Set   bool
	Level zerolog.Level
}

func (l Level) or(def zerolog.Level) zerolog.Level {
	if l.Set {
		return l.Level
	}
	return def
}

// Publish writes the event as one line.
func (l Log) Publish(_ context.Context, e Event) {
	at, name := l.Success.or(zerolog.DebugLevel), string(e.Type)
	if e.Error != "" {
		at, name = l.Failure.or(zerolog.WarnLevel), name+"_ERROR"
	}
	if slices.Contains(l.Exclude, name) {
		return
	}
	line := l.Log.WithLevel(at)
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
