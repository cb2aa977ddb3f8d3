package hostagent

import (
	"strings"
	"testing"
)

func TestABundleShowsNoSecret(t *testing.T) {
	text := string(maskJSON([]byte(`{
		"user-name": "kc", "password": "hunter2", "credentials": ["hunter2"], "key-alias": "server", "key": "hunter2",
		"connection-url": "postgres://kc:hunter2@db:5432/kc?sslmode=disable", "other": "jdbc:x://db/kc?user=a&password=hunter2&x=1",
		"spi": {"secret": {"provider": {"vault": {"properties": {"keystorePassword": "hunter2", "client-secret": "hunter2"}}}}}}`)))
	if strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{`"kc"`, `"server"`, "postgres://kc:***", "x=1", `"vault"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing:\n%s", want, text)
		}
	}
}

func TestAnAgentsLogInABundleShowsNoSecretAndKeepsItsAddresses(t *testing.T) {
	text := string(maskLines([]byte(`{"message":"linked to https://10.0.0.1:9999","join-token":"hunter2","level":"info"}
{"message":"a database at postgres://kc:hunter2@db:5432/kc?password=hunter2"}
panic: not JSON
`)))
	if strings.Contains(text, "hunter2") || strings.Count(text, "\n") != 3 {
		t.Errorf("a secret is shown, or a line is lost:\n%s", text)
	}
	for _, want := range []string{"https://10.0.0.1:9999", "db:5432", "panic: not JSON"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing:\n%s", want, text)
		}
	}
}
