package profiles

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Support says how far a feature may be relied on.
type Support string

// The levels of support. Preview features are on with the profile preview only;
// Experimental ones only when they are switched on by name.
const (
	Supported    Support = "supported"
	Disabled     Support = "supported, off by default"
	Preview      Support = "preview"
	Experimental Support = "experimental"
	Deprecated   Support = "deprecated, off by default"
)

// Feature is a part of the identity server that can be switched on and off.
type Feature struct {
	Name    string // with dashes; underscores are accepted
	Support Support
	Needs   string // a feature that must be on as well
	Text    string
}

// Features lists the features: those of the guide's chapter "Profiles", with
// what became of them in Keycloak 26, and Keycloak 26's.
func Features() []Feature {
	return []Feature{
		{"account", Supported, "", "The account page."},
		{"account2", Supported, "account-api", "The account console of 10.0's guide."},
		{"account-api", Supported, "", "The account REST API."},
		{"admin", Supported, "", "The admin console."},
		{"admin-api", Supported, "", "The admin REST API."},
		{"admin-fine-grained-authz", Preview, "authorization", "Permissions of administrators for single objects."},
		{"authorization", Supported, "", "Authorization services: resources, scopes, policies."},
		{"ciba", Supported, "", "Client-initiated back-channel authentication."},
		{"client-policies", Supported, "", "Policies for clients."},
		{"client-secret-rotation", Preview, "", "Two valid secrets of a client for a while."},
		{"client-types", Experimental, "", "Types of clients."},
		{"declarative-ui", Experimental, "", "Console pages from descriptions."},
		{"device-flow", Supported, "", "The device authorization grant."},
		{"docker", Disabled, "", "The Docker registry protocol."},
		{"dpop", Preview, "", "Tokens bound to the client's key."},
		{"dynamic-scopes", Experimental, "", "Scopes with a parameter."},
		{"fips", Disabled, "", "Only algorithms of FIPS 140."},
		{"impersonation", Supported, "", "Administrators may act as a user."},
		{"js-adapter", Supported, "", "The JavaScript adapter is served."},
		{"kerberos", Supported, "", "Kerberos in logins."},
		{"multi-site", Disabled, "", "Several sites with one site cache each."},
		{"oid4vc-vci", Experimental, "", "Verifiable credentials are issued."},
		{"openshift-integration", Preview, "", "Securing OpenShift."},
		{"organization", Supported, "", "Organizations in a realm."},
		{"par", Supported, "", "Pushed authorization requests."},
		{"passkeys", Preview, "web-authn", "Passkeys."},
		{"persistent-user-sessions", Supported, "", "User sessions are kept in the database."},
		{"recovery-codes", Preview, "", "Recovery codes instead of a second factor."},
		{"scripts", Preview, "", "Authenticators in JavaScript."},
		{"step-up-authentication", Supported, "", "Levels of authentication."},
		{"token-exchange", Preview, "", "Token exchange of 10.0's guide."},
		{"token-exchange-standard", Supported, "", "Token exchange, RFC 8693."},
		{"transient-users", Experimental, "", "Brokered users that are not stored."},
		{"update-email", Preview, "", "Users change their address with a check."},
		{"upload-scripts", Deprecated, "scripts", "Scripts through the REST API."},
		{"web-authn", Supported, "", "Web authentication."},
	}
}

// FeatureSwitches are what switches features on and off.
type FeatureSwitches struct {
	Profile  string          // "" and "default", or "preview"
	Features map[string]bool // by name, dashes or underscores
}

func featureName(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "-") }

// Enabled gives the features that are on, by name, sorted. It refuses a feature
// that does not exist, and switches that contradict each other, by name.
func (f FeatureSwitches) Enabled() ([]string, error) {
	switch f.Profile {
	case "", "default", "preview", "community", "product":
	default:
		return nil, problem.Invalid.Errorf("feature profile %q does not exist%s", f.Profile, suggest(f.Profile, []string{"default", "preview"}))
	}
	said := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(f.Features)) {
		canonical, on := featureName(name), f.Features[name]
		if before, twice := said[canonical]; twice && before != on {
			return nil, problem.Invalid.Errorf("feature %q is both enabled and disabled", canonical)
		}
		said[canonical] = on
	}
	return f.decide(said)
}

