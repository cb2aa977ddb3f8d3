package servergroups_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

func hostFile(t *testing.T, file string) servergroups.HostFile {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := servergroups.ParseHostFile(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// demo is the default domain with both hosts registered.
func demo(t *testing.T) profiles.Tree {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"host-master.toml", "host-agent.toml"} {
		h := hostFile(t, file)
		tree = apply(t, tree, h.Operation(tree))
		if _, changes, _, err := profiles.Apply(tree, h.Operation(tree)); err != nil || len(changes) > 0 {
			t.Fatalf("registering %s once more: %v, %s", file, err, changes)
		}
	}
	return tree
}

func apply(t *testing.T, tree profiles.Tree, op profiles.Operation) profiles.Tree {
	t.Helper()
	next, _, _, err := profiles.Apply(tree, op)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return next
}

func write(t *testing.T, tree profiles.Tree, at, name string, value any) profiles.Tree {
	t.Helper()
	a, err := profiles.ParseAddress(at)
	if err != nil {
		t.Fatal(err)
	}
	return apply(t, tree, profiles.Operation{Name: "write-attribute", Address: a, Params: map[string]any{"name": name, "value": value}})
}

func add(t *testing.T, tree profiles.Tree, at string, params map[string]any) profiles.Tree {
	t.Helper()
	a, err := profiles.ParseAddress(at)
	if err != nil {
		t.Fatal(err)
	}
	return apply(t, tree, profiles.Operation{Name: "add", Address: a, Params: params})
}

func snapshot(t *testing.T, tree profiles.Tree, host string, revision uint64) servergroups.HostSnapshot {
	t.Helper()
	s, err := servergroups.Snapshot(tree, host, revision)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func resolve(t *testing.T, tree profiles.Tree, host, server string, l servergroups.Lookup) servergroups.ServerConfig {
	t.Helper()
	c, err := snapshot(t, tree, host, 1).Resolve(server, l)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAServerOfTheDefaultDomain(t *testing.T) {
	c := resolve(t, demo(t), "master", "server-one", servergroups.Lookup{})
	if c.Site != "fra" || c.Group != "auth-server-group" || c.Profile != "auth-server-clustered" || c.PortOffset != 150 || !c.AutoStart {
		t.Errorf("%+v", c)
	}
	if c.Process.MemoryLimit != 512<<20 || c.Process.Environment["TZ"] != "UTC" {
		t.Errorf("process %+v", c.Process)
	}
	for name, want := range map[string]string{"http": "127.0.0.1:8230", "https": "127.0.0.1:8593", "health": "127.0.0.1:9150", "cluster": "127.0.0.1:7750"} {
		if got := c.Bindings[name].Listen(); got != want {
			t.Errorf("binding %s: %s, want %s", name, got, want)
		}
	}
	if got := c.Outbound["mail-smtp"].Dial(); got != "localhost:25" {
		t.Errorf("mail-smtp: %s", got)
	}
	if got := c.SystemProperties["own"]; got != "host-server-one" {
		t.Errorf("own: %q", got)
	}
	if got := c.String("", "identity", "theme", "defaults", "default"); got != "gatehouse" {
		t.Errorf("theme: %q", got)
	}
	if got := c.Int(0, "caches", "cache-container", "keycloak", "distributed-cache", "sessions", "owners"); got != 2 {
		t.Errorf("owners: %d", got)
	}
	if !c.Bool(false, "identity", "spi", "dblock", "provider", "jpa", "enabled") {
		t.Error("dblock is not there")
	}
	if got := c.String("", "datasources", "data-source", "KeycloakDS", "connection-url"); got != "sqlite:../../data/identity.db" {
		t.Errorf("connection-url: %q", got)
	}
}

// -D, then system properties server > host > server group > domain, then the
// environment, then the default.
func TestPrecedenceOfValues(t *testing.T) {
	tree := write(t, demo(t), "/profile=auth-server-clustered/subsystem=identity", "display-name", "${who.is-it:default}")
	lookup := servergroups.Lookup{}
	expect := func(want string) {
		t.Helper()
		if got := resolve(t, tree, "master", "server-one", lookup).String("", "identity", "display-name"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	value := func(v string) map[string]any { return map[string]any{"value": v} }
	expect("default")
	lookup.Env = func(name string) (string, bool) { return "environment", name == "WHO_IS_IT" }
	expect("environment")
	tree = add(t, tree, "/system-property=who.is-it", value("domain"))
	expect("domain")
	tree = add(t, tree, "/server-group=auth-server-group/system-property=who.is-it", value("group"))
	expect("group")
	tree = add(t, tree, "/host=master/system-property=who.is-it", value("host"))
	expect("host")
	tree = add(t, tree, "/host=master/server-config=server-one/system-property=who.is-it", value("server"))
	expect("server")
	lookup.Properties = map[string]string{"who.is-it": "-D"}
	expect("-D")
}

func TestWhatCannotBeResolvedNamesItsAddress(t *testing.T) {
	for _, c := range []struct{ at, name, value, want string }{
		{"/profile=auth-server-clustered/subsystem=identity", "display-name", "${none}", "/profile=auth-server-clustered/subsystem=identity: display-name"},
		{"/socket-binding-group=ha-sockets/socket-binding=http", "port", "${level}", `/socket-binding-group=ha-sockets/socket-binding=http: port: port must be a whole number, not "host"`},
		{"/host=master/system-property=level", "value", "${own}", "leads back to itself"},
	} {
		tree := write(t, demo(t), c.at, c.name, c.value)
		_, err := snapshot(t, tree, "master", 1).Resolve("server-one", servergroups.Lookup{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"server-one"`) {
			t.Errorf("%s: %v", c.at, err)
		}
	}
}

func TestASnapshotHoldsOnlyWhatItsServersUse(t *testing.T) {
	tree := demo(t)
	before := map[string]string{"master": snapshot(t, tree, "master", 1).Checksum(), "host2": snapshot(t, tree, "host2", 1).Checksum()}
	for _, c := range []struct {
		name    string
		tree    profiles.Tree
		changed map[string]bool
	}{
		{"unused profile", write(t, tree, "/profile=auth-server-standalone/subsystem=identity", "web-context", "x"), nil},
		{"load balancer", write(t, tree, "/profile=load-balancer/subsystem=logging/root-logger=ROOT", "level", "DEBUG"), map[string]bool{"master": true}},
		{"shared profile", write(t, tree, "/profile=auth-server-clustered/subsystem=identity", "web-context", "x"), map[string]bool{"master": true, "host2": true}},
		{"the other host", write(t, tree, "/host=host2", "description", "x"), nil},
		{"unused realm", add(t, tree, "/core-service=management/security-realm=R", nil), nil},
		{"unused sockets", write(t, tree, "/socket-binding-group=standard-sockets/socket-binding=http", "port", 81), nil},
		{"load balancer's sockets", write(t, tree, "/socket-binding-group=load-balancer-sockets/socket-binding=http", "port", 81), map[string]bool{"master": true}},
	} {
		for host, sum := range before {
			s := snapshot(t, c.tree, host, 2)
			if got := s.Checksum() != sum; got != c.changed[host] {
				t.Errorf("%s: %s changed: %v", c.name, host, got)
			}
		}
	}
}

func TestSnapshotAndConfigurationSurviveJSON(t *testing.T) {
	s := snapshot(t, demo(t), "master", 7)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back servergroups.HostSnapshot
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(back)
	if !bytes.Equal(text, again) || back.Checksum() != s.Checksum() {
		t.Error("the snapshot changed")
	}
	c, err := back.Resolve("server-one", servergroups.Lookup{})
	if err != nil {
		t.Fatal(err)
	}
	text, _ = json.Marshal(c)
	var config servergroups.ServerConfig
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if effect, changes := servergroups.Effect(c, config); effect != profiles.None || len(changes) > 0 {
		t.Errorf("the configuration changed: %v", changes)
	}
}

func TestEffectOfAChange(t *testing.T) {
	const profile = "/profile=auth-server-clustered"
	for _, c := range []struct {
		at, name string
		value    any
		want     profiles.Effect
	}{
		{profile + "/subsystem=identity", "display-name", "x", profiles.Live},
		{profile + "/subsystem=identity/theme=defaults", "cacheThemes", false, profiles.Live},
		{profile + "/subsystem=identity/spi=dblock/provider=jpa", "properties.lockWaitTimeout", "777", profiles.Live},
		{profile + "/subsystem=identity", "web-context", "x", profiles.Reload},
		{profile + "/subsystem=identity", "web-context", "auth", profiles.None},
		{profile + "/subsystem=datasources/data-source=KeycloakDS", "password", "x", profiles.Restart},
		{"/socket-binding-group=ha-sockets/socket-binding=http", "port", 8090, profiles.Restart},
		{"/server-group=auth-server-group/process=default", "memory-limit", "1g", profiles.Restart},
		{"/host=master/server-config=server-one", "auto-start", false, profiles.None},
		{"/host=master/system-property=level", "value", "x", profiles.Reload},
		{"/host=master", "description", "x", profiles.None},
	} {
		tree := demo(t)
		old := resolve(t, tree, "master", "server-one", servergroups.Lookup{})
		next := resolve(t, write(t, tree, c.at, c.name, c.value), "master", "server-one", servergroups.Lookup{})
		if got, changes := servergroups.Effect(old, next); got != c.want {
			t.Errorf("%s %s: %v, want %v (%v)", c.at, c.name, got, c.want, changes)
		}
	}
}

func TestRealmOfAListenerComesFromTheHost(t *testing.T) {
	const at = "/core-service=management/security-realm=UndertowRealm/server-identity=ssl"
	tree := add(t, demo(t), "/host=master"+at, map[string]any{"keystore-path": "keycloak.jks", "keystore-password": "secret"})
	tree = write(t, tree, "/profile=auth-server-clustered/subsystem=undertow/server=default-server/https-listener=https", "security-realm", "UndertowRealm")
	c := resolve(t, tree, "master", "server-one", servergroups.Lookup{})
	realm, _ := c.Realms["UndertowRealm"].(map[string]any)
	if got := profiles.Format(realm); !strings.Contains(got, `"keystore-path" => "keycloak.jks"`) {
		t.Errorf("realm: %s", got)
	}
	_, err := snapshot(t, tree, "host2", 1).Resolve("server-two", servergroups.Lookup{})
	if err == nil || !strings.Contains(err.Error(), "/host=host2/core-service=management/security-realm=UndertowRealm does not exist") {
		t.Errorf("host2 has no realm: %v", err)
	}
}

func TestPortConflictsNameBothServersAndThePort(t *testing.T) {
	tree := demo(t)
	flags := servergroups.Lookup{Properties: map[string]string{"demo.server-one.offset": "0"}}
	one, lb := resolve(t, tree, "master", "server-one", flags), resolve(t, tree, "master", "load-balancer", flags)
	errs := servergroups.PortConflicts([]servergroups.ServerConfig{lb, one})
	if len(errs) != 3 { // http, https, health
		t.Fatalf("%v", errs)
	}
	for _, part := range []string{`"server-one"`, `"load-balancer"`, "9000"} {
		if !strings.Contains(errs[0].Error(), part) {
			t.Errorf("%q does not say %s", errs[0], part)
		}
	}
	other := one
	other.Bindings = map[string]servergroups.Binding{"http": {Address: "10.0.0.1", Port: 8080}, "any": {Port: 0}}
	if errs := servergroups.PortConflicts([]servergroups.ServerConfig{lb, other}); len(errs) > 0 {
		t.Errorf("other address: %v", errs)
	}
}

func TestStandalone(t *testing.T) {
	tree, err := profiles.Default(profiles.Standalone)
	if err != nil {
		t.Fatal(err)
	}
	c, err := servergroups.Standalone(tree, servergroups.Lookup{
		Properties: map[string]string{"jboss.http.port": "0", "jboss.socket.binding.port-offset": "10"},
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"KC_BOOTSTRAP_ADMIN_USERNAME": "root", "JBOSS_BIND_ADDRESS": "::1"}[name]
			return v, ok
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "standalone" || c.Site != "default" || c.Bindings["http"].Listen() != "[::1]:0" || c.Bindings["https"].Port != 8453 {
		t.Errorf("%+v", c)
	}
	if got := c.String("", "identity", "bootstrap-admin-user"); got != "root" {
		t.Errorf("administrator: %q", got)
	}
	if got := c.Int(0, "caches", "cache-container", "keycloak", "local-cache", "keys", "memory", "object", "size"); got != 1000 {
		t.Errorf("keys: %d", got)
	}
}
