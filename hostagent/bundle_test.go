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
