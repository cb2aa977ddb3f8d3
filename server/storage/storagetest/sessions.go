package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func newSession(realm, id, user string, clients ...string) *model.UserSession {
	s := &model.UserSession{ID: id, RealmID: realm, UserID: user, Started: 1, Clients: map[string]*model.ClientSession{}}
	for _, c := range clients {
		s.Clients[c] = &model.ClientSession{ClientID: c, Notes: map[string]string{"scope": "openid"}}
	}
	return s
}

func testUserSessions(t *testing.T, d database) {
	s, other := d.server(t), d.server(t)
	ctx := context.Background()
	users := s.Sessions().Users
	must(t, users.Create(ctx, newSession("r", "s1", "u1", "c1", "c2")))
	must(t, users.Create(ctx, newSession("r", "s2", "u1", "c1")))
	must(t, users.Create(ctx, newSession("r", "s3", "u2")))
	wantKind(t, users.Create(ctx, newSession("r", "s1", "u2")), problem.Conflict)
	offline := newSession("r", "s1", "u1", "c1")
	offline.Offline = true
	must(t, users.Create(ctx, offline))

	got, err := other.Sessions().Users.Get(ctx, storage.SessionKey{Realm: "r", ID: "s1"})
	must(t, err)
	if got.UserID != "u1" || len(got.Clients) != 2 || got.Clients["c2"].Notes["scope"] != "openid" {
		t.Fatalf("another server finds %+v", got)
	}
	for _, key := range []storage.SessionKey{{Realm: "r", ID: "x"}, {Realm: "q", ID: "s1"}, {Realm: "r", ID: "s2", Offline: true}, {Realm: "r", ID: "a\x00"}, {Realm: "r", ID: "\xff"}} {
		_, err := users.Get(ctx, key)
		wantKind(t, err, problem.NotFound)
		wantKind(t, users.Change(ctx, key, func(*model.UserSession) error { return nil }), problem.NotFound)
		if found, err := users.Delete(ctx, key); found || err != nil {
			t.Errorf("deleting %+v: %v, %v", key, found, err)
		}
	}
	count := func(q storage.SessionQuery) int {
		list, err := other.Sessions().Users.List(ctx, q)
		must(t, err)
		n, err := other.Sessions().Users.Count(ctx, q)
		must(t, err)
		if n != len(list) {
			t.Errorf("%+v lists %d and counts %d", q, len(list), n)
		}
		return n
	}
	if a, b, c, e := count(storage.SessionQuery{Realm: "r"}), count(storage.SessionQuery{Realm: "r", User: "u1"}),
		count(storage.SessionQuery{Realm: "r", Client: "c2"}), count(storage.SessionQuery{Realm: "r", Offline: true}); a != 3 || b != 2 || c != 1 || e != 1 {
		t.Errorf("counts are %d, %d, %d, %d", a, b, c, e)
	}
	key := storage.SessionKey{Realm: "r", ID: "s1"}
	must(t, users.Change(ctx, key, func(s *model.UserSession) error {
		delete(s.Clients, "c1")
		s.Clients["c3"] = &model.ClientSession{CurrentRefreshToken: "t"}
		s.Notes = map[string]string{"n": "v"}
		return nil
	}))
	boom := errors.New("boom")
	if err := users.Change(ctx, key, func(s *model.UserSession) error { s.UserID = "evil"; return boom }); !errors.Is(err, boom) {
		t.Errorf("a failed change gives %v", err)
	}
	got, err = other.Sessions().Users.Get(ctx, key)
	must(t, err)
	if got.UserID != "u1" || got.Notes["n"] != "v" || len(got.Clients) != 2 || got.Clients["c3"].CurrentRefreshToken != "t" {
		t.Errorf("after the change: %+v", got)
	}
	if found, err := users.Delete(ctx, key); !found || err != nil {
		t.Errorf("deleting: %v, %v", found, err)
	}
	_, err = other.Sessions().Users.Get(ctx, key)
	wantKind(t, err, problem.NotFound)
	if n := count(storage.SessionQuery{Realm: "r", Client: "c3"}); n != 0 {
		t.Errorf("%d sessions left of a client", n)
	}
}

