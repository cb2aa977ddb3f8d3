package boot

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

const source = "datasources|data-source|KeycloakDS|"

func TestADataSourceIsReadWithItsPool(t *testing.T) {
	s, err := readSettings(subsystems(map[string]any{
		source + "driver-name": "postgresql", source + "connection-url": "jdbc:postgresql://db/keycloak", source + "schema": "idp",
		source + "max-pool-size": int64(7), source + "initial-pool-size": int64(3), source + "idle-timeout-minutes": int64(0),
		source + "min-pool-size": int64(2), source + "blocking-timeout-wait-millis": int64(1500),
		"caches|cache-container|keycloak|local-cache|users|memory|object|size":               int64(-1),
		"caches|cache-container|keycloak|local-cache|realms|memory|object|size":              int64(100),
		"identity|theme|defaults|staticMaxAge":                                               int64(60),
		"identity|spi|stickySessionEncoder|provider|infinispan|properties|shouldAttachRoute": "false",
		"identity|spi|eventsListener|provider|jboss-logging|properties|success-level":        "info",
		"identity|spi|eventsListener|provider|jboss-logging|properties|exclude-events":       []any{"REFRESH_TOKEN"},
	}), "")
	if err != nil {
		t.Fatal(err)
	}
	want := database{driver: "postgresql", address: "postgresql://db/keycloak", maxConns: 7, initial: 3, minConns: 2, wait: 1500 * time.Millisecond, idle: -1, schema: "idp"}
	if s.database != want {
		t.Errorf("database = %+v, want %+v", s.database, want)
	}
	if s.maxUsers != anyNumber || s.maxNouns != 100 || s.routes || s.themes.StaticMaxAge != time.Minute {
		t.Errorf("users %d, nouns %d, routes %v, styles %s", s.maxUsers, s.maxNouns, s.routes, s.themes.StaticMaxAge)
	}
	if s.events.success != zerolog.InfoLevel || s.events.failure != zerolog.WarnLevel || !slices.Equal(s.events.exclude, []string{"REFRESH_TOKEN"}) {
		t.Errorf("events = %+v", s.events)
	}
}

func TestADataSourceThatCannotBeUsedIsRefused(t *testing.T) {
	for want, values := range map[string]map[string]any{
		"not enabled":     {source + "enabled": false},
		"max-pool-size":   {source + "initial-pool-size": int64(21)},
		`driver "oracle"`: {source + "driver-name": "oracle"},
	} {
		all := map[string]any{source + "driver-name": "sqlite", source + "connection-url": "sqlite:x.db"}
		for k, v := range values {
			all[k] = v
		}
		if _, err := readSettings(subsystems(all), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", values, err, want)
		}
	}
}

func TestAStackSaysHowServersFindEachOther(t *testing.T) {
	stack := func(values map[string]any) (discovery, error) {
		all := map[string]any{"cluster|default-stack": "mine"}
		for k, v := range values {
			all["cluster|stack|mine|"+k] = v
		}
		return readDiscovery(subsystems(all), "cluster")
	}
	if d, err := stack(map[string]any{"discovery": "domain"}); err != nil || !d.domain {
		t.Errorf("domain: %+v, %v", d, err)
	}
	d, err := stack(map[string]any{"discovery": "static", "initial-hosts": []any{"a:7600", "b:7600"}})
	if addresses, _, _ := d.Addresses(); err != nil || d.domain || !slices.Equal(addresses, []string{"a:7600", "b:7600"}) {
		t.Errorf("static: %v, %v", addresses, err)
	}
	if _, err := stack(map[string]any{"discovery": "static", "initial-hosts": []any{"a"}}); err == nil {
		t.Error("an initial host without a port is taken")
	}
	if _, err := stack(map[string]any{"discovery": "dns"}); err == nil {
		t.Error("dns without dns-query is taken")
	}
}

func TestADNSQueryGivesAllServers(t *testing.T) {
	d := discovery{Directory: cluster.NewDirectory(false), query: "idp.local:7600"}
	answer, failure := []string{"10.0.0.2", "10.0.0.1"}, error(nil)
	ask := func() error {
		return d.ask(context.Background(), func(_ context.Context, host string) ([]string, error) { return answer, failure })
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	want := []string{"10.0.0.1:7600", "10.0.0.2:7600"}
	if got, _, _ := d.Addresses(); !slices.Equal(got, want) {
		t.Errorf("addresses = %v", got)
	}
	failure = errors.New("no answer")
	if err := ask(); err == nil {
		t.Error("a failed query is no error")
	}
	if got, _, _ := d.Addresses(); !slices.Equal(got, want) {
		t.Errorf("after a failed query: %v", got)
	}
}
