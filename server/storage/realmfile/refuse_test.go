package realmfile_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
)

func realmNames(t testing.TB, store storage.Store) string {
	t.Helper()
	var names []string
	if err := store.View(context.Background(), func(tx storage.Tx) error {
		realms, err := tx.Realms.List(context.Background(), "", storage.Query{})
		for _, r := range realms {
			names = append(names, r.Name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestABadFileIsRefusedWholeAndSaysWhy(t *testing.T) {
	store := openSQLite(t)
	good := `{"realm":"good","enabled":true}`
	for _, c := range []struct{ file, says string }{
		{"{\n  \"realm\": \"a\",\n  \"enabled\": tru\n}", "line 3, column 17"},
		{`{"realm":"a"`, "ends too early"},
		{``, "line 1, column 1"},
		{`{"realm":"a"} {}`, "something after its end"},
		{`7`, "not an object"},
		{`{"enabled":true}`, `"realm"`},
		{`[` + good + `,` + good + `]`, "twice"},
		{`{"realm":"a","clients":{}}`, "clients is not a list"},
		{`{"realm":"a","clients":[null]}`, "clients[0] is null"},
		{`{"realm":"a","clients":[{"clientId":"x","enabled":"maybe"}]}`, "clients[0]: enabled"},
		{`{"realm":"a","clients":[{"clientId":"x","defaultClientScopes":["nope"]}]}`, `client "x" names client scope "nope"`},
		{`{"realm":"a","clients":[{"clientId":"x","optionalClientScopes":["nope"]}]}`, `client scope "nope"`},
		{`{"realm":"a","clients":[{"clientId":"x"},{"clientId":"x"}]}`, `"x"`},
		{`{"realm":"a","browserFlow":"nope"}`, `browserFlow names flow "nope"`},
		{`{"realm":"a","clients":[{"clientId":"x","authenticationFlowBindingOverrides":{"browser":"nope"}}]}`, `flow "nope"`},
		{`{"realm":"a","authenticationFlows":[{"alias":"f","authenticationExecutions":[{"flowAlias":"nope"}]}]}`, `flow "f" names flow "nope"`},
		{`{"realm":"a","roles":{"realm":[{"name":"r","composites":{"realm":["nope"]}}]}}`, `composite role "r" names realm role "nope"`},
		{`{"realm":"a","roles":{"realm":[{"name":"r","composites":{"client":{"account":["nope"]}}}]}}`, `role "nope" of client "account"`},
		{`{"realm":"a","roles":{"client":{"nope":[{"name":"r"}]}}}`, `client "nope"`},
		{`{"realm":"a","users":[{"username":"u","realmRoles":["nope"]}]}`, `user "u" names realm role "nope"`},
		{`{"realm":"a","users":[{"username":"u","groups":["/nope"]}]}`, `group "/nope"`},
		{`{"realm":"a","users":[{"username":"u"},{"username":"U"}]}`, `username is taken`},
		{`{"realm":"a","users":[{"email":"u@x.org"}]}`, `no username`},
		{`{"realm":"a","scopeMappings":[{"client":"nope","roles":[]}]}`, `client "nope"`},
	} {
		for _, file := range []string{c.file, "[" + good + "," + c.file + "]"} {
			_, err := realmfile.Import(context.Background(), store, []byte(file), realmfile.Options{})
			if err == nil || file == c.file && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: error is %v, want one that says %s", file, err, c.says)
			}
			if names := realmNames(t, store); names != "" {
				t.Fatalf("%s: left behind: %s", file, names)
			}
		}
	}
}

func TestStrategies(t *testing.T) {
	store, ctx := openSQLite(t), context.Background()
	file := func(display string) []byte { return []byte(`{"realm":"a","displayName":"` + display + `"}`) }
	display := func() (name string) {
		_ = store.View(ctx, func(tx storage.Tx) error {
			r, err := tx.Realms.ByName(ctx, "", "", "a")
			name = r.DisplayName
			return err
		})
		return name
	}
	for _, c := range []struct {
		strategy realmfile.Strategy
		file     string
		kind     problem.Kind
		want     string
	}{
		{realmfile.Fail, "1", problem.Internal, "1"},
		{realmfile.IgnoreExisting, "2", problem.Internal, "1"},
		{realmfile.Fail, "3", problem.Conflict, "1"},
		{realmfile.Overwrite, "4", problem.Internal, "4"},
	} {
		_, err := realmfile.Import(ctx, store, file(c.file), realmfile.Options{Strategy: c.strategy})
		if (err != nil) != (c.kind == problem.Conflict) || display() != c.want {
			t.Errorf("file %s: error %v, realm is %q, want %q", c.file, err, display(), c.want)
		}
	}
}

func TestADirectoryExportIsReadTogether(t *testing.T) {
	dir := fstest.MapFS{
		"a-realm.json":     {Data: []byte(`{"realm":"a","enabled":true}`)},
		"a-users-0.json":   {Data: []byte(`{"realm":"a","users":[{"username":"u0"}]}`)},
		"a-users-1.json":   {Data: []byte(`{"realm":"a","users":[{"username":"u1"}]}`)},
		"unrelated.json":   {Data: []byte(`nonsense`)},
		"b-realm.json":     {Data: []byte("\xef\xbb\xbf" + `{"realm":"b","enabled":true}`)},
		"sub/x-realm.json": {Data: []byte(`nonsense`)},
	}
	contents, err := realmfile.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(contents) != 2 || len(contents[0].Users) != 2 {
		t.Errorf("read %d realms", len(contents))
	}
}

func TestClearTextPasswordsAreHashedAndSecretsMasked(t *testing.T) {
	store, ctx := openSQLite(t), context.Background()
	hash := func(_ context.Context, _ *model.Realm, password string) (model.Credential, error) {
		return model.Credential{SecretData: `{"value":"hash-of-` + password[:1] + `"}`, CredentialData: "{}"}, nil
	}
	data, err := os.ReadFile("testdata/nodejs-connect-example-realm.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := realmfile.Import(ctx, store, data, realmfile.Options{Hash: hash}); err != nil {
		t.Fatal(err)
	}
	whole, err := realmfile.Export(ctx, store, "nodejs-example", realmfile.ExportOptions{Users: true, Secrets: true})
	if err != nil || strings.Contains(string(whole), `"value": "password"`) || !strings.Contains(string(whole), "hash-of-p") {
		t.Errorf("the password was not hashed; %v", err)
	}
	masked, err := realmfile.Export(ctx, store, "nodejs-example", realmfile.ExportOptions{Users: true})
	if err != nil || strings.Contains(string(masked), "hash-of") || strings.Contains(string(masked), `"secret": "secret"`) || !strings.Contains(string(masked), realmfile.Mask) {
		t.Errorf("secrets are in an export without secrets; %v", err)
	}
}

func TestTheMasterRealmIsMadeOnce(t *testing.T) {
	store, ctx := openSQLite(t), context.Background()
	hashed := 0
	hash := func(context.Context, *model.Realm, string) (model.Credential, error) {
		hashed++
		return model.Credential{SecretData: "{}"}, nil
	}
	for i, want := range []bool{true, false} {
		made, err := realmfile.CreateMaster(ctx, store, realmfile.Admin{}, hash)
		if err != nil || made != want {
			t.Fatalf("time %d: made %v, %v", i, made, err)
		}
	}
	if has, err := realmfile.HasAdmin(ctx, store, model.Master); has || err != nil {
		t.Errorf("an administrator that nobody made: %v, %v", has, err)
	}
	if err := realmfile.CreateAdmin(ctx, store, realmfile.Admin{Username: "admin", Password: "p"}, hash); err != nil {
		t.Fatal(err)
	}
	err := realmfile.CreateAdmin(ctx, store, realmfile.Admin{Username: "second", Password: "p"}, hash)
	if has, _ := realmfile.HasAdmin(ctx, store, model.Master); !has || !problem.Is(err, problem.Conflict) {
		t.Errorf("has an administrator: %v; a second first one: %v", has, err)
	}
	made, err := realmfile.CreateMaster(ctx, store, realmfile.Admin{Username: "third", Password: "p"}, hash)
	if made || err != nil || hashed != 1 {
		t.Errorf("at the next boot: made %v, %v; passwords were hashed %d times, want once: a hash is longer than the boot", made, err, hashed)
	}
}

// TestTheMasterRealmMayHaveAnotherName: it is the one with roles over all
// realms then, and a realm called master is one like others.
func TestTheMasterRealmMayHaveAnotherName(t *testing.T) {
	store, ctx := openSQLite(t), context.Background()
	hash := func(context.Context, *model.Realm, string) (model.Credential, error) {
		return model.Credential{SecretData: "{}"}, nil
	}
	boss := realmfile.Admin{Username: "boss", Password: "p", Realm: "Operators"}
	if made, err := realmfile.CreateMaster(ctx, store, boss, hash); err != nil || !made {
		t.Fatal(made, err)
	}
	if _, err := realmfile.Import(ctx, store, []byte(`{"realm":"master"}`), realmfile.Options{Master: "Operators"}); err != nil {
		t.Fatal(err)
	}
	for realm, want := range map[string]bool{"Operators": true, "master": false} {
		if has, err := realmfile.HasAdmin(ctx, store, realm); err != nil || has != want {
			t.Errorf("%s has an administrator: %v (%v)", realm, has, err)
		}
		if err := store.View(ctx, func(tx storage.Tx) error {
			r, err := tx.Realms.ByName(ctx, "", "", realm)
			if err != nil {
				return err
			}
			_, err = tx.Clients.ByName(ctx, r.ID, "", realm+"-realm")
			if (err == nil) != want {
				t.Errorf("%s: client %s-realm: %v", realm, realm, err)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	if err := realmfile.CreateAdmin(ctx, store, boss, hash); !problem.Is(err, problem.Conflict) {
		t.Errorf("a second first administrator: %v", err)
	}
}

// TestStrangeFilesAreRefusedOrKept mutates real files: whatever is accepted is
// exported again, whole.
func TestStrangeFilesAreRefusedOrKept(t *testing.T) {
	store, ctx := openSQLite(t), context.Background()
	var wholes []any
	for _, name := range []string{"nodejs-connect-example-realm.json", "kc-testrealm.json", "kc-model-testrealm-4idps-authz.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		whole, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		wholes = append(wholes, whole)
	}
	rapid.Check(t, func(t *rapid.T) {
		whole := mutate(t, wholes[rapid.IntRange(0, len(wholes)-1).Draw(t, "file")], rapid.IntRange(1, 4).Draw(t, "changes"))
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := realmfile.Import(ctx, store, text, realmfile.Options{Strategy: realmfile.Overwrite}); err != nil {
			return
		}
		object := whole.(map[string]any)
		out, err := realmfile.Export(ctx, store, object["realm"].(string), realmfile.ExportOptions{Users: true, Secrets: true})
		if err != nil {
			t.Fatalf("imported, but: %v", err)
		}
		got, err := decode(out)
		if err != nil {
			t.Fatal(err)
		}
		if lost := missing(whole, got, "realm"); lost != "" {
			t.Fatalf("lost: %s", lost)
		}
	})
}

// mutate copies v with some values replaced, removed or added.
func mutate(t *rapid.T, v any, changes int) any {
	text, _ := json.Marshal(v) // it came from JSON
	v, _ = decode(text)
	for range changes {
		at := v
		for depth := 0; depth < 8; depth++ {
			next := step(t, at)
			if next == nil || rapid.IntRange(0, 3).Draw(t, "stop") == 0 {
				break
			}
			at = next
		}
		strange := rapid.SampledFrom([]any{nil, true, "text", json.Number("1.50"), []any{}, map[string]any{}, []any{"a", nil}, map[string]any{"k": nil}}).Draw(t, "value")
		switch at := at.(type) {
		case map[string]any:
			key := rapid.SampledFrom([]string{"new", "id", "name", "config", "attributes", "enabled", "composites", "users", "roles", "subGroups", "components"}).Draw(t, "key")
			if rapid.Bool().Draw(t, "remove") {
				delete(at, key)
			} else {
				at[key] = strange
			}
		case []any:
			if len(at) > 0 {
				at[rapid.IntRange(0, len(at)-1).Draw(t, "index")] = strange
			}
		}
	}
	return v
}

// step is a container inside v, nil if there is none.
func step(t *rapid.T, v any) any {
	var inside []any
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			inside = append(inside, v[key])
		}
	case []any:
		inside = v
	}
	var containers []any
	for _, child := range inside {
		switch child.(type) {
		case map[string]any, []any:
			containers = append(containers, child)
		}
	}
	if len(containers) == 0 {
		return nil
	}
	return containers[rapid.IntRange(0, len(containers)-1).Draw(t, "child")]
}
