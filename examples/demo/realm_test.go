package demo_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/authentication"
	"github.com/gatehouse-idp/gatehouse/server/authentication/passwords"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
)

func TestTheDemosUsersLogInWithTheirPasswords(t *testing.T) {
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "demo.db"), storage.Options{Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	data, err := os.ReadFile("demo-realm.json")
	if err != nil {
		t.Fatal(err)
	}
	report, err := realmfile.Import(t.Context(), store, data, realmfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Realms) != 1 || report.Realms[0].Stored["users"] < 3 {
		t.Errorf("imported: %v", report.Lines())
	}
	var realm *model.Realm
	var cli *model.Client
	err = store.View(t.Context(), func(tx storage.Tx) (err error) {
		if realm, err = tx.Realms.ByName(t.Context(), "", "", "demo"); err == nil {
			cli, err = tx.Clients.ByName(t.Context(), realm.ID, "", "demo-cli")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p := authentication.New(authentication.Config{Store: store, Hasher: passwords.NewHasher(0), Clock: clock.Real(), Log: zerolog.Nop()})
	for _, name := range []string{"alice", "bob"} {
		form := map[string][]string{"username": {name}, "password": {name + "-in-demo"}}
		u, err := p.VerifyPassword(t.Context(), realm, cli, form, "127.0.0.1")
		if err != nil || u.Username != name {
			t.Errorf("%s: %v", name, err)
			continue
		}
		policy, err := passwords.ParsePolicy(realm.PasswordPolicy)
		if err != nil || policy.Check(name+"-in-demo", passwords.Subject{Username: name, Email: u.Email}) != nil {
			t.Errorf("%s: the password breaks the demo's own policy (%v)", name, err)
		}
	}
}
