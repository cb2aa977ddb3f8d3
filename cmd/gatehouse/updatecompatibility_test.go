package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/profiles"
)

// defaultDomain is the built-in domain as a file, with words of it replaced.
func defaultDomain(t *testing.T, replace ...string) string {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	text := string(profiles.EncodeTOML(tree))
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the built-in domain has no %q", replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return write(t, text)
}

func TestUpdateCompatibilityAnswersByItsExitCode(t *testing.T) {
	same := defaultDomain(t)
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	if code, _, stderr := gatehouse(t, "", "update-compatibility", "metadata", "--config="+same, "--file="+metadata, "-Dgatehouse.database.password=geheim"); code != 0 {
		t.Fatalf("metadata: %d %s", code, stderr)
	}
	text, err := os.ReadFile(metadata)
	if err != nil || strings.Contains(string(text), "geheim") {
		t.Fatalf("the metadata tells a password, or %v", err)
	}
	password := "-Dgatehouse.database.password=geheim"
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nothing changed", []string{"--config=" + same, "--file=" + metadata, password}, 0, "[OK] Rolling Update is available."},
		{"a password changed", []string{"--config=" + same, "--file=" + metadata, "-Dgatehouse.database.password=neu"}, 0, "password"},
		{"another database", []string{"--config=" + same, "--file=" + metadata, password, "-Dgatehouse.database.url=sqlite:elsewhere.db"}, 3, "connection-url' is incompatible"},
		{"another path of all addresses", []string{"--config=" + defaultDomain(t, `web-context = "auth"`, `web-context = "sso"`), "--file=" + metadata, password}, 3, "web-context' is incompatible: "},
		{"a page's setting", []string{"--config=" + defaultDomain(t, "staticMaxAge = 2592000", "staticMaxAge = 60"), "--file=" + metadata, password}, 0, "staticMaxAge"},
		{"no metadata", []string{"--config=" + same, "--file=/no/such/file"}, 1, ""},
		{"damaged metadata", []string{"--config=" + same, "--file=" + write(t, "{")}, 1, ""},
		{"no domain", []string{"--config=/no/such/domain.toml", "--file=" + metadata}, 1, ""},
		{"an impossible domain", []string{"--config=" + write(t, "mode = \"domain\"\nnonsense = 1\n"), "--file=" + metadata}, 1, ""},
		{"no file named", []string{"--config=" + same}, 2, ""},
		{"an unknown flag", []string{"--fiel=x"}, 2, ""},
	} {
		code, stdout, stderr := gatehouse(t, "", append([]string{"update-compatibility", "check"}, c.args...)...)
		if code != c.code || !strings.Contains(stdout, c.says) {
			t.Errorf("%s: exit %d, want %d; want %q in\n%s%s", c.name, code, c.code, c.says, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "geheim") || strings.Contains(stdout+stderr, "neu\n") {
			t.Errorf("%s: a password was told", c.name)
		}
	}
}

// hosted is a domain with two hosts whose servers have settings of their own.
func hosted(t *testing.T, property, more string) string {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, string(profiles.EncodeTOML(tree))+`
[host.one.server-config.a]
group = "auth-server-group"
[host.two.server-config.b]
group = "auth-server-group"
port-offset = 100
[host.two.server-config.b.system-property."gatehouse.database.url"]
value = "`+property+`"
`+more)
}

