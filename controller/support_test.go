package controller

import (
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/management/access"
)

func TestALogInABundleTellsNoSecretByName(t *testing.T) {
	const text = `{"level":"info","message":"hello","path":"/x"}
{"level":"warn","client_secret":"geheim-1","newPassword":{"value":"geheim-2"}}
panic: not JSON
{"half":
`
	got := string(maskedLines([]byte(text)))
	if strings.Contains(got, "geheim") || strings.Count(got, access.Masked) != 2 {
		t.Errorf("%s", got)
	}
	for _, line := range []string{`{"level":"info","message":"hello","path":"/x"}` + "\n", "panic: not JSON\n", `"level":"warn"`} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in\n%s", line, got)
		}
	}
}
