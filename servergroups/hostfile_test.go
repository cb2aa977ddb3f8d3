package servergroups_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

func TestHostFile(t *testing.T) {
	master, agent := hostFile(t, "host-master.toml"), hostFile(t, "host-agent.toml")
	if !master.Controller.Local || master.Name != "master" || !slices.Equal(master.Servers(), []string{"load-balancer", "server-one"}) {
		t.Errorf("%+v, servers %v", master, master.Servers())
	}
	c, err := agent.Resolve(servergroups.Lookup{Properties: map[string]string{"jboss.domain.master.address": "10.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Addresses, []string{"10.0.0.1:9999", "controller-two:9999"}) || c.Username != "host2" || c.SecretFile != "secret" || c.Fingerprint != "sha256:00" {
		t.Errorf("%+v", c)
	}
	if agent.Digest() == master.Digest() {
		t.Error("two files have one digest")
	}
}

// The secret may be in a security realm of the file, as WildFly has it.
func TestAHostsSecretMayBeInASecurityRealm(t *testing.T) {
	const file = "name = \"h\"\n[domain-controller.remote]\nsecurity-realm = \"M\"\n[core-service.management.security-realm.M.server-identity.secret]\nvalue = \"geheim\"\n"
	h, err := servergroups.ParseHostFile("h.toml", []byte(file))
	if err != nil || h.Controller.Secret != "geheim" {
		t.Fatalf("%+v (%v)", h.Controller, err)
	}
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	if op := h.Operation(tree); strings.Contains(op.String(), "geheim") {
		t.Errorf("the registration holds the secret: %s", op)
	}
	if _, err := servergroups.ParseHostFile("h.toml", []byte(strings.Replace(file, `"M"`, `"N"`, 1))); err == nil || !strings.Contains(err.Error(), `security-realm "N"`) {
		t.Errorf("a realm without a secret: %v", err)
	}
}

// A host's registration replaces what was there and never carries its secrets.
func TestRegistrationHoldsNoSecret(t *testing.T) {
	h, err := servergroups.ParseHostFile("h.toml", []byte("name = \"h\"\n[domain-controller.remote]\nsecret = \"geheim\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	if op := h.Operation(tree); strings.Contains(op.String(), "geheim") {
		t.Errorf("the operation holds the secret: %s", op)
	}
}

func TestHostFileErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "name is required"},
		{"nam = \"x\"", `h.toml:1:1: unknown key "nam"; did you mean "name"?`},
		{"name = \"a/b\"", `name "a/b"`},
		{"name = \"x\"\n[server.one]\n", "h.toml:2:9: group is required"},
		{"name = \"x\"\n[server.one]\ngroup = \"g\"\nport-ofset = 1", `h.toml:4:1: unknown key "port-ofset"`},
		{"name = \"x\"\n[server.one]\ngroup = \"g\"\n[server-config.one]\ngroup = \"g\"", "there twice"},
		{"name = \"x\"\n[domain-controller.remot]\n", `h.toml:2:20: there is no domain-controller "remot"; did you mean "remote"?`},
		{"name = \"x\"\n[domain-controller.remote]\n[domain-controller.local]\n", "both local and remote"},
		{"name = ", "h.toml:1:"},
	} {
		_, err := servergroups.ParseHostFile("h.toml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.text, err, c.says)
		}
	}
}
