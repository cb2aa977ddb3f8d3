package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func testDocuments(t *testing.T, d database) {
	s := d.server(t)
	realm, client := newRealm(t, s, "one")
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		for _, name := range []string{"zeta", "alpha", "Mid%dle"} {
			must(t, tx.Clients.Create(ctx, realm.ID, &model.Client{ClientID: name}))
		}
		return tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "r", Document: model.Document{Meta: model.Meta{Parent: client.ID}}})
	})
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		byID, err := tx.Clients.Get(ctx, realm.ID, client.ID)
		must(t, err)
		byName, err := tx.Clients.ByName(ctx, realm.ID, "", "app")
		must(t, err)
		if byID.ClientID != "app" || byName.ID != client.ID || byID.Version != 1 {
			t.Errorf("found %+v and %+v", byID, byName)
		}
		_, err = tx.Roles.ByName(ctx, realm.ID, "", "r")
		wantKind(t, err, problem.NotFound)
		role, err := tx.Roles.ByName(ctx, realm.ID, client.ID, "r")
		must(t, err)
		if role.Parent != client.ID {
			t.Errorf("role's parent is %q", role.Parent)
		}
		wantNames(ctx, t, tx, realm.ID, storage.Query{}, "app", "zeta", "alpha", "Mid%dle")
		wantNames(ctx, t, tx, realm.ID, storage.Query{First: 1, Max: 2}, "zeta", "alpha")
		wantNames(ctx, t, tx, realm.ID, storage.Query{First: 3}, "Mid%dle")
		wantNames(ctx, t, tx, realm.ID, storage.Query{Search: "ID%D"}, "Mid%dle")
		for _, odd := range []string{"", "nobody", "a\x00b", "\xff"} {
			_, err := tx.Clients.ByName(ctx, realm.ID, "", odd)
			wantKind(t, err, problem.NotFound)
			_, err = tx.Realms.ByName(ctx, "", "", odd)
			wantKind(t, err, problem.NotFound)
		}
		return nil
	})
}

func wantNames(ctx context.Context, t *testing.T, tx storage.Tx, realm string, q storage.Query, want ...string) {
	t.Helper()
	clients, err := tx.Clients.List(ctx, realm, q)
	must(t, err)
	got := []string{}
	for _, c := range clients {
		got = append(got, c.ClientID)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("list %+v is %q, want %q", q, got, want)
	}
}

func testLossless(t *testing.T, d database) {
	s := d.server(t)
	const text = `{"clientId":"odd","x":1.0,"y":null,"enabled":"true","attributes":{"a":7,"b":null,"ü<&":"\u0000"},"big":12345678901234567890,"e":[]}`
	client := &model.Client{}
	must(t, json.Unmarshal([]byte(text), client))
	realm, _ := newRealm(t, s, "one")
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Clients.Create(ctx, realm.ID, client) })
	fresh := d.server(t)
	view(t, fresh, func(ctx context.Context, tx storage.Tx) error {
		got, err := tx.Clients.ByName(ctx, realm.ID, "", "odd")
		must(t, err)
		back, err := json.Marshal(got)
		must(t, err)
		var a, b map[string]any
		must(t, json.Unmarshal([]byte(text), &a))
		must(t, json.Unmarshal(back, &b))
		delete(b, "id")
		if !reflect.DeepEqual(a, b) {
			t.Errorf("came back as %s", back)
		}
		return nil
	})
}

func testVersions(t *testing.T, d database) {
	s := d.server(t)
	realm, client := newRealm(t, s, "one")
	a, b := model.Clone(client), model.Clone(client)
	a.Name, b.Name = "first", "second"
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Clients.Update(ctx, realm.ID, a) })
	if a.Version != 2 {
		t.Errorf("version is %d after the first update", a.Version)
	}
	ctx := context.Background()
	err := s.Update(ctx, func(tx storage.Tx) error { return tx.Clients.Update(ctx, realm.ID, b) })
	wantKind(t, err, problem.Conflict)
	err = s.Update(ctx, func(tx storage.Tx) error {
		return tx.Clients.Update(ctx, realm.ID, &model.Client{ID: "none", ClientID: "n"})
	})
	wantKind(t, err, problem.NotFound)
	user := &model.User{Username: "u"}
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Users.Create(ctx, realm.ID, user) })
	old := model.Clone(user)
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Users.Update(ctx, realm.ID, user) })
	err = s.Update(ctx, func(tx storage.Tx) error { return tx.Users.Update(ctx, realm.ID, old) })
	wantKind(t, err, problem.Conflict)
}

