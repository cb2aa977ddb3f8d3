package boot

import (
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// eventLog is how events of logins are written.
type eventLog struct {
	success, failure zerolog.Level
	exclude          []string
}

// readEvents reads spi eventsListener, provider jboss-logging: success-level,
// error-level and exclude-events, as the guide has them.
func readEvents(cfg servergroups.ServerConfig) (e eventLog, err error) {
	at := func(property string) []string {
		return []string{identityName, "spi", "eventsListener", "provider", "jboss-logging", "properties", property}
	}
	e.exclude = cfg.List(at("exclude-events")...)
	if e.success, err = level(cfg.String("DEBUG", at("success-level")...)); err != nil {
		return e, err
	}
	e.failure, err = level(cfg.String("WARN", at("error-level")...))
	return e, err
}

func (g *identity) eventLog() events.Log {
	e := g.now.Load().events
	return events.Log{
		Log:     g.logger("server.events").With().Str("log", "events").Logger(),
		Success: events.Level{Set: true, Level: e.success}, Failure: events.Level{Set: true, Level: e.failure}, Exclude: e.exclude,
	}
}

// route is what AUTH_SESSION_ID ends with: this server's name, unless the
// balancer is to attach its own (the guide, "Sticky sessions":
// shouldAttachRoute).
func (g *identity) route() string {
	if g.now.Load().routes {
		return g.nodeName
	}
	return ""
}

// anyNumber bounds a cache that is to have no bound.
const anyNumber = 1 << 30

// cacheSize is how many entries a local cache of the container keycloak keeps;
// 0 is the default.
func cacheSize(cfg servergroups.ServerConfig, name string) int {
	n := cfg.Int(0, "caches", "cache-container", "keycloak", "local-cache", name, "memory", "object", "size")
	if n < 0 {
		return anyNumber
	}
	return int(min(n, anyNumber))
}
