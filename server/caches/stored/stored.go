// Package stored is a storage.Store that keeps what every request reads (realms,
// clients, roles, client scopes, groups, flows, components, users) in this
// server's memory. What it gives is shared by all requests and must not be
// changed; model.Clone gives a copy that may. Sessions and locks go straight to
// the store behind it. It must not know how events travel between servers.
package stored

import (
	"context"
	"encoding/json"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// Publisher tells the other servers of the site what changed.
type Publisher interface {
	// Publish returns when every other live server has applied event (Store.Apply).
	Publish(ctx context.Context, event []byte) error
}

// Options are a cache's settings; zero values mean the defaults.
type Options struct {
	Publisher Publisher      // nil: there are no other servers
	Coherent  func() bool    // false while events may be missed: memory is not used then; nil: always true
	Log       zerolog.Logger // events that could not be published
	MaxNouns  int            // bound on realms, clients and so on; default 20,000 entries
	MaxUsers  int            // bound on users; default 10,000 entries
}

// Nothing is a bound: nothing is kept.
const Nothing = -1

// Store decorates a storage.Store.
type Store struct {
	storage.Store
	options Options
	nouns   *otter.Cache[key, entry]
	users   *otter.Cache[key, entry]
	seed    maphash.Seed
	reader  storage.Tx // for every View
	// What is cached carries the generation it was read in; a change begins the
	// next one, so nothing has to be found to be forgotten, and what was read
	// before a change but arrives after it is never used. Kinds and realms that
	// share a slot only lose more than they need to.
	slots [4096]atomic.Uint64
	epoch atomic.Uint64
}

var _ storage.Store = (*Store)(nil)

// key names what is cached.
type key struct {
	kind   kind
	by     lookup
	realm  string
	parent string
	name   string
}

type kind uint8

const (
	realms kind = iota
	clients
	clientScopes
	roles
	groups
	flows
	components
	users
)

type lookup uint8

const (
	byID lookup = iota
	byName
	listOfAll
	listOfChildren
)

type entry struct {
	value      any
	generation uint64
}

// New decorates store, and closes it when it is closed.
func New(store storage.Store, o Options) *Store {
	if o.MaxNouns == 0 {
		o.MaxNouns = 20_000
	}
	if o.MaxUsers == 0 {
		o.MaxUsers = 10_000
	}
	s := &Store{Store: store, options: o, seed: maphash.MakeSeed(), nouns: newCache(o.MaxNouns), users: newCache(o.MaxUsers)}
	s.reader = s.reading()
	return s
}

// newCache is nil where nothing is to be kept.
func newCache(most int) *otter.Cache[key, entry] {
	if most < 0 {
		return nil
	}
	return otter.Must(&otter.Options[key, entry]{MaximumSize: most})
}

// set keeps e in cache under k.
func set(cache *otter.Cache[key, entry], k key, e entry) {
	if cache != nil {
		cache.Set(k, e)
	}
}

// find gives what cache has under k, if it is of this generation.
func find(cache *otter.Cache[key, entry], k key, generation uint64) (any, bool) {
	if cache == nil {
		return nil, false
	}
	e, ok := cache.GetIfPresent(k)
	return e.value, ok && e.generation == generation
}

// change names what changed: one kind in one realm, or one user.
type change struct {
	Kind  kind   `json:"k"`
	Realm string `json:"r"`
	ID    string `json:"i,omitempty"` // of a user
}

// event is what servers tell each other.
type event struct {
	Changes []change `json:"c,omitempty"`
	All     bool     `json:"a,omitempty"`
}

func (s *Store) slot(c change) *atomic.Uint64 {
	return &s.slots[maphash.Comparable(s.seed, c)%uint64(len(s.slots))]
}

// generation is that of what c names: it grows with each change of it.
func (s *Store) generation(c change) uint64 { return s.slot(c).Load() + s.epoch.Load() }

func (s *Store) apply(e event) {
	if e.All {
		s.epoch.Add(1)
	}
	for _, c := range e.Changes {
		s.slot(c).Add(1)
	}
}

// Apply takes an event that another server published.
func (s *Store) Apply(text []byte) error {
	var e event
	if err := json.Unmarshal(text, &e); err != nil {
		s.Flush() // whatever it said
		return problem.Invalid.Errorf("cannot read an invalidation event: %w", err)
	}
	s.apply(e)
	return nil
}

// Flush forgets everything: for a server that may have missed events.
func (s *Store) Flush() { s.epoch.Add(1) }

// View implements storage.Store: it reads from memory, or from the store behind.
func (s *Store) View(ctx context.Context, fn func(storage.Tx) error) error {
	if s.options.Coherent != nil && !s.options.Coherent() {
		return s.Store.View(ctx, fn)
	}
	return fn(s.reader)
}

// publishWithin bounds the wait for other servers when the caller has gone: the
// change is committed and they must learn of it.
const publishWithin = 10 * time.Second

// Update implements storage.Store. It returns when this server and all others
// of the site no longer give what was there before.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	var r *recorder
	err := s.Store.Update(ctx, func(tx storage.Tx) error {
		r = &recorder{seen: map[change]bool{}}
		return fn(r.writer(tx))
	})
	if r == nil || !r.all && len(r.seen) == 0 {
		return err
	}
	// Even if the commit failed: nobody knows whether it did.
	e := r.event()
	s.apply(e)
	if s.options.Publisher == nil {
		return err
	}
	text, marshalErr := json.Marshal(e)
	if marshalErr != nil {
		return marshalErr
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWithin)
	defer cancel()
	if err := s.options.Publisher.Publish(ctx, text); err != nil {
		s.options.Log.Warn().Err(err).Msg("cannot tell every other server of a change; those that missed it flush their caches when they are back")
	}
	return err
}

func (s *Store) reading() storage.Tx {
	return storage.Tx{
		Realms:       reading[*model.Realm]{s, realms, func(tx storage.Tx) storage.Documents[*model.Realm] { return tx.Realms }},
		Clients:      reading[*model.Client]{s, clients, func(tx storage.Tx) storage.Documents[*model.Client] { return tx.Clients }},
		ClientScopes: reading[*model.ClientScope]{s, clientScopes, func(tx storage.Tx) storage.Documents[*model.ClientScope] { return tx.ClientScopes }},
		Roles:        reading[*model.Role]{s, roles, func(tx storage.Tx) storage.Documents[*model.Role] { return tx.Roles }},
		Groups:       reading[*model.Group]{s, groups, func(tx storage.Tx) storage.Documents[*model.Group] { return tx.Groups }},
		Flows:        reading[*model.Flow]{s, flows, func(tx storage.Tx) storage.Documents[*model.Flow] { return tx.Flows }},
		Components:   reading[*model.Component]{s, components, func(tx storage.Tx) storage.Documents[*model.Component] { return tx.Components }},
		Users:        readingUsers{s},
		UserSearch:   readingSearch{s},
	}
}
