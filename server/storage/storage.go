// Package storage is the contract of what the identity server keeps: realms
// and what is in them, users, sessions, single-use objects, the start-up lock.
// Its drivers (sqlite, postgres) own SQL; storagetest is the suite that every
// driver and decorator passes. It must not know HTTP, protocols or how secrets
// are made.
//
// Errors: problem.NotFound when what was named is not there, problem.Conflict
// when a name or id is taken or a version is old, problem.Unavailable when the
// database cannot be reached.
package storage

import (
	"context"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Store is one server's access to the shared database. It is safe for
// concurrent use. What it returns may be shared with other requests: clone a
// noun (model.Clone) before changing it.
type Store interface {
	// View runs fn for reading. It sees its own server's completed updates; two
	// reads in one View may see different moments.
	View(ctx context.Context, fn func(Tx) error) error

	// Update runs fn in one transaction: all of it is committed and durable when
	// Update returns nil, or none of it. fn may run again when the database asks
	// for a retry, so it must not have effects of its own, and it must reach the
	// store through its Tx only: a call of the Store itself may wait for it for ever.
	Update(ctx context.Context, fn func(Tx) error) error

	// Sessions are the short-lived things. Each of its calls that writes is
	// committed together with those of other requests and durable when it returns.
	Sessions() Sessions

	// ChangeSessions runs fn as one such write: all of it is committed, or none.
	// fn runs alone in a transaction that other requests wait for (and may run
	// again): no I/O, no long work and no call of the Store in it. The same holds
	// for the functions given to Change.
	ChangeSessions(ctx context.Context, fn func(Sessions) error) error

	// Lock takes the lock called name, which holds across all servers of the
	// database, waiting at most wait (problem.Timeout, naming the holder). A
	// holder that dies frees it.
	Lock(ctx context.Context, name string, wait time.Duration) (Unlock, error)

	// Status tells how the database does.
	Status(ctx context.Context) (Status, error)

	// Close ends the store; calls under way complete or fail.
	Close() error
}

// Unlock frees a lock. It may be called more than once.
type Unlock func() error

// Status is how a database does.
type Status struct {
	Driver  string // "sqlite" or "postgres"
	Schema  int64  // version of the schema
	Commits uint64 // group commits of sessions since the store was opened
	Writes  uint64 // session writes those carried
}

// Tx is what an Update or View can reach.
type Tx struct {
	Realms       Documents[*model.Realm]
	Clients      Documents[*model.Client]
	ClientScopes Documents[*model.ClientScope]
	Roles        Documents[*model.Role]  // Parent: "" for realm roles, else the client's id
	Groups       Documents[*model.Group] // Parent: "" at the top, else the parent group's id
	Flows        Documents[*model.Flow]
	Components   Documents[*model.Component] // Kind: the provider type; Parent: "" or the parent component's id
	Users        Users
	UserSearch   UserSearch
}

// Documents keeps one kind of noun. The realm is given by its id, and is ""
// for realms themselves. Deleting a noun deletes what is inside it: the clients
// of a realm, the roles of a client, the groups of a group, users' sessions.
type Documents[T model.Noun] interface {
	Get(ctx context.Context, realm, id string) (T, error)
	// ByName finds a noun by its name among its siblings; see Tx for parents.
	ByName(ctx context.Context, realm, parent, name string) (T, error)
	// List gives the nouns of a realm, in the order of the file they came from and
	// then of their creation.
	List(ctx context.Context, realm string, query Query) ([]T, error)
	// Create keeps doc, generating its id if it has none, and sets doc's Version
	// to 1 and its Position, unless it has one, to the last.
	Create(ctx context.Context, realm string, doc T) error
	// Update replaces the noun of doc's id if its version is still doc's, and sets
	// doc's Version to the next.
	Update(ctx context.Context, realm string, doc T) error
	Delete(ctx context.Context, realm, id string) error
}

// Query narrows a List; its zero value is everything.
type Query struct {
	Parent *string // only children of this parent; Of makes it
	Kind   string  // components: only of this provider type
	Search string  // only names that contain it, whatever the case
	First  int     // skip so many
	Max    int     // at most so many; 0 is all
}

// Of is the query for the children of parent.
func Of(parent string) Query { return Query{Parent: &parent} }

// Users keeps the users of realms, given by the realm's id. Usernames and, where
// the realm does not allow duplicates, email addresses are unique whatever
// their case.
type Users interface {
	Get(ctx context.Context, realm, id string) (*model.User, error)
	ByUsername(ctx context.Context, realm, username string) (*model.User, error)
	// ByEmail gives the user of an address; of several, the one created first.
	ByEmail(ctx context.Context, realm, email string) (*model.User, error)
	Create(ctx context.Context, realm string, user *model.User) error
	Update(ctx context.Context, realm string, user *model.User) error
	Delete(ctx context.Context, realm, id string) error
}

// UserSearch finds users.
type UserSearch interface {
	// Search gives users in the order of their usernames.
	Search(ctx context.Context, realm string, query UserQuery) ([]*model.User, error)
	Count(ctx context.Context, realm string, query UserQuery) (int, error)
}

// UserQuery narrows a search; its zero value is every user that is not a
// service account. Texts match anywhere and whatever their case unless Exact.
type UserQuery struct {
	Search    string // username, first name, last name or email
	Username  string
	Email     string
	FirstName string
	LastName  string
	Exact     bool

	Enabled       *bool
	EmailVerified *bool
	Attributes    map[string]string // each has this value among its values

	Group      string // path of a group the user is directly in
	RealmRole  string // name of a role that is directly the user's
	Client     string // with ClientRole: the clientId
	ClientRole string // name of a client's role that is directly the user's

	ServiceAccountOf string // clientId; "" finds no service accounts unless ServiceAccounts
	ServiceAccounts  bool   // service accounts too
	IdentityProvider string // alias: users linked to it
	InFileOrder      bool   // in the order of creation rather than of usernames

	First int // skip so many
	Max   int // at most so many; 0 is all
}