func testNames(t *testing.T, d database) {
	s := d.server(t)
	realm, client := newRealm(t, s, "one")
	ctx := context.Background()
	try := func(fn func(storage.Tx) error) error { return s.Update(ctx, fn) }
	wantKind(t, try(func(tx storage.Tx) error { return tx.Realms.Create(ctx, "", &model.Realm{Name: "one"}) }), problem.Conflict)
	wantKind(t, try(func(tx storage.Tx) error { return tx.Clients.Create(ctx, realm.ID, &model.Client{ClientID: "app"}) }), problem.Conflict)
	wantKind(t, try(func(tx storage.Tx) error {
		return tx.Clients.Create(ctx, realm.ID, &model.Client{ID: client.ID, ClientID: "other"})
	}), problem.Conflict)
	other := &model.Client{ClientID: "other"}
	must(t, try(func(tx storage.Tx) error { return tx.Clients.Create(ctx, realm.ID, other) }))
	other.ClientID = "app"
	wantKind(t, try(func(tx storage.Tx) error { return tx.Clients.Update(ctx, realm.ID, other) }), problem.Conflict)
	wantKind(t, try(func(tx storage.Tx) error { return tx.Clients.Create(ctx, realm.ID, &model.Client{ClientID: "a\x00"}) }), problem.Invalid)
	// The same role name is free in every client and in the realm.
	must(t, try(func(tx storage.Tx) error {
		return errors.Join(tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "r"}),
			tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "r", Document: model.Document{Meta: model.Meta{Parent: client.ID}}}))
	}))
}

