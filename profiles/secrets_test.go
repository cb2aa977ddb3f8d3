package profiles_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Secrets never stand in errors and printed changes.
func TestSecretsAreNotPrinted(t *testing.T) {
	const source = `"address":"/profile=auth-server-clustered/subsystem=datasources/data-source=KeycloakDS"`
	for _, op := range []string{
		`{"operation":"write-attribute",` + source + `,"name":"password","value":"geheim"}`,
		`{"operation":"write-attribute",` + source + `,"name":"password","value":["geheim"]}`,
		`{"operation":"write-attribute",` + source + `,"name":"password","value":"${geheim"}`,
		`{"operation":"add","address":"/profile=auth-server-clustered/subsystem=datasources/data-source=x","driver-name":"sqlite","connection-url":"sqlite:x","password":"geheim"}`,
		`{"operation":"add","address":"/core-service=management/security-realm=r/server-identity=ssl","keystore-password":"geheim"}`,
		`{"operation":"map-put","address":"/profile=auth-server-clustered/subsystem=identity/spi=truststore/provider=file","name":"properties","key":"password","value":"geheim"}`,
		`{"operation":"add","address":"/core-service=management/security-realm=r/server-identity=ssl","keystore-pasword":"geheim"}`,
	} {
		_, changes, _, err := profiles.Apply(domain(t), operation(t, op))
		if err == nil && len(changes) == 0 {
			t.Errorf("%s did nothing", op)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") || strings.Contains(changes.String(), "geheim") {
			t.Errorf("%s: %v\n%s", op, err, changes)
		}
	}
	d, err := profiles.Standalone.Describe(profiles.Address{{Type: "subsystem", Name: "datasources"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Resolve(nil, map[string]any{"data-source": map[string]any{"x": map[string]any{"password": "geheim${none}"}}}, func(string) (string, bool) { return "", false })
	if err == nil || strings.Contains(err.Error(), "geheim") || !strings.Contains(err.Error(), `password: "none" has no value`) {
		t.Errorf("%v", err)
	}
}
