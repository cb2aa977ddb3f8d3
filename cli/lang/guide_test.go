package lang_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/cli/lang"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// guideLines are the commands of Keycloak's installation guide as they are run:
// ** stands for two things.
func guideLines(t *testing.T, mode profiles.Mode) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/guide-commands.cli")
	if err != nil {
		t.Fatal(err)
	}
	identity := map[profiles.Mode]string{
		profiles.Standalone: "/subsystem=keycloak-server",
		profiles.Domain:     "/profile=auth-server-clustered/subsystem=keycloak-server",
	}[mode]
	var out []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		line = strings.NewReplacer("**", identity, "<host_name>", "master", "<profile_name>", "auth-server-clustered").Replace(line)
		if lang.Blank(line) {
			continue
		}
		inDomain := strings.HasPrefix(line, "/host=") || strings.HasPrefix(line, "/profile=")
		standsAlone := strings.HasPrefix(line, "/subsystem=")
		switch {
		case mode == profiles.Standalone && inDomain:
			continue
		case mode == profiles.Domain && standsAlone: // the guide: prefix it with the profile
			line = "/profile=auth-server-clustered" + line
		}
		out = append(out, line)
	}
	return out
}

func TestEveryCommandOfTheGuideApplies(t *testing.T) {
	for _, mode := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		t.Run(string(mode), func(t *testing.T) {
			tree, err := profiles.Default(mode)
			if err != nil {
				t.Fatal(err)
			}
			if mode == profiles.Domain {
				tree, _, _, err = profiles.Apply(tree, profiles.Operation{Name: "add", Address: profiles.Address{{Type: "host", Name: "master"}}})
				if err != nil {
					t.Fatal(err)
				}
			}
			ran := 0
			for _, line := range guideLines(t, mode) {
				if !lang.IsOperation(line) {
					continue
				}
				op, err := lang.ParseOperation(line, nil)
				if err != nil {
					t.Errorf("%s: %v", line, err)
					continue
				}
				next, _, _, err := profiles.Apply(tree, op)
				if err != nil {
					t.Errorf("%s: %v", line, err)
					continue
				}
				tree = next
				ran++
			}
			if ran < 18 {
				t.Errorf("only %d commands ran", ran)
			}
			base := profiles.Address{}
			if mode == profiles.Domain {
				base = profiles.Address{{Type: "profile", Name: "auth-server-clustered"}}
			}
			identity := base.Child("subsystem", "identity")
			jpa := identity.Child("spi", "dblock").Child("provider", "jpa")
			if got := profiles.Format(tree.Attribute(jpa, "properties")); got != `{"lockWaitTimeout" => "3"}` {
				t.Errorf("dblock: %s", got)
			}
			http := identity.Child("spi", "connectionsHttpClient").Child("provider", "default")
			m, _ := tree.Attribute(http, "properties").(map[string]any)
			list, _ := m["proxy-mappings"].([]any)
			if len(list) != 3 || list[1] != `.*\.acme\.com;NO_PROXY` {
				t.Errorf("proxy-mappings: %s", profiles.Format(m))
			}
		})
	}
}
