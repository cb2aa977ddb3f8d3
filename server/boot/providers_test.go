package boot

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/server/caches/stored"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// without is a configuration with one provider disabled.
func without(t *testing.T, spi, provider string) servergroups.ServerConfig {
	t.Helper()
	cfg, err := resolveOnFreePorts(written(t, standaloneTree(t), "/subsystem=keycloak-server/spi="+spi+"/provider="+provider, "enabled", "false"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAServerDoesNotStartWithoutAProviderThatItNeeds(t *testing.T) {
	for _, p := range needed {
		_, err := readSettings(without(t, p[0], p[1]), t.TempDir())
		if !problem.Is(err, problem.Precondition) || !strings.Contains(err.Error(), "provider "+p[1]+" of spi "+p[0]) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestAProviderThatIsDisabledIsNotUsed(t *testing.T) {
	read := func(spi, provider string) settings {
		t.Helper()
		s, err := readSettings(without(t, spi, provider), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := read("userCache", "default"); s.maxUsers != stored.Nothing || s.maxNouns == stored.Nothing {
		t.Errorf("userCache: users %d, nouns %d", s.maxUsers, s.maxNouns)
	}
	if s := read("realmCache", "default"); s.maxNouns != stored.Nothing || s.maxUsers == stored.Nothing {
		t.Errorf("realmCache: users %d, nouns %d", s.maxUsers, s.maxNouns)
	}
	if s := read("stickySessionEncoder", "infinispan"); s.routes {
		t.Error("stickySessionEncoder: cookies name the server")
	}
	if s := read("eventsListener", "jboss-logging"); s.events.on {
		t.Error("eventsListener: events are logged")
	}
	cfg := without(t, "truststore", "file")
	cfg.Subsystems["identity"].(map[string]any)["spi"].(map[string]any)["truststore"].(map[string]any)["provider"].(map[string]any)["file"].(map[string]any)["properties"] = map[string]any{"file": "/nowhere"}
	if pool, err := outgoingTrust(cfg, ""); pool != nil || err != nil {
		t.Errorf("truststore: %v", err)
	}
}

func TestADefaultProviderIsOneThatThereIs(t *testing.T) {
	for _, c := range []struct{ spi, provider, want string }{
		{"eventsStore", "jpa", ""}, {"eventsStore", "mongo", "valid: jpa"}, {"userCache", "infinispan", "valid: default"}, {"mine", "anything", ""},
	} {
		tree := standaloneTree(t)
		if c.spi == "mine" {
			tree = changed(t, tree, adding(t, "/subsystem=identity/spi=mine", nil))
		}
		at, err := profiles.ParseAddress("/subsystem=identity/spi=" + c.spi)
		if err != nil {
			t.Fatal(err)
		}
		_, _, _, err = profiles.Apply(tree, profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": "default-provider", "value": c.provider}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %q", c.spi, c.provider, err, c.want)
		}
	}
}

// TestEventsAreKeptInTheDatabaseAsTheRealmSays: with the provider's own lists,
// and not at all without it.
func TestEventsAreKeptInTheDatabaseAsTheRealmSays(t *testing.T) {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "identity.db"), storage.Options{Clock: clock.Real(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	realm := &model.Realm{Name: "shop", Enabled: true, EventsEnabled: true, EventsExpiration: 3600}
	if err := store.Update(ctx, func(tx storage.Tx) error { return tx.Realms.Create(ctx, "", realm) }); err != nil {
		t.Fatal(err)
	}
	cfg, err := resolveOnFreePorts(written(t, standaloneTree(t), "/subsystem=identity/spi=eventsStore/provider=jpa", "properties", map[string]any{"exclude-events": []any{"LOGOUT"}}))
	if err != nil {
		t.Fatal(err)
	}
	s, err := readSettings(cfg, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	g := &identity{environment: environment{process: Process{Clock: clock.Real(), Logs: logs.Discard()}.named("n", "s")}, cfg: cfg}
	g.now.Store(&s)
	kept := g.eventStore(store)
	happened := g.happened(store, kept)
	for _, typ := range []events.Type{events.Login, events.Logout, events.CodeToToken} {
		happened.Publish(ctx, events.Event{Type: typ, Realm: "shop", Client: "app", User: "u", Session: "s", Remote: "192.0.2.1"})
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = kept.Run(over) // it writes what waits; its error is the cancellation
	found, err := store.Sessions().Events.List(ctx, storage.EventQuery{Realm: realm.ID, Types: []string{"LOGIN"}})
	if err != nil || len(found) != 1 || found[0].ClientID != "app" || found[0].IPAddress != "192.0.2.1" {
		t.Errorf("%+v (%v)", found, err)
	}
	count := func() int {
		n, err := store.Sessions().Events.Count(ctx, storage.EventQuery{Realm: realm.ID})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 2 {
		t.Errorf("%d events are kept, want LOGIN and CODE_TO_TOKEN", n)
	}
	if err := (keeper{store}).Forget(ctx, realm.ID, clock.Real().Now().UnixMilli()+1000); err != nil || count() != 0 {
		t.Errorf("%d are left (%v)", count(), err)
	}
	g.cfg = without(t, "eventsStore", "jpa")
	if g.eventStore(store) != nil {
		t.Error("the provider is disabled, and events are kept")
	}
}