func testRollback(t *testing.T, d database) {
	s := d.server(t)
	ctx := context.Background()
	boom := errors.New("boom")
	err := s.Update(ctx, func(tx storage.Tx) error {
		must(t, tx.Realms.Create(ctx, "", &model.Realm{Name: "half"}))
		if _, err := tx.Realms.ByName(ctx, "", "", "half"); err != nil {
			t.Error("an update does not see its own writes:", err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("error is %v", err)
	}
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		_, err := tx.Realms.ByName(ctx, "", "", "half")
		wantKind(t, err, problem.NotFound)
		return nil
	})
}

func testReadYourWrite(t *testing.T, d database) {
	s := d.server(t)
	realm, client := newRealm(t, s, "one")
	for i := range 50 {
		view(t, s, func(ctx context.Context, tx storage.Tx) error { // fills caches
			r, err := tx.Realms.ByName(ctx, "", "", "one")
			must(t, err)
			_, err = tx.Clients.ByName(ctx, r.ID, "", "app")
			must(t, err)
			_, err = tx.Clients.List(ctx, r.ID, storage.Query{})
			return err
		})
		name := string(rune('a' + i%26))
		update(t, s, func(ctx context.Context, tx storage.Tx) error {
			c := model.Clone(client)
			c.Name = name
			must(t, tx.Clients.Update(ctx, realm.ID, c))
			client = c
			seen, err := tx.Clients.Get(ctx, realm.ID, c.ID)
			if err == nil && seen.Name != name {
				t.Errorf("an update reads %q after writing %q", seen.Name, name)
			}
			return err
		})
		view(t, s, func(ctx context.Context, tx storage.Tx) error {
			byID, err := tx.Clients.Get(ctx, realm.ID, client.ID)
			must(t, err)
			byName, err := tx.Clients.ByName(ctx, realm.ID, "", "app")
			must(t, err)
			list, err := tx.Clients.List(ctx, realm.ID, storage.Query{})
			must(t, err)
			if byID.Name != name || byName.Name != name || list[0].Name != name {
				t.Fatalf("after writing %q: %q by id, %q by name, %q in the list", name, byID.Name, byName.Name, list[0].Name)
			}
			return nil
		})
	}
}

func testCascade(t *testing.T, d database) {
	s := d.server(t)
	realm, client := newRealm(t, s, "one")
	user := &model.User{Username: "u"}
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		must(t, tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "r", Document: model.Document{Meta: model.Meta{Parent: client.ID}}}))
		must(t, tx.Groups.Create(ctx, realm.ID, &model.Group{ID: "g1", Name: "top"}))
		must(t, tx.Groups.Create(ctx, realm.ID, &model.Group{ID: "g2", Name: "in", Document: model.Document{Meta: model.Meta{Parent: "g1"}}}))
		user.Groups = []string{"/top/in"}
		return tx.Users.Create(ctx, realm.ID, user)
	})
	ctx := context.Background()
	key := storage.SessionKey{Realm: realm.ID, ID: "s1"}
	must(t, s.Sessions().Users.Create(ctx, &model.UserSession{ID: "s1", RealmID: realm.ID, UserID: user.ID}))
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		return errors.Join(tx.Groups.Delete(ctx, realm.ID, "g1"), tx.Clients.Delete(ctx, realm.ID, client.ID))
	})
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		groups, err := tx.Groups.List(ctx, realm.ID, storage.Query{})
		must(t, err)
		roles, err := tx.Roles.List(ctx, realm.ID, storage.Query{})
		must(t, err)
		u, err := tx.Users.Get(ctx, realm.ID, user.ID)
		must(t, err)
		if len(groups) != 0 || len(roles) != 0 || len(u.Groups) != 0 {
			t.Errorf("left: groups %v, roles %v, user's groups %v", groups, roles, u.Groups)
		}
		return nil
	})
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Realms.Delete(ctx, "", realm.ID) })
	_, err := s.Sessions().Users.Get(ctx, key)
	wantKind(t, err, problem.NotFound)
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		n, err := tx.UserSearch.Count(ctx, realm.ID, storage.UserQuery{})
		must(t, err)
		_, gone := tx.Users.Get(ctx, realm.ID, user.ID)
		wantKind(t, gone, problem.NotFound)
		if n != 0 {
			t.Errorf("%d users left in a deleted realm", n)
		}
		return nil
	})
}

func testForget(t *testing.T, d database) {
	s := d.server(t)
	realm, _ := newRealm(t, s, "one")
	role := &model.Role{Name: "powerful"}
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		must(t, tx.Roles.Create(ctx, realm.ID, role))
		must(t, tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "all", Composite: true, Composites: &model.Composites{Realm: []string{"powerful"}}}))
		must(t, tx.Groups.Create(ctx, realm.ID, &model.Group{Name: "g", RealmRoles: []string{"powerful"}}))
		return tx.Users.Create(ctx, realm.ID, &model.User{Username: "u", RealmRoles: []string{"powerful", "all"}})
	})
	update(t, s, func(ctx context.Context, tx storage.Tx) error {
		must(t, tx.Roles.Delete(ctx, realm.ID, role.ID))
		return tx.Roles.Create(ctx, realm.ID, &model.Role{Name: "powerful"})
	})
	view(t, s, func(ctx context.Context, tx storage.Tx) error {
		u, err := tx.Users.ByUsername(ctx, realm.ID, "u")
		must(t, err)
		roles, err := tx.Roles.List(ctx, realm.ID, storage.Query{})
		must(t, err)
		groups, err := tx.Groups.List(ctx, realm.ID, storage.Query{})
		must(t, err)
		for name := range model.EffectiveRoles(u, model.NewRoleSet(roles, nil), model.NewGroups(groups)) {
			if name.Name == "powerful" {
				t.Error("a new role of an old name is the old holders'")
			}
		}
		if len(groups[0].RealmRoles) != 0 {
			t.Errorf("the group still has %v", groups[0].RealmRoles)
		}
		return nil
	})
}
