package storage

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// EventLog keeps what happened in realms, until it is cleared.
type EventLog[E model.Happening] interface {
	// Add keeps an event, generating its id if it has none.
	Add(ctx context.Context, event E) error
	// List gives the events of a realm, the newest first.
	List(ctx context.Context, query EventQuery) ([]E, error)
	Count(ctx context.Context, query EventQuery) (int, error)
	// Clear forgets the realm's events that happened before a moment
	// (milliseconds since 1970), or all of them if that is 0.
	Clear(ctx context.Context, realm string, before int64) error
}

// EventQuery narrows a list of events of one realm; empty fields are any.
type EventQuery struct {
	Realm     string   // the realm's id
	Types     []string // one of them
	Client    string   // clientId
	User      string   // id
	Remote    string   // address
	Resources []string // of admin events: one of these types
	Path      string   // of admin events: part of the resource's path
	From, To  int64    // milliseconds since 1970, both included; 0 is any
	First     int
	Max       int // 0 is all
}
