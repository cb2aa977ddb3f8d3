package events

import (
	"context"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/server/model"
)

// Logging is the listener that writes events to the log, and the one of realms
// that name none (Keycloak gives it to every new realm).
const Logging = "jboss-logging"

// Realms finds realms by their names.
type Realms interface {
	Realm(ctx context.Context, name string) (*model.Realm, error)
}

// Listeners tells an event to those that its realm's eventsListeners name. A
// name that there is nothing for stays in the realm, and is logged once. It is
// safe for concurrent use.
type Listeners struct {
	Realms Realms
	Known  map[string]Publisher // nil: switched off for all realms
	Log    zerolog.Logger

	told sync.Map // realm and listener, of those that are not known
}

// Publish tells the realm's listeners. An event of a realm that there is not, or
// that cannot be read now, goes to the log: it may be an attack.
func (l *Listeners) Publish(ctx context.Context, e Event) {
	names := []string{Logging}
	if realm, err := l.Realms.Realm(ctx, e.Realm); err == nil && realm.EventsListeners != nil {
		names = slices.Compact(slices.Sorted(slices.Values(realm.EventsListeners)))
	}
	for _, name := range names {
		listener, known := l.Known[name]
		if listener != nil {
			listener.Publish(ctx, e)
		}
		if !known {
			l.tell(e.Realm, name)
		}
	}
}

func (l *Listeners) tell(realm, listener string) {
	if _, before := l.told.LoadOrStore([2]string{realm, listener}, true); !before {
		l.Log.Warn().Str("realm", realm).Str("listener", listener).Msg("the realm names an events listener that this server does not have; it gets no events (valid: " + Logging + ")")
	}
}