// One server with another database is enough: its group's own settings are the
// same.
func TestUpdateCompatibilityLooksAtEveryServerOfEveryGroup(t *testing.T) {
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	if code, _, stderr := gatehouse(t, "", "update-compatibility", "metadata", "--config="+hosted(t, "sqlite:b.db", ""), "--file="+metadata); code != 0 {
		t.Fatalf("metadata: %d %s", code, stderr)
	}
	older := filepath.Join(t.TempDir(), "older.json") // without servers, as earlier releases wrote it
	text, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "servers")
	if text, err = json.Marshal(fields); err == nil {
		err = os.WriteFile(older, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, property, more, file string
		code                       int
		says                       string
	}{
		{"nothing changed", "sqlite:b.db", "", metadata, 0, "[OK] Rolling Update is available."},
		{"one server moves to another database", "sqlite:c.db", "", metadata, 3, "'two/b "},
		{"one server more", "sqlite:b.db", "[host.two.server-config.c]\ngroup = \"auth-server-group\"\nport-offset = 200\n", metadata, 0, "server two/c: new"},
		{"one that cannot be found out", "${only.host.two.knows}", "", metadata, 1, ""},
		{"metadata of an earlier release", "sqlite:b.db", "", older, 0, "[OK] Rolling Update is available."},
	} {
		code, stdout, stderr := gatehouse(t, "", "update-compatibility", "check", "--config="+hosted(t, c.property, c.more), "--file="+c.file)
		if code != c.code || !strings.Contains(stdout, c.says) {
			t.Errorf("%s: exit %d, want %d; want %q in\n%s%s", c.name, code, c.code, c.says, stdout, stderr)
		}
		if c.code == 1 && !strings.Contains(stderr, `server "b" of host "two"`) {
			t.Errorf("%s: the server is not named: %s", c.name, stderr)
		}
	}
}

func TestUpdateCompatibilityAsksTheRunningDomain(t *testing.T) {
	s := serveDomain(t)
	code, stdout, stderr := gatehouse(t, "", "update-compatibility", "metadata", "--controller="+s.Socket)
	if code != 0 || !strings.Contains(stdout, `"server-groups"`) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

func TestVersionsOfOneMinorVersionRoll(t *testing.T) {
	for _, c := range []struct {
		old, next string
		rolls     bool
	}{
		{"1.2.0", "1.2.9", true}, {"1.2.9", "1.2.0", true}, {"1.2.0", "1.2.1-rc.1", true}, {"v1.2.0", "1.2.1", true},
		{"1.2.0", "1.3.0", false}, {"1.2.0", "2.2.0", false}, {"1.20.0", "1.2.0", false},
		{"development", "development", true}, {"development", "1.2.0", false}, {"1.2", "1.2.0", false},
	} {
		if got := sameMinor(c.old, c.next); got != c.rolls {
			t.Errorf("%s -> %s rolls: %v, want %v", c.old, c.next, got, c.rolls)
		}
	}
}

func TestProgramsWithoutACommonProtocolDoNotRoll(t *testing.T) {
	var out strings.Builder
	old := updateMetadata{Version: "1.2.0", OldestProtocol: 1, NewestProtocol: 1}
	next := updateMetadata{Version: "1.2.1", OldestProtocol: 2, NewestProtocol: 3}
	if compatible(&out, old, next) || !strings.Contains(out.String(), "protocol 1 (version 1.2.0) -> protocols 2 to 3 (version 1.2.1)") {
		t.Errorf("%s", out.String())
	}
}

func TestProgramsThatCannotShareADatabaseDoNotRoll(t *testing.T) {
	for _, c := range []struct {
		name      string
		old, next updateMetadata
		rolls     bool
	}{
		{"the same", updateMetadata{Schema: 3, OldestSchema: 2}, updateMetadata{Schema: 3, OldestSchema: 2}, true},
		{"an additive step forward", updateMetadata{Schema: 3, OldestSchema: 2}, updateMetadata{Schema: 4, OldestSchema: 2}, true},
		{"and back", updateMetadata{Schema: 4, OldestSchema: 2}, updateMetadata{Schema: 3, OldestSchema: 2}, true},
		{"a breaking step forward", updateMetadata{Schema: 3, OldestSchema: 2}, updateMetadata{Schema: 4, OldestSchema: 4}, false},
		{"and back", updateMetadata{Schema: 4, OldestSchema: 4}, updateMetadata{Schema: 3, OldestSchema: 2}, false},
		{"metadata of a release that told none", updateMetadata{}, updateMetadata{Schema: 4, OldestSchema: 4}, true},
	} {
		var out strings.Builder
		c.old.NewestProtocol, c.next.NewestProtocol = 1, 1
		if got := compatible(&out, c.old, c.next); got != c.rolls || strings.Contains(out.String(), "gatehouse.schema") == c.rolls {
			t.Errorf("%s (%d to %d): %v, want %v\n%s", c.name, c.old.Schema, c.next.Schema, got, c.rolls, out.String())
		}
	}
}
