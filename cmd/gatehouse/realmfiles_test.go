package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestImportKnowsTheMasterRealmByTheNameThatTheServersHave(t *testing.T) {
	for _, c := range []struct {
		flags  []string
		master bool
	}{
		{[]string{"--master-realm-name=operators"}, true},
		{nil, false},
	} {
		database := "--db-url=" + filepath.Join(t.TempDir(), "identity.db")
		file := write(t, `{"realm": "operators", "enabled": true}`)
		if code, _, stderr := gatehouse(t, "", append(append([]string{"import", database}, c.flags...), file)...); code != 0 {
			t.Fatalf("import: exit %d\n%s", code, stderr)
		}
		code, stdout, stderr := gatehouse(t, "", "export", database, "--realm=operators")
		if code != 0 {
			t.Fatalf("export: exit %d\n%s", code, stderr)
		}
		for _, sign := range []string{`"operators-realm"`, `"create-realm"`} { // the master realm's own administration
			if strings.Contains(stdout, sign) != c.master {
				t.Errorf("import with %v: the realm has %s: %v, want %v", c.flags, sign, !c.master, c.master)
			}
		}
	}
	code, _, stderr := gatehouse(t, "", "import", "--db-url="+filepath.Join(t.TempDir(), "a.db"), "--master-realm-name=", write(t, `{"realm": "a"}`))
	if code == 0 || !strings.Contains(stderr, "--master-realm-name is empty") {
		t.Errorf("no name: exit %d, %s", code, stderr)
	}
}
