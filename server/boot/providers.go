package boot

import (
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches/stored"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// eventLog is how events of logins are written.
type eventLog struct {
	on               bool
	success, failure zerolog.Level
	exclude          []string
}

// readEvents reads spi eventsListener, provider jboss-logging: success-level,
// error-level and exclude-events, as the guide has them.
func readEvents(cfg servergroups.ServerConfig) (e eventLog, err error) {
	at := func(property string) []string {
		return []string{identityName, "spi", "eventsListener", "provider", events.Logging, "properties", property}
	}
	e.on = enabled(cfg, "eventsListener", events.Logging)
	e.exclude = cfg.List(at("exclude-events")...)
	if e.success, err = level(cfg.String("DEBUG", at("success-level")...)); err != nil {
		return e, err
	}
	e.failure, err = level(cfg.String("WARN", at("error-level")...))
	return e, err
}

// eventLog is where events are written; nil where they are not.
func (g *identity) eventLog() events.Publisher {
	e := g.now.Load().events
	if !e.on {
		return nil
	}
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

// enabled reports whether a provider may be used.
func enabled(cfg servergroups.ServerConfig, spi, provider string) bool {
	return cfg.Bool(true, identityName, "spi", spi, "provider", provider, "enabled")
}

// needed are providers without which there is no server: each is the only one
// of its kind.
var needed = [][2]string{
	{"dblock", "jpa"}, {"hostname", "default"}, {"connectionsHttpClient", "default"}, {"connectionsJpa", "default"},
	{"connectionsInfinispan", "default"}, {"timer", "basic"}, {"login-protocol", "openid-connect"},
}

func checkProviders(cfg servergroups.ServerConfig) error {
	for _, p := range needed {
		if !enabled(cfg, p[0], p[1]) {
			return problem.WithHint(problem.Precondition.Errorf("cannot run without provider %s of spi %s: it is disabled, and there is no other", p[1], p[0]),
				"enable it: /subsystem=identity/spi=%s/provider=%s:write-attribute(name=enabled, value=true)", p[0], p[1])
		}
	}
	return nil
}

// anyNumber bounds a cache that is to have no bound.
const anyNumber = 1 << 30

// cacheSize is how many entries a local cache of the container keycloak keeps;
// 0 is the default. It keeps none when the provider of spi is
// disabled (the guide, "Disabling Caching").
func cacheSize(cfg servergroups.ServerConfig, name, spi string) int {
	if !enabled(cfg, spi, "default") {
		return stored.Nothing
	}
	n := cfg.Int(0, "caches", "cache-container", "keycloak", "local-cache", name, "memory", "object", "size")
	if n < 0 {
		return anyNumber
	}
	return int(min(n, anyNumber))
}
