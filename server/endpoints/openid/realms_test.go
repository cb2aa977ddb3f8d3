package openid_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/sessions/addresses"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/realmfile"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
)

// Realms of Keycloak 3.4 to 26.5 publish their keys, and each of their users
// gets tokens for each of their clients.
func TestEveryRealmFileGivesTokens(t *testing.T) {
	files, err := filepath.Glob("../../storage/realmfile/testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no realm files: %v", err)
	}
	ctx := context.Background()
	w := newWorld(t)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := realmfile.Import(ctx, w.store, data, realmfile.Options{Strategy: realmfile.IgnoreExisting}); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var realms []*model.Realm
	if err := w.store.View(ctx, func(tx storage.Tx) (err error) {
		realms, err = tx.Realms.List(ctx, "", storage.Query{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	issued := 0
	for _, realm := range realms {
		for _, path := range []string{"/.well-known/openid-configuration", "/protocol/openid-connect/certs", ""} {
			r := httptest.NewRequest(http.MethodGet, w.server.URL+"/auth/realms/"+realm.Name+path, nil)
			r.RemoteAddr = "127.0.0.1:1"
			rec := httptest.NewRecorder()
			if w.handler.ServeHTTP(rec, r); rec.Code != http.StatusOK && realm.Enabled && realm.SSLRequired != "all" {
				t.Errorf("%s%s: %d %s", realm.Name, path, rec.Code, rec.Body)
			}
		}
		issued += w.issueAll(realm)
	}
	if issued < 100 {
		t.Errorf("only %d tokens were issued", issued)
	}
}

// issueAll issues tokens to every client for the first users of a realm.
func (w *world) issueAll(realm *model.Realm) (issued int) {
	ctx := context.Background()
	var clients []*model.Client
	var users []*model.User
	if err := w.store.View(ctx, func(tx storage.Tx) (err error) {
		if clients, err = tx.Clients.List(ctx, realm.ID, storage.Query{}); err != nil {
			return err
		}
		users, err = tx.UserSearch.Search(ctx, realm.ID, storage.UserQuery{ServiceAccounts: true, Max: 3})
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	for _, client := range clients {
		for _, user := range users {
			if !client.IsOpenIDConnect() {
				continue
			}
			online, session := w.sessions.Transient(realm, client, user, sessions.Start{})
			subject := tokens.Subject{Site: addresses.At("https://sso.example", ""), Realm: realm, Client: client, User: user, Scope: "openid", Session: online, ClientSession: session}
			answer, err := w.issuer.Issue(ctx, subject, tokens.Options{Refresh: true})
			if err != nil {
				w.t.Errorf("%s, client %s, user %s: %v", realm.Name, client.ClientID, user.Username, err)
				continue
			}
			issued++
			if claims(w.t, answer.AccessToken)["sub"] != user.ID && client.Attribute("client.use.lightweight.access.token.enabled") != "true" {
				w.t.Logf("%s, client %s: sub is pairwise", realm.Name, client.ClientID)
			}
		}
	}
	return issued
}