func testExpiry(t *testing.T, d database) {
	c := clocktest.New(time.Unix(1000, 0))
	s := d.server(t, func(o *storage.Options) { o.Clock = c })
	ctx, sessions := context.Background(), s.Sessions()
	short := newSession("r", "s", "u")
	short.Expires = 1010
	must(t, sessions.Users.Create(ctx, short))
	must(t, sessions.Users.Create(ctx, newSession("r", "forever", "u")))
	must(t, sessions.Authentications.Create(ctx, &model.AuthenticationSession{ID: "a", RealmID: "r", Expires: 1010}))
	must(t, sessions.SingleUse.Put(ctx, "r", "k", []byte("v"), 1010))
	must(t, sessions.LoginFailures.Change(ctx, "r", "u", func(f *model.LoginFailure) error { f.NumFailures, f.Expires = 3, 1010; return nil }))
	c.Advance(10 * time.Second)
	_, err := sessions.Users.Get(ctx, storage.SessionKey{Realm: "r", ID: "s"})
	wantKind(t, err, problem.NotFound)
	_, err = sessions.Authentications.Get(ctx, "r", "a")
	wantKind(t, err, problem.NotFound)
	_, err = sessions.SingleUse.Take(ctx, "r", "k")
	wantKind(t, err, problem.NotFound)
	_, err = sessions.LoginFailures.Get(ctx, "r", "u")
	wantKind(t, err, problem.NotFound)
	must(t, sessions.LoginFailures.Change(ctx, "r", "u", func(f *model.LoginFailure) error {
		if f.NumFailures != 0 {
			t.Errorf("expired failures count: %d", f.NumFailures)
		}
		return nil
	}))
	must(t, sessions.SingleUse.Put(ctx, "r", "k", []byte("again"), 2000))
	if n, err := sessions.Users.Count(ctx, storage.SessionQuery{Realm: "r"}); n != 1 || err != nil {
		t.Errorf("%d sessions, want the one that does not expire; %v", n, err)
	}
	// The sweep removes the rows too: the id is free again.
	eventually(t, "the sweep removes an expired session", func() bool {
		c.Advance(time.Minute)
		return sessions.Users.Create(ctx, newSession("r", "s", "u2")) == nil
	})
	if _, err := sessions.Users.Get(ctx, storage.SessionKey{Realm: "r", ID: "forever"}); err != nil {
		t.Error("the sweep took a session that does not expire:", err)
	}
}

func testTouch(t *testing.T, d database) {
	c := clocktest.New(time.Unix(1000, 0))
	s := d.server(t, func(o *storage.Options) { o.Clock = c })
	other := d.server(t, func(o *storage.Options) { o.Clock = c })
	ctx, key := context.Background(), storage.SessionKey{Realm: "r", ID: "s"}
	session := newSession("r", "s", "u", "c1")
	session.Expires = 1100
	must(t, s.Sessions().Users.Create(ctx, session))
	before, err := s.Status(ctx)
	must(t, err)
	for at := int64(1001); at <= 1050; at++ {
		must(t, s.Sessions().Users.Touch(ctx, key, "c1", at, at+100))
	}
	got, err := s.Sessions().Users.Get(ctx, key)
	must(t, err)
	if got.LastAccess != 1050 || got.Expires != 1150 || got.Clients["c1"].LastAccess != 1050 {
		t.Errorf("this server sees %+v", got)
	}
	c.Advance(storage.Options{}.WithDefaults().TouchEvery) // once: a decorator writes of its own as time passes
	eventually(t, "another server sees the touch", func() bool {
		got, err := other.Sessions().Users.Get(ctx, key)
		return err == nil && got.LastAccess == 1050 && got.Expires == 1150 && got.Clients["c1"].LastAccess == 1050
	})
	after, err := s.Status(ctx)
	must(t, err)
	if n := after.Writes - before.Writes; n > 3 {
		t.Errorf("50 touches took %d writes", n)
	}
}

