package storagetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// testEvents: events are found by what is asked, the newest first, whole, and
// are gone when they are cleared or their realm is.
func testEvents(t *testing.T, d database) {
	ctx, s := context.Background(), d.server(t)
	realm, _ := newRealm(t, s, "r")
	other, _ := newRealm(t, s, "other")
	log := s.Sessions().Events
	for i := range 8 {
		e := &model.Event{
			RealmID: realm.ID, Time: int64(1000 + i), Type: []string{"LOGIN", "LOGIN_ERROR"}[i%2], ClientID: "app", UserID: fmt.Sprint("u", i%3),
			IPAddress: "10.0.0.1", Error: "x", SessionID: "s", Details: map[string]string{"username": "a\x00b\"c", "long": strings.Repeat("y", 5000)},
		}
		must(t, log.Add(ctx, e))
		if e.ID == "" {
			t.Fatal("an event got no id")
		}
	}
	must(t, log.Add(ctx, &model.Event{RealmID: other.ID, Time: 1003, Type: "LOGIN", ClientID: strings.Repeat("ü\x00", 4000)}))
	for _, c := range []struct {
		query storage.EventQuery
		want  string
	}{
		{storage.EventQuery{}, "1007 1006 1005 1004 1003 1002 1001 1000"},
		{storage.EventQuery{First: 2, Max: 3}, "1005 1004 1003"},
		{storage.EventQuery{Types: []string{"LOGIN_ERROR", "NONE"}}, "1007 1005 1003 1001"},
		{storage.EventQuery{User: "u1", From: 1002, To: 1007}, "1007 1004"},
		{storage.EventQuery{Client: "app", Remote: "10.0.0.1", Types: []string{"LOGIN"}, Max: 1}, "1006"},
		{storage.EventQuery{Client: "' OR 1=1 --"}, ""},
	} {
		c.query.Realm = realm.ID
		found, err := log.List(ctx, c.query)
		must(t, err)
		var got []string
		for _, e := range found {
			got = append(got, fmt.Sprint(e.Time))
		}
		n, err := log.Count(ctx, c.query)
		must(t, err)
		if strings.Join(got, " ") != c.want || c.query.Max == 0 && n != len(found) {
			t.Errorf("%+v: %s (%d), want %s", c.query, got, n, c.want)
		}
	}
	first, err := log.List(ctx, storage.EventQuery{Realm: realm.ID, To: 1000})
	must(t, err)
	if len(first) != 1 || first[0].Details["username"] != "a\x00b\"c" || len(first[0].Details["long"]) != 5000 {
		t.Errorf("it came back as %+v", first)
	}
	must(t, log.Clear(ctx, realm.ID, 1006))
	count(t, s, realm.ID, 2)
	count(t, s, other.ID, 1)
	must(t, log.Clear(ctx, realm.ID, 0))
	count(t, s, realm.ID, 0)
	update(t, s, func(ctx context.Context, tx storage.Tx) error { return tx.Realms.Delete(ctx, "", other.ID) })
	count(t, s, other.ID, 0)
}

func count(t *testing.T, s storage.Store, realm string, want int) {
	t.Helper()
	if n, err := s.Sessions().Events.Count(context.Background(), storage.EventQuery{Realm: realm}); err != nil || n != want {
		t.Errorf("%d events, want %d (%v)", n, want, err)
	}
}

// testAdminEvents: they are found by the resource, and apart from others.
func testAdminEvents(t *testing.T, d database) {
	ctx, s := context.Background(), d.server(t)
	must(t, s.Sessions().Events.Add(ctx, &model.Event{RealmID: "r", Time: 1, Type: "CREATE"}))
	const all, once = 600, 60 // more than one write clears, and what one commit adds in time on a busy machine
	for from := 0; from < all; from += once {
		must(t, s.ChangeSessions(ctx, func(tx storage.Sessions) error {
			for i := from; i < from+once; i++ {
				e := &model.AdminEvent{RealmID: "r", Time: int64(i + 1), Auth: model.AuthDetails{UserID: "boss"}, OperationType: "CREATE",
					ResourceType: "USER", ResourcePath: fmt.Sprintf("users/%d_A", i), Representation: `{"a":1}`}
				if err := tx.AdminEvents.Add(ctx, e); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	log := s.Sessions().AdminEvents
	found, err := log.List(ctx, storage.EventQuery{Realm: "r", User: "boss", Types: []string{"CREATE"}, Resources: []string{"USER"}, Path: "/59_a"})
	must(t, err)
	if len(found) != 1 || found[0].ResourcePath != "users/59_A" || found[0].Representation != `{"a":1}` {
		t.Errorf("found %+v", found)
	}
	must(t, log.Clear(ctx, "r", 0))
	if n, err := log.Count(ctx, storage.EventQuery{Realm: "r"}); err != nil || n != 0 {
		t.Errorf("%d are left (%v)", n, err)
	}
	count(t, s, "r", 1)
}
