package profiles_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// eachDescription calls f for every description of a mode, with a printable
// place.
func eachDescription(d *profiles.Description, at string, f func(at string, d *profiles.Description)) {
	f(at, d)
	for _, c := range d.Children {
		eachDescription(c.Description, at+"/"+c.Type+"="+c.Name, f)
	}
}

func TestDescriptionsHoldTogether(t *testing.T) {
	for _, m := range []profiles.Mode{profiles.Domain, profiles.Standalone} {
		root, err := m.Describe(nil)
		if err != nil {
			t.Fatal(err)
		}
		eachDescription(root, string(m), func(at string, d *profiles.Description) {
			if d.Text == "" {
				t.Errorf("%s has no text", at)
			}
			seen := d.ChildTypes() // a file has attributes and child types side by side
			for _, a := range d.Attributes {
				for _, name := range append([]string{a.Name}, a.Aliases...) {
					if slices.Contains(seen, name) {
						t.Errorf("%s: the name %q is there twice", at, name)
					}
					seen = append(seen, name)
				}
				if a.Text == "" || a.Type == "" {
					t.Errorf("%s: %s has no text or no type", at, a.Name)
				}
				if a.Required && a.Default != nil {
					t.Errorf("%s: %s is required and has a default", at, a.Name)
				}
				if a.Default != nil {
					if v, err := a.Resolved(a.Default, nil); err != nil {
						t.Errorf("%s: the default of %s: %v", at, a.Name, err)
					} else if _, list := v.([]any); list {
						t.Errorf("%s: the default of %s is a list, which could be changed", at, a.Name)
					}
				}
			}
			for _, c := range d.Children {
				if c.Implicit && c.Name == profiles.Wildcard {
					t.Errorf("%s: implicit children of type %s need a name", at, c.Type)
				}
				for _, a := range c.Attributes {
					if c.Implicit && a.Required {
						t.Errorf("%s: implicit child %s=%s requires %s", at, c.Type, c.Name, a.Name)
					}
				}
			}
		})
	}
}

// The guide's chapter "Profiles" and the switches that it prints.
func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		name       string
		file       string
		properties map[string]string
		on, off    []string
		err        string
	}{
		{"default", "", nil, []string{"account2", "account-api", "impersonation", "web-authn"}, []string{"docker", "scripts", "token-exchange", "upload-scripts", "openshift-integration"}, ""},
		{"preview", "", map[string]string{"keycloak.profile": "preview"}, []string{"scripts", "token-exchange", "openshift-integration"}, []string{"docker", "upload-scripts"}, ""},
		{"by name", "", map[string]string{"keycloak.profile.feature.docker": "enabled", "keycloak.profile.feature.impersonation": "disabled"}, []string{"docker"}, []string{"impersonation"}, ""},
		{"by file", "# x\nprofile=preview\nfeature.docker = enabled\n", nil, []string{"docker", "scripts"}, nil, ""},
		{"flag before file", "feature.docker=enabled", map[string]string{"keycloak.profile.feature.docker": "disabled"}, nil, []string{"docker"}, ""},
		{"unknown", "", map[string]string{"keycloak.profile.feature.dockr": "enabled"}, nil, nil, `feature "dockr" does not exist; did you mean "docker"?`},
		{"state", "feature.docker=yes", nil, nil, nil, `feature "docker" must not be yes`},
		{"needs", "", map[string]string{"keycloak.profile.feature.upload_scripts": "enabled"}, nil, nil, `needs "scripts"`},
		{"profile", "profile=prewiew", nil, nil, nil, `did you mean "preview"?`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := profiles.ServerFeatures(nil, []byte(c.file), c.properties)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range c.on {
				if !slices.Contains(got, f) {
					t.Errorf("%s is off", f)
				}
			}
			for _, f := range c.off {
				if slices.Contains(got, f) {
					t.Errorf("%s is on", f)
				}
			}
		})
	}
	_, err := profiles.FeatureSwitches{Features: map[string]bool{"token_exchange": true, "token-exchange": false}}.Enabled()
	if err == nil || !strings.Contains(err.Error(), "both enabled and disabled") {
		t.Errorf("contradiction: %v", err)
	}
}
