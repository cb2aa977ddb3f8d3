package boot

import (
	"math"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/servergroups"
)

func TestACacheIsWhatTheProfileSays(t *testing.T) {
	container := func(kind, name string, values map[string]any) servergroups.ServerConfig {
		return servergroups.ServerConfig{Subsystems: map[string]any{"caches": map[string]any{"cache-container": map[string]any{"keycloak": map[string]any{
			kind: map[string]any{name: values},
		}}}}}
	}
	for _, c := range []struct {
		name string
		cfg  servergroups.ServerConfig
		want cacheSettings
	}{
		{"nothing", container("distributed-cache", "other", nil), cacheSettings{owners: 2, size: math.MaxInt, sweep: time.Minute, statistics: true}},
		{"defaults", container("distributed-cache", "sessions", map[string]any{}), cacheSettings{on: true, shared: true, owners: 2, size: math.MaxInt, sweep: time.Minute, statistics: true}},
		{"all", container("distributed-cache", "sessions", map[string]any{
			"owners": int64(3), "statistics-enabled": false,
			"memory":    map[string]any{"object": map[string]any{"size": int64(10)}},
			"component": map[string]any{"expiration": map[string]any{"lifespan": int64(5000), "max-idle": int64(3000), "interval": int64(1000)}},
		}), cacheSettings{on: true, shared: true, owners: 3, size: 10, lifespan: 5 * time.Second, idle: 3 * time.Second, sweep: time.Second}},
		{"local", container("local-cache", "sessions", map[string]any{}), cacheSettings{on: true, owners: 2, size: math.MaxInt, sweep: time.Minute, statistics: true}},
	} {
		c.want.name = "sessions"
		if got := readCache(c.cfg, "sessions"); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
