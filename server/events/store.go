package events

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Keeper is where events are kept.
type Keeper interface {
	// Realm is the realm of a name.
	Realm(ctx context.Context, name string) (*model.Realm, error)
	// Realms are all of them.
	Realms(ctx context.Context) ([]*model.Realm, error)
	// Keep keeps events, all or none.
	Keep(ctx context.Context, events []*model.Event, admin []*model.AdminEvent) error
	// Forget forgets a realm's events (by its id) that happened before a moment:
	// milliseconds since 1970.
	Forget(ctx context.Context, realm string, before int64) error
}

// StoreConfig is what a Store is made from.
type StoreConfig struct {
	Keeper Keeper
	Clock  clock.Clock
	Log    zerolog.Logger
	// Include are the only types that are kept, Exclude are not; failures end with
	// _ERROR. Beside what a realm says.
	Include, Exclude []string
	SweepEvery       time.Duration // how often events that are too old are forgotten
}

// Store keeps events of realms that ask for it (eventsEnabled,
// enabledEventTypes, adminEventsEnabled), as long as they say
// (eventsExpiration). Nobody waits for it: events are written soon, many at
// once, by Run; a crash may lose those of the last moment. It is safe for
// concurrent use.
type Store struct {
	StoreConfig
	queue chan any // *model.Event or *model.AdminEvent
	lost  atomic.Int64
}

// queueSize bounds the events that wait while the database is slow; batchMost
// those of one write. retryEvery is how long a database that fails is left
// alone; farewellLimit how long writing what waits may take at the end.
const (
	queueSize     = 8192
	batchMost     = 128
	retryEvery    = time.Second
	farewellLimit = 5 * time.Second
)

// NewStore prepares a store; Run writes.
func NewStore(c StoreConfig) *Store { return &Store{StoreConfig: c, queue: make(chan any, queueSize)} }

// notByDefault are the types that Keycloak does not keep where a realm names
// none: there is one for every request of an application.
var notByDefault = []string{string(Refresh), string(Introspect), string(UserInfo), string(ClientNotice)}

// Publish keeps an event if its realm wants it.
func (s *Store) Publish(ctx context.Context, e Event) {
	name := string(e.Type)
	byDefault := !slices.Contains(notByDefault, name)
	if e.Error != "" {
		name += "_ERROR"
	}
	if slices.Contains(s.Exclude, name) || len(s.Include) > 0 && !slices.Contains(s.Include, name) {
		return
	}
	realm, err := s.Keeper.Realm(ctx, e.Realm)
	if err != nil { // of a realm that there is not, which is no event of a realm
		s.Log.Debug().Err(err).Str("realm", e.Realm).Msg("cannot keep an event")
		return
	}
	if !realm.EventsEnabled || len(realm.EnabledEventTypes) == 0 && !byDefault ||
		len(realm.EnabledEventTypes) > 0 && !slices.Contains(realm.EnabledEventTypes, name) {
		return
	}
	kept := &model.Event{
		Time: s.Clock.Now().UnixMilli(), Type: name, RealmID: realm.ID, ClientID: e.Client, UserID: e.User,
		SessionID: e.Session, IPAddress: e.Remote, Error: e.Error, Details: map[string]string{},
	}
	for key, value := range e.Details {
		kept.Details[key] = value
	}
	if e.Reason != "" {
		kept.Details["reason"] = e.Reason
	}
	s.put(kept)
}

// PublishAdmin keeps what an administrator did, if the realm wants it; what was
// sent only where it wants details.
func (s *Store) PublishAdmin(realm *model.Realm, e model.AdminEvent) {
	if !realm.AdminEventsEnabled {
		return
	}
	e.RealmID, e.Time = realm.ID, s.Clock.Now().UnixMilli()
	if !realm.AdminEventsDetailsEnabled {
		e.Representation = ""
	}
	s.put(&e)
}

func (s *Store) put(event any) {
	select {
	case s.queue <- event:
	default:
		s.lost.Add(1)
	}
}

// Run writes events and forgets old ones until ctx ends; then it writes what
// waits.
func (s *Store) Run(ctx context.Context) error {
	sweep := s.Clock.NewTicker(s.SweepEvery)
	defer sweep.Stop()
	for {
		select {
		case first := <-s.queue:
			s.write(ctx, s.batch(first))
		case <-sweep.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn().Err(err).Msg("cannot forget old events; trying again")
			}
		case <-ctx.Done():
			s.farewell(ctx)
			return ctx.Err()
		}
	}
}

// batch is what waits, with the first of it.
func (s *Store) batch(first any) []any {
	batch := []any{first}
	for len(batch) < batchMost {
		select {
		case next := <-s.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

// write keeps a batch, however long the database is away.
func (s *Store) write(ctx context.Context, batch []any) {
	for said := false; ; said = true {
		err := s.keep(ctx, batch)
		if err == nil {
			if lost := s.lost.Swap(0); lost > 0 {
				s.Log.Error().Int64("events", lost).Msg("the database was too slow for the events: some were lost")
			}
			return
		}
		if !said && ctx.Err() == nil {
			s.Log.Error().Err(err).Int("events", len(batch)).Msg("cannot keep events; trying again")
		}
		if clock.Sleep(ctx, s.Clock, retryEvery) != nil { // at the end: once more, with its limit
			for _, e := range batch {
				s.put(e)
			}
			return
		}
	}
}

func (s *Store) keep(ctx context.Context, batch []any) error {
	var events []*model.Event
	var admin []*model.AdminEvent
	for _, e := range batch {
		switch e := e.(type) {
		case *model.Event:
			events = append(events, e)
		case *model.AdminEvent:
			admin = append(admin, e)
		}
	}
	return s.Keeper.Keep(ctx, events, admin)
}

// farewell writes what waits, once.
func (s *Store) farewell(ctx context.Context) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellLimit)
	defer cancel()
	for {
		select {
		case first := <-s.queue:
			batch := s.batch(first)
			if err := s.keep(limited, batch); err != nil {
				s.Log.Error().Err(err).Int("events", len(batch)+len(s.queue)).Msg("cannot keep events: they are lost")
				return
			}
		default:
			return
		}
	}
}

// Sweep forgets events that are older than their realms want them.
func (s *Store) Sweep(ctx context.Context) error {
	realms, err := s.Keeper.Realms(ctx)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	for _, r := range realms {
		if r.EventsExpiration <= 0 {
			continue
		}
		if err := s.Keeper.Forget(ctx, r.ID, now.UnixMilli()-r.EventsExpiration*1000); err != nil {
			return err
		}
	}
	return nil
}

// Publisher is told what happened.
type Publisher interface {
	Publish(ctx context.Context, e Event)
}

// All tells several publishers.
type All []Publisher

// Publish tells each.
func (a All) Publish(ctx context.Context, e Event) {
	for _, p := range a {
		p.Publish(ctx, e)
	}
}