func testConcurrentChanges(t *testing.T, d database) {
	servers := []storage.Store{d.server(t), d.server(t)}
	ctx, key := context.Background(), storage.SessionKey{Realm: "r", ID: "s"}
	must(t, servers[0].Sessions().Users.Create(ctx, newSession("r", "s", "u", "c")))
	must(t, servers[0].Sessions().Authentications.Create(ctx, &model.AuthenticationSession{ID: "a", RealmID: "r", Expires: 1 << 40}))
	const workers, rounds = 8, 15
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			sessions := servers[w%2].Sessions()
			for i := range rounds {
				if err := sessions.Users.Change(ctx, key, func(s *model.UserSession) error {
					s.Clients["c"].CurrentRefreshTokenUseCount++
					s.Clients[fmt.Sprint("c", w, "-", i)] = &model.ClientSession{}
					return nil
				}); err != nil {
					t.Error(err)
				}
				if err := sessions.Authentications.Change(ctx, "r", "a", func(a *model.AuthenticationSession) error {
					a.Tabs[fmt.Sprint(w, "-", i)] = &model.AuthenticationTab{}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := servers[1].Sessions().Users.Get(ctx, key)
	must(t, err)
	tabs, err := servers[0].Sessions().Authentications.Get(ctx, "r", "a")
	must(t, err)
	if n := got.Clients["c"].CurrentRefreshTokenUseCount; n != workers*rounds || len(got.Clients) != workers*rounds+1 || len(tabs.Tabs) != workers*rounds {
		t.Errorf("%d increments, %d client sessions, %d tabs; want %d of each", n, len(got.Clients)-1, len(tabs.Tabs), workers*rounds)
	}
}

func testSingleUse(t *testing.T, d database) {
	servers := []storage.Store{d.server(t), d.server(t)}
	ctx := context.Background()
	for round := range 20 {
		key := fmt.Sprint("code-", round)
		var puts, takes atomic.Int32
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				err := servers[w%2].Sessions().SingleUse.Put(ctx, "r", key, []byte(key), 1<<40)
				if err == nil {
					puts.Add(1)
				} else if !problem.Is(err, problem.Conflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if v, err := servers[1].Sessions().SingleUse.Peek(ctx, "r", key); err != nil || string(v) != key {
			t.Errorf("peek gives %q, %v", v, err)
		}
		for w := range 8 {
			wg.Go(func() {
				v, err := servers[w%2].Sessions().SingleUse.Take(ctx, "r", key)
				if err == nil && string(v) == key {
					takes.Add(1)
				} else if !problem.Is(err, problem.NotFound) {
					t.Errorf("took %q, %v", v, err)
				}
			})
		}
		wg.Wait()
		if puts.Load() != 1 || takes.Load() != 1 {
			t.Fatalf("put %d times, taken %d times", puts.Load(), takes.Load())
		}
	}
}

func testFailures(t *testing.T, d database) {
	servers := []storage.Store{d.server(t), d.server(t)}
	ctx := context.Background()
	const workers, rounds, most = 6, 10, 20
	full := errors.New("full")
	var allowed atomic.Int32
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				err := servers[w%2].Sessions().LoginFailures.Change(ctx, "r", "u", func(f *model.LoginFailure) error {
					if f.NumFailures >= most {
						return full
					}
					f.NumFailures++
					return nil
				})
				if err == nil {
					allowed.Add(1)
				} else if !errors.Is(err, full) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	f, err := servers[0].Sessions().LoginFailures.Get(ctx, "r", "u")
	must(t, err)
	if f.NumFailures != most || allowed.Load() != most {
		t.Errorf("counted %d, allowed %d, want %d", f.NumFailures, allowed.Load(), most)
	}
	must(t, servers[1].Sessions().LoginFailures.Delete(ctx, "r", ""))
	_, err = servers[0].Sessions().LoginFailures.Get(ctx, "r", "u")
	wantKind(t, err, problem.NotFound)
}

func testChangeSessions(t *testing.T, d database) {
	s := d.server(t)
	ctx := context.Background()
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 20 { // failing and succeeding units share commits
		wg.Go(func() {
			id := fmt.Sprint("s", i)
			err := s.ChangeSessions(ctx, func(tx storage.Sessions) error {
				if err := tx.Users.Create(ctx, newSession("r", id, "u", "c")); err != nil {
					return err
				}
				if _, err := tx.Users.Get(ctx, storage.SessionKey{Realm: "r", ID: id}); err != nil {
					return err
				}
				if err := tx.SingleUse.Put(ctx, "r", id, nil, 1<<40); err != nil {
					return err
				}
				if i%2 == 1 {
					return boom
				}
				return nil
			})
			if failed := errors.Is(err, boom); failed != (i%2 == 1) {
				t.Errorf("unit %d gives %v", i, err)
			}
		})
		wg.Go(func() { // its caller goes away in the middle
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			err := s.ChangeSessions(ctx, func(tx storage.Sessions) error {
				cancel()
				return tx.SingleUse.Put(ctx, "r", fmt.Sprint("gone", i), nil, 1<<40)
			})
			if _, there := s.Sessions().SingleUse.Peek(context.Background(), "r", fmt.Sprint("gone", i)); err != nil || there != nil {
				t.Errorf("a caller that went away: %v, %v", err, there)
			}
		})
		wg.Go(func() {
			if err := s.ChangeSessions(ctx, func(storage.Sessions) error { panic("a caller's fault") }); !problem.Is(err, problem.Internal) {
				t.Errorf("a panic gives %v", err)
			}
		})
	}
	wg.Wait()
	for i := range 20 {
		_, err := s.Sessions().Users.Get(ctx, storage.SessionKey{Realm: "r", ID: fmt.Sprint("s", i)})
		_, code := s.Sessions().SingleUse.Peek(ctx, "r", fmt.Sprint("s", i))
		if there := i%2 == 0; (err == nil) != there || (code == nil) != there {
			t.Errorf("unit %d: session %v, code %v", i, err, code)
		}
	}
}

func testCrash(t *testing.T, d database) {
	s := d.server(t) // not closed until the end: it "crashes" with all it holds
	realm, _ := newRealm(t, s, "one")
	ctx := context.Background()
	must(t, s.Sessions().Users.Create(ctx, newSession(realm.ID, "s", "u", "c")))
	must(t, s.Sessions().SingleUse.Put(ctx, realm.ID, "k", []byte("v"), 1<<40))
	_, err := s.Sessions().SingleUse.Take(ctx, realm.ID, "k")
	must(t, err)
	next := d.server(t)
	if _, err := next.Sessions().Users.Get(ctx, storage.SessionKey{Realm: realm.ID, ID: "s"}); err != nil {
		t.Error("lost:", err)
	}
	_, err = next.Sessions().SingleUse.Take(ctx, realm.ID, "k")
	wantKind(t, err, problem.NotFound)
	view(t, next, func(ctx context.Context, tx storage.Tx) error {
		_, err := tx.Clients.ByName(ctx, realm.ID, "", "app")
		return err
	})
}

func testGroupCommit(t *testing.T, d database) {
	const rate, burst, writes = 20, 1, 200
	start := clock.Real().Now()
	s := d.server(t, func(o *storage.Options) { o.CommitRate, o.CommitBurst = rate, burst })
	ctx := context.Background()
	before, err := s.Status(ctx) // a decorator may have written of its own
	must(t, err)
	var wg sync.WaitGroup
	for i := range writes {
		wg.Go(func() {
			if err := s.Sessions().SingleUse.Put(ctx, "r", fmt.Sprint(i), nil, 1<<40); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	status, err := s.Status(ctx)
	must(t, err)
	took := clock.Since(clock.Real(), start)
	allowed := burst + uint64(took.Seconds()*rate) + 1 // however long a busy machine takes
	mayAdd := uint64(took / (5 * time.Second))         // by a decorator that writes now and then
	if n := status.Writes - before.Writes; n < writes || n > writes+mayAdd || status.Commits-before.Commits > allowed {
		t.Errorf("%d writes in %d commits in %s, want %d in at most %d", n, status.Commits-before.Commits, took, writes, allowed)
	}
	t.Logf("%d writes in %d commits in %s", status.Writes, status.Commits, took)
}

func testLoneWrite(t *testing.T, d database) {
	// The clock stands still: a write that waited for it would never return.
	c := clocktest.New(time.Unix(1000, 0))
	s := d.server(t, func(o *storage.Options) { o.Clock, o.CommitRate, o.CommitBurst = c, 1, 3 })
	for i := range 3 {
		must(t, s.Sessions().SingleUse.Put(context.Background(), "r", fmt.Sprint(i), nil, 2000))
	}
	gaveUp, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	wantKind(t, s.Sessions().SingleUse.Put(gaveUp, "r", "late", nil, 2000), problem.Timeout)
	_, err := s.Sessions().SingleUse.Peek(context.Background(), "r", "late")
	wantKind(t, err, problem.NotFound)
}
