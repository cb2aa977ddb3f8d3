package servergroups

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

func TestEachServerGroupHasARepresentative(t *testing.T) {
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	all, err := Representative(tree, Lookup{Properties: map[string]string{"gatehouse.database.url": "postgresql://u:geheim@db/x"}})
	if err != nil {
		t.Fatal(err)
	}
	groups := tree.Names(nil, "server-group")
	if len(groups) == 0 || len(all) != len(groups) {
		t.Fatalf("%d groups have %d representatives", len(groups), len(all))
	}
	for _, group := range groups {
		if c := all[group]; c.Group != group || c.Profile == "" {
			t.Errorf("of group %s: group %q, profile %q", group, c.Group, c.Profile)
		}
	}
}

func TestASealedConfigurationTellsNoSecretAndShowsItsChange(t *testing.T) {
	config := func(password string) ServerConfig {
		return ServerConfig{
			Name: "one", SystemProperties: map[string]string{"db.password": password, "db.user": "u"},
			Process: Process{Environment: map[string]string{"DB_SECRET": password}},
			Subsystems: map[string]any{"datasources": map[string]any{"data-source": map[string]any{"KeycloakDS": map[string]any{
				"connection-url": "postgresql://u:" + password + "@db/x?password=" + password, "password": password, "max-pool-size": int64(20)}}}},
		}
	}
	salt := []byte("0123456789abcdef")
	seal := func(c ServerConfig, salt []byte) string {
		s, err := c.Sealed(salt)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	one := seal(config("geheim"), salt)
	if strings.Contains(one, "geheim") || !strings.Contains(one, `"db.user":"u"`) || !strings.Contains(one, "@db/x") {
		t.Errorf("%s", one)
	}
	if one != seal(config("geheim"), salt) {
		t.Error("the same secret under the same salt differs")
	}
	if one == seal(config("anders"), salt) || one == seal(config("geheim"), []byte("another")) {
		t.Error("another secret, or another salt, makes no difference")
	}
	effect, changes := Effect(sealOf(t, config("geheim"), salt), sealOf(t, config("anders"), salt))
	if effect != profiles.Restart || len(changes) == 0 {
		t.Errorf("the change of a secret has the effect %v and %d changes", effect, len(changes))
	}
}

func sealOf(t *testing.T, c ServerConfig, salt []byte) ServerConfig {
	t.Helper()
	s, err := c.Sealed(salt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatAClusterMustHaveInCommonIsJoint(t *testing.T) {
	for _, c := range []struct {
		at, attribute string
		kind          profiles.Kind
		joint         bool
	}{
		{"/subsystem=datasources/data-source=KeycloakDS", "connection-url", profiles.Written, true},
		{"/subsystem=datasources/data-source=KeycloakDS", "password", profiles.Written, false},
		{"/subsystem=datasources/data-source=KeycloakDS", "max-pool-size", profiles.Written, false},
		{"/subsystem=cluster/stack=tcp", "initial-hosts", profiles.Written, true},
		{"/subsystem=cluster", "node-name", profiles.Written, false},
		{"/subsystem=caches/cache-container=keycloak", "engine", profiles.Written, true},
		{"/subsystem=caches/cache-container=keycloak/distributed-cache=sessions", "owners", profiles.Written, false},
		{"/subsystem=caches/cache-container=keycloak/distributed-cache=sessions", "segments", profiles.Written, true},
		{"/subsystem=caches/cache-container=keycloak/distributed-cache=sessions", "", profiles.Removed, true},
		{"/subsystem=caches/cache-container=keycloak/local-cache=realms/memory=object", "size", profiles.Written, false},
		{"/subsystem=identity", "web-context", profiles.Written, true},
		{"/subsystem=identity", "display-name", profiles.Written, false},
		{"/subsystem=http", "", profiles.Added, false},
	} {
		at, err := profiles.ParseAddress(c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := Joint(profiles.Change{Kind: c.kind, Address: at, Attribute: c.attribute}); got != c.joint {
			t.Errorf("%s %s %s is joint: %v, want %v", c.kind, c.at, c.attribute, got, c.joint)
		}
	}
}