func (f FeatureSwitches) decide(said map[string]bool) ([]string, error) {
	on := map[string]bool{}
	var all []string
	for _, ft := range Features() {
		all = append(all, ft.Name)
		on[ft.Name] = ft.Support == Supported || ft.Support == Preview && f.Profile == "preview"
		if v, ok := said[ft.Name]; ok {
			on[ft.Name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if !slices.Contains(all, name) {
			return nil, problem.Invalid.Errorf("feature %q does not exist%s", name, suggest(name, all))
		}
	}
	var out []string
	for _, ft := range Features() {
		switch {
		case !on[ft.Name]:
			continue
		case ft.Needs != "" && !on[ft.Needs] && said[ft.Name]:
			return nil, problem.Invalid.Errorf("feature %q is enabled but needs %q, which is not", ft.Name, ft.Needs)
		case ft.Needs != "" && !on[ft.Needs]:
			continue // on by default only; goes with what it needs
		}
		out = append(out, ft.Name)
	}
	slices.Sort(out)
	return out, nil
}

// CheckFeatures checks the feature switches among an identity subsystem's
// attributes; those that are expressions are left out.
func CheckFeatures(attrs map[string]any) error {
	f, err := featuresOf(attrs)
	if err != nil {
		return err
	}
	_, err = f.Enabled()
	return err
}

func featuresOf(attrs map[string]any) (FeatureSwitches, error) {
	f := FeatureSwitches{Features: map[string]bool{}}
	if p, ok := attrs["feature-profile"].(string); ok && !IsExpression(p) {
		f.Profile = p
	}
	features, _ := attrs["features"].(map[string]any)
	for name, v := range features {
		if IsExpression(v) {
			continue
		}
		on, err := featureState(name, v)
		if err != nil {
			return f, err
		}
		f.Features[name] = on
	}
	return f, nil
}

func featureState(name string, v any) (bool, error) {
	switch v {
	case "enabled":
		return true, nil
	case "disabled":
		return false, nil
	}
	return false, problem.Invalid.Errorf("feature %q must not be %v (valid: enabled, disabled)", name, v)
}

// ServerFeatures are the features of one server: the identity subsystem's
// attributes, then profile.properties of the server (nil when there is none),
// then its system properties; the later goes before the earlier.
func ServerFeatures(identity map[string]any, profileProperties []byte, systemProperties map[string]string) ([]string, error) {
	f, err := featuresOf(identity)
	if err != nil {
		return nil, err
	}
	layers := []map[string]string{parseProperties(profileProperties), {}}
	for k, v := range systemProperties {
		if rest, ok := strings.CutPrefix(k, "keycloak.profile."); ok {
			layers[1][rest] = v
		} else if k == "keycloak.profile" {
			layers[1]["profile"] = v
		}
	}
	for _, layer := range layers {
		if err := f.overlay(layer); err != nil {
			return nil, err
		}
	}
	return f.Enabled()
}

// checkFeatureProperty checks a system property that switches features; others
// and expressions pass.
func checkFeatureProperty(name string, value any) error {
	v, ok := value.(string)
	if !ok || IsExpression(v) {
		return nil
	}
	feature, ok := strings.CutPrefix(name, "keycloak.profile.feature.")
	switch {
	case name == "keycloak.profile":
		_, err := FeatureSwitches{Profile: v}.Enabled()
		return err
	case !ok:
		return nil
	}
	if _, err := featureState(feature, v); err != nil {
		return err
	}
	_, err := FeatureSwitches{Features: map[string]bool{feature: false}}.Enabled() // off needs nothing else
	return err
}

// overlay takes profile=... and feature.<name>=... of a layer.
func (f *FeatureSwitches) overlay(layer map[string]string) error {
	fresh := map[string]bool{}
	for k, v := range layer {
		if k == "profile" {
			f.Profile = cmp.Or(v, f.Profile)
			continue
		}
		name, ok := strings.CutPrefix(k, "feature.")
		if !ok {
			continue
		}
		on, err := featureState(name, v)
		if err != nil {
			return err
		}
		fresh[featureName(name)] = on
	}
	merged := map[string]bool{}
	for name, on := range f.Features {
		if _, again := fresh[featureName(name)]; !again {
			merged[name] = on
		}
	}
	maps.Copy(merged, fresh)
	f.Features = merged
	return nil
}

// parseProperties reads lines of name=value; # and ! begin comments.
func parseProperties(data []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "!") {
			continue
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out
}
