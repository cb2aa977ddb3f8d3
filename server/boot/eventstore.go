package boot

import (
	"context"

	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// eventStore keeps events in the database: spi eventsStore, provider jpa, with
// include-events and exclude-events. nil where it is disabled.
func (g *identity) eventStore(store storage.Store) *events.Store {
	if !enabled(g.cfg, "eventsStore", "jpa") {
		return nil
	}
	at := func(property string) []string {
		return []string{identityName, "spi", "eventsStore", "provider", "jpa", "properties", property}
	}
	return events.NewStore(events.StoreConfig{
		Keeper: keeper{store}, Clock: g.Clock, Log: g.logger("server.events"), SweepEvery: g.now.Load().sweepEvery,
		Include: g.cfg.List(at("include-events")...), Exclude: g.cfg.List(at("exclude-events")...),
	})
}

// happened tells the database, and those listeners that the event's realm names.
func (g *identity) happened(store storage.Store, kept *events.Store) events.Publisher {
	all := events.All{&events.Listeners{Realms: keeper{store}, Known: map[string]events.Publisher{events.Logging: g.eventLog()}, Log: g.logger("server.events")}}
	if kept != nil {
		all = append(all, kept)
	}
	return all
}

// keeper is the events.Keeper over the database.
type keeper struct{ store storage.Store }

func (k keeper) Realm(ctx context.Context, name string) (realm *model.Realm, err error) {
	err = k.store.View(ctx, func(tx storage.Tx) error {
		realm, err = tx.Realms.ByName(ctx, "", "", name)
		return err
	})
	return realm, err
}

func (k keeper) Realms(ctx context.Context) (realms []*model.Realm, err error) {
	err = k.store.View(ctx, func(tx storage.Tx) error {
		realms, err = tx.Realms.List(ctx, "", storage.Query{})
		return err
	})
	return realms, err
}

func (k keeper) Keep(ctx context.Context, happened []*model.Event, admin []*model.AdminEvent) error {
	return k.store.ChangeSessions(ctx, func(tx storage.Sessions) error {
		for _, e := range happened {
			if err := tx.Events.Add(ctx, e); err != nil {
				return err
			}
		}
		for _, e := range admin {
			if err := tx.AdminEvents.Add(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget forgets events of both kinds.
func (k keeper) Forget(ctx context.Context, realm string, before int64) error {
	if err := k.store.Sessions().Events.Clear(ctx, realm, before); err != nil {
		return err
	}
	return k.store.Sessions().AdminEvents.Clear(ctx, realm, before)
}
