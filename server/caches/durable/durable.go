// Package durable is a storage.Store whose user sessions are durable in the
// store behind it and served from the distributed caches. It owns the protocol
// that keeps a served session as fresh as the database: DESIGN.md argues it.
// Everything else goes straight to the store behind. It must not know what
// sessions are used for, nor how members reach one another.
package durable

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Cache is one distributed cache; *caches.Distributed is one.
type Cache interface {
	Peek(ctx context.Context, key string) (caches.Item, bool, error)
	PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (caches.Item, bool, error)
	Replace(ctx context.Context, key string, value []byte, ttl time.Duration, version caches.Version) (caches.Item, bool, error)
	Floor() uint64
	Raise(ctx context.Context) error
	Fence(ctx context.Context, epoch uint64, members []string) error
	Covers() bool
}

// Work is what is needed of *caches.Work.
type Work interface {
	Coherent() bool
	Holders() (nodes []string, changes uint64)
	Doubt(ctx context.Context) error
	Sure(ctx context.Context) error
	Doubted() bool
	OnMissed(missed func(node string))
	OnGone(gone func(node string, doubted bool))
}

// Kind is one of the two kinds of session.
type Kind struct {
	Cache    Cache
	Lifespan time.Duration // the longest that an entry is kept; 0: as long as its session
	Full     func() bool   // no further session is taken in; nil: never
}

// Config is what a Store is made from.
type Config struct {
	Self    Member
	Online  Kind
	Offline Kind
	Work    Work
	Members func() []Member // of the cluster, as this server sees it
	Clock   clock.Clock
	Log     zerolog.Logger
}

const (
	// peekLimit is how long a read waits for the cache before it asks the
	// database: twenty times a bad round trip within a site.
	peekLimit = 100 * time.Millisecond
	// markLimit is how long a write waits until its mark is set, before it makes
	// everybody doubt instead.
	markLimit = 300 * time.Millisecond
	// markLife is how long a mark outlives its writer: any commit has ended by
	// then, one way or the other (20 s, storage/relational).
	markLife = 10 * time.Minute
	// reserveLife is how long one reader may take to fetch a session for all.
	reserveLife = 5 * time.Second
	// emptyLife is how long what is left of a mark stays.
	emptyLife = time.Second
	// maxID is the longest id that is looked up here; ours are 36 bytes.
	maxID = 128
	// maxEntry is the most bytes of a session that is kept: one larger is read
	// from the database.
	maxEntry = 64 << 10
)

// Store decorates a storage.Store.
type Store struct {
	storage.Store
	cfg   Config
	trust *trust
	roll  *roll
}

var _ storage.Store = (*Store)(nil)

// New decorates store, and closes it when it is closed. Nothing is served from
// the caches before Run.
func New(store storage.Store, cfg Config) *Store {
	s := &Store{Store: store, cfg: cfg}
	s.roll = newRoll(store, cfg)
	s.trust = newTrust(cfg)
	return s
}

// Enter puts this server on the roll of those that use the database, and waits
// until none that does not know it serves from its caches: call it before this
// server answers requests.
func (s *Store) Enter(ctx context.Context) error { return s.roll.enter(ctx) }

// Run keeps the caches trustworthy until ctx ends, then strikes this server
// off the roll.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.trust.run(ctx) })
	return s.roll.run(ctx)
}

// Doubt makes all servers fetch their sessions anew: for changes that were made
// past this Store, as by imports at boot.
func (s *Store) Doubt(ctx context.Context) error {
	if err := s.trust.doubt(ctx); err != nil {
		return err
	}
	s.trust.leave()
	return nil
}

// Serving reports whether sessions are served from the caches now.
func (s *Store) Serving() bool { return s.trusted(s.cfg.Online) }

func (s *Store) trusted(k Kind) bool {
	return k.Cache != nil && s.cfg.Work.Coherent() && s.trust.sure() && s.roll.complete() && k.Cache.Covers()
}

func (s *Store) kind(key storage.SessionKey) Kind {
	switch {
	case len(key.ID) > maxID || len(key.Realm) > maxID:
		return Kind{}
	case key.Offline:
		return s.cfg.Offline
	}
	return s.cfg.Online
}

// Sessions implements storage.Store.
func (s *Store) Sessions() storage.Sessions {
	all := s.Store.Sessions()
	all.Users = users{all.Users, s}
	return all
}
