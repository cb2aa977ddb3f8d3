package storagetest

import (
	"context"
	"reflect"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func testUsers(t *testing.T, d database) {
	s := d.server(t)
	realm, _ := newRealm(t, s, "one")
	ctx := context.Background()
	user := &model.User{Username: "Älice", Email: "A@Example.org"}
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Users.Create(ctx, realm.ID, user) })
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		byName, err := tx.Users.ByUsername(ctx, realm.ID, "äLICE")
		must(t, err)
		byEmail, err := tx.Users.ByEmail(ctx, realm.ID, "a@eXample.org")
		must(t, err)
		if byName.ID != user.ID || byEmail.ID != user.ID {
			t.Errorf("found %q and %q, want %q", byName.ID, byEmail.ID, user.ID)
		}
		for _, odd := range []string{"", "nobody", "a\x00", "\xff"} {
			_, err := tx.Users.ByUsername(ctx, realm.ID, odd)
			wantKind(t, err, problem.NotFound)
			_, err = tx.Users.ByEmail(ctx, realm.ID, odd)
			wantKind(t, err, problem.NotFound)
		}
		return nil
	})
	create := func(u *model.User) error {
		return s.Update(ctx, func(tx storage.Tx) error { return tx.Users.Create(ctx, realm.ID, u) })
	}
	wantKind(t, create(&model.User{Username: "äLiCe"}), problem.Conflict)
	wantKind(t, create(&model.User{Username: "bob", Email: "a@example.ORG"}), problem.Conflict)
	wantKind(t, create(&model.User{}), problem.Invalid)
	bob := &model.User{Username: "bob"}
	must(t, create(bob))
	bob.Email = "a@example.org"
	wantKind(t, s.Update(ctx, func(tx storage.Tx) error { return tx.Users.Update(ctx, realm.ID, bob) }), problem.Conflict)

	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		r, err := tx.Realms.Get(ctx, "", realm.ID)
		must(t, err)
		r = model.Clone(r)
		r.DuplicateEmailsAllowed = true
		return tx.Realms.Update(ctx, "", r)
	})
	must(t, create(&model.User{Username: "carl", Email: "a@example.org"}))
	must(t, create(&model.User{Username: "dora", Email: "a@example.org"}))
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Users.Delete(ctx, realm.ID, user.ID) })
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		_, err := tx.Users.ByUsername(ctx, realm.ID, "älice")
		wantKind(t, err, problem.NotFound)
		first, err := tx.Users.ByEmail(ctx, realm.ID, "a@example.org")
		must(t, err)
		if first.Username != "carl" {
			t.Errorf("of several users of an address %q is found", first.Username)
		}
		return nil
	})
}

func testUserSearch(t *testing.T, d database) {
	s := d.server(t)
	realm, _ := newRealm(t, s, "one")
	yes, no := true, false
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		for _, u := range []*model.User{
			{Username: "carol", FirstName: "Carol", LastName: "Danvers", Email: "c@x.org", Enabled: true, Groups: []string{"/a/b"}},
			{Username: "alice", FirstName: "Alice", LastName: "Jones", Email: "alice@x.org", Enabled: true, EmailVerified: true, RealmRoles: []string{"admin"},
				Attributes: map[string][]string{"team": {"Red", "blue"}}},
			{Username: "bob_1", FirstName: "Bob", LastName: "Jones", ClientRoles: map[string][]string{"app": {"admin"}}, FederatedIdentities: []model.FederatedIdentity{{IdentityProvider: "google"}}},
			{Username: "service-account-app", Enabled: true, ServiceAccountClientID: "app"},
		} {
			must(t, tx.Users.Create(ctx, realm.ID, u))
		}
		return nil
	})
	for _, c := range []struct {
		query storage.UserQuery
		want  []string
	}{
		{storage.UserQuery{}, []string{"alice", "bob_1", "carol"}},
		{storage.UserQuery{InFileOrder: true, ServiceAccounts: true}, []string{"carol", "alice", "bob_1", "service-account-app"}},
		{storage.UserQuery{First: 1, Max: 1}, []string{"bob_1"}},
		{storage.UserQuery{Search: "JONES"}, []string{"alice", "bob_1"}},
		{storage.UserQuery{Search: "jones alice"}, []string{"alice"}},
		{storage.UserQuery{Username: "b_"}, []string{"bob_1"}},
		{storage.UserQuery{Username: "ali", Exact: true}, []string{}},
		{storage.UserQuery{Username: "ALICE", Exact: true}, []string{"alice"}},
		{storage.UserQuery{Email: "x.org", LastName: "j"}, []string{"alice"}},
		{storage.UserQuery{Enabled: &no}, []string{"bob_1"}},
		{storage.UserQuery{EmailVerified: &yes}, []string{"alice"}},
		{storage.UserQuery{Attributes: map[string]string{"team": "red"}}, []string{"alice"}},
		{storage.UserQuery{Attributes: map[string]string{"team": "re"}}, []string{}},
		{storage.UserQuery{Group: "/a/b"}, []string{"carol"}},
		{storage.UserQuery{RealmRole: "admin"}, []string{"alice"}},
		{storage.UserQuery{Client: "app", ClientRole: "admin"}, []string{"bob_1"}},
		{storage.UserQuery{IdentityProvider: "google"}, []string{"bob_1"}},
		{storage.UserQuery{ServiceAccountOf: "app"}, []string{"service-account-app"}},
		{storage.UserQuery{Username: "' OR 1=1 --"}, []string{}},
		{storage.UserQuery{Username: "a\x00"}, []string{}},
		{storage.UserQuery{Search: "\xff\x00"}, []string{}},
	} {
		view(t, s, func(ctx context.Context, tx storage.Tx) error {
			users, err := tx.UserSearch.Search(ctx, realm.ID, c.query)
			must(t, err)
			got := []string{}
			for _, u := range users {
				got = append(got, u.Username)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v finds %q, want %q", c.query, got, c.want)
			}
			n, err := tx.UserSearch.Count(ctx, realm.ID, c.query)
			if c.query.First == 0 && c.query.Max == 0 && n != len(c.want) {
				t.Errorf("%+v counts %d, want %d", c.query, n, len(c.want))
			}
			return err
		})
	}
	update(t, s, func(ctx context.Context, tx storage.Tx) error { // links follow the document
		u, err := tx.Users.ByUsername(ctx, realm.ID, "alice")
		must(t, err)
		u = model.Clone(u)
		u.RealmRoles, u.Groups, u.Username = []string{"other"}, []string{"/a/b"}, "alicia"
		return tx.Users.Update(ctx, realm.ID, u)
	})
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		admins, err := tx.UserSearch.Count(ctx, realm.ID, storage.UserQuery{RealmRole: "admin"})
		must(t, err)
		members, err := tx.UserSearch.Count(ctx, realm.ID, storage.UserQuery{Group: "/a/b"})
		must(t, err)
		_, err = tx.Users.ByUsername(ctx, realm.ID, "alice")
		wantKind(t, err, problem.NotFound)
		if admins != 0 || members != 2 {
			t.Errorf("%d admins and %d members, want 0 and 2", admins, members)
		}
		return nil
	})
}
