package stored_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/caches/stored"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/storage/storagetest"
)

// site delivers the events of each store to the others, before Publish returns.
type site struct {
	mu      sync.Mutex
	members []*stored.Store
}

func (n *site) Publish(_ context.Context, event []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		if err := m.Apply(event); err != nil {
			return err
		}
	}
	return nil
}

func (n *site) open(ctx context.Context, path string, o storage.Options) (storage.Store, error) {
	behind, err := sqlite.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	s := stored.New(behind, stored.Options{Publisher: n})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = append(n.members, s)
	return s, nil
}

func TestMain(m *testing.M) { storagetest.Main(m, new(site).open) }

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.db") }

func TestTheStorageContract(t *testing.T) { storagetest.Run(t, newPath, new(site).open) }

// TestNothingIsKeptWhereThatIsTheBound: what somebody else writes into the
// database, telling nobody, is seen at once.
func TestNothingIsKeptWhereThatIsTheBound(t *testing.T) {
	ctx := context.Background()
	behind, err := sqlite.Open(ctx, newPath(t), storage.Options{Clock: clock.Real()})
	if err != nil {
		t.Fatal(err)
	}
	s := stored.New(behind, stored.Options{MaxNouns: stored.Nothing, MaxUsers: stored.Nothing})
	defer s.Close()
	realm, user := &model.Realm{Name: "r"}, &model.User{Username: "u"}
	if err := s.Update(ctx, func(tx storage.Tx) error { return tx.Realms.Create(ctx, "", realm) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(tx storage.Tx) error { return tx.Users.Create(ctx, realm.ID, user) }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if err := behind.Update(ctx, func(tx storage.Tx) error {
			r, u := model.Clone(realm), model.Clone(user)
			r.DisplayName, u.FirstName = name, name
			if err := tx.Realms.Update(ctx, "", r); err != nil {
				return err
			}
			err := tx.Users.Update(ctx, realm.ID, u)
			realm, user = r, u
			return err
		}); err != nil {
			t.Fatal(err)
		}
		display, first, err := read(ctx, s, realm.ID)
		if err != nil || display != name || first != name {
			t.Errorf("%q, %q, want %q (%v)", display, first, name, err)
		}
	}
}

func TestAChangeThroughOneServerIsSeenAtOnceByAnother(t *testing.T) {
	ctx, network, path := context.Background(), new(site), newPath(t)
	var servers [2]storage.Store
	for i := range servers {
		s, err := network.open(ctx, path, storage.Options{Clock: clock.Real()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		servers[i] = s
	}
	realm := &model.Realm{Name: "r"}
	if err := servers[0].Update(ctx, func(tx storage.Tx) error { return tx.Realms.Create(ctx, "", realm) }); err != nil {
		t.Fatal(err)
	}
	user := &model.User{Username: "u"}
	if err := servers[1].Update(ctx, func(tx storage.Tx) error { return tx.Users.Create(ctx, realm.ID, user) }); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	defer readers.Wait()
	defer close(stop)
	for i := range 4 { // readers keep both caches full of what is there now
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _, _ = read(ctx, servers[i%2], realm.ID)
				}
			}
		})
	}
	for i := range 200 {
		writer, reader := servers[i%2], servers[1-i%2]
		want := string(rune('a' + i%26))
		if err := writer.Update(ctx, func(tx storage.Tx) error {
			r, err := tx.Realms.ByName(ctx, "", "", "r")
			if err != nil {
				return err
			}
			u, err := tx.Users.ByUsername(ctx, realm.ID, "u")
			if err != nil {
				return err
			}
			r.DisplayName, u.FirstName = want, want
			if err := tx.Realms.Update(ctx, "", r); err != nil {
				return err
			}
			return tx.Users.Update(ctx, realm.ID, u)
		}); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]storage.Store{"the other": reader, "the same": writer} {
			if display, first, err := read(ctx, s, realm.ID); err != nil || display != want || first != want {
				t.Fatalf("write %d: %s server reads %q and %q, want %q; %v", i, name, display, first, want, err)
			}
		}
	}
}

func read(ctx context.Context, s storage.Store, realm string) (display, first string, err error) {
	err = s.View(ctx, func(tx storage.Tx) error {
		r, err := tx.Realms.ByName(ctx, "", "", "r")
		if err != nil {
			return err
		}
		u, err := tx.Users.ByUsername(ctx, realm, "u")
		if err != nil {
			return err
		}
		display, first = r.DisplayName, u.FirstName
		return nil
	})
	return display, first, err
}

func BenchmarkCachedRead(b *testing.B) {
	ctx := context.Background()
	s, err := new(site).open(ctx, newPath(b), storage.Options{Clock: clock.Real()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	realm := &model.Realm{Name: "r"}
	if err := s.Update(ctx, func(tx storage.Tx) error {
		if err := tx.Realms.Create(ctx, "", realm); err != nil {
			return err
		}
		return tx.Clients.Create(ctx, realm.ID, &model.Client{ClientID: "app"})
	}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.View(ctx, func(tx storage.Tx) error {
			r, err := tx.Realms.ByName(ctx, "", "", "r")
			if err != nil {
				return err
			}
			_, err = tx.Clients.ByName(ctx, r.ID, "", "app")
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
