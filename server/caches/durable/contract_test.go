package durable_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/caches/durable"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
	"github.com/gatehouse-idp/gatehouse/server/storage/sqlite"
	"github.com/gatehouse-idp/gatehouse/server/storage/storagetest"
)

// sites are the clusters of the suite's databases: the servers of one address
// are the members of one.
type sites struct {
	mu  sync.Mutex
	all map[string]*site
}

type site struct {
	net   *clustertest.Net
	alive []string
	count int
}

func (s *sites) open(ctx context.Context, path string, o storage.Options) (storage.Store, error) {
	if o.CommitBurst != 0 {
		o.CommitBurst++ // for the roll
	}
	behind, err := sqlite.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.all[path]
	if at == nil {
		at = &site{net: clustertest.NewNet()}
		s.all[path] = at
	}
	at.count++
	name := fmt.Sprint("server-", at.count)
	node := at.net.Start(name)
	m := newMember(node, behind, o.Clock)
	at.alive = append(at.alive, name)
	at.net.See(at.alive)
	m.start()
	if err := m.Enter(ctx); err != nil {
		return nil, err
	}
	return &closing{m, sync.OnceFunc(func() {
		m.stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		at.net.Kill(name)
		for i, n := range at.alive {
			if n == name {
				at.alive = append(at.alive[:i:i], at.alive[i+1:]...)
				break
			}
		}
		if len(at.alive) > 0 {
			at.net.See(at.alive)
		}
	})}, nil
}

// member is one server's caches.
type member struct {
	*durable.Store
	online, offline *caches.Distributed
	work            *caches.Work
	node            *clustertest.Node
	end             context.CancelFunc
	done            sync.WaitGroup
}

func newMember(node *clustertest.Node, behind storage.Store, c clock.Clock) *member {
	m := &member{node: node}
	cache := func(name string) *caches.Distributed {
		return caches.NewDistributed(caches.DistributedConfig{Name: name, Mesh: node, Policy: caches.Majority, Statistics: true, Clock: clock.Real(), Log: zerolog.Nop()})
	}
	m.online, m.offline = cache("sessions"), cache("offlineSessions")
	m.work = caches.NewWork(caches.WorkConfig{Mesh: node, Clock: clock.Real(), Log: zerolog.Nop()})
	m.Store = durable.New(behind, durable.Config{
		Self: durable.Member{Name: node.Self().Name, Born: node.Self().Born}, Work: m.work, Clock: c, Log: zerolog.Nop(),
		Online: durable.Kind{Cache: m.online}, Offline: durable.Kind{Cache: m.offline},
		Members: func() (list []durable.Member) {
			view, _ := node.View()
			for _, member := range view.Members {
				list = append(list, durable.Member{Name: member.Name, Born: member.Born})
			}
			return list
		},
	})
	return m
}

func (m *member) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.end = cancel
	for _, run := range []func(context.Context) error{m.online.Run, m.offline.Run, m.work.Run, m.Store.Run} {
		m.done.Go(func() { _ = run(ctx) })
	}
}

func (m *member) stop() { m.end(); m.done.Wait() }

// closing ends the caches with the store.
type closing struct {
	*member
	stop func()
}

func (c *closing) Close() error {
	c.stop()
	return c.member.Close()
}

var suite = &sites{all: map[string]*site{}}

func TestMain(m *testing.M) { storagetest.Main(m, suite.open) }

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "gatehouse.db") }

func TestTheStorageContract(t *testing.T) { storagetest.Run(t, newPath, suite.open) }

func BenchmarkGet(b *testing.B) {
	ctx := context.Background()
	path := newPath(b)
	store, err := suite.open(ctx, path, storage.Options{Clock: clock.Real()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	c := store.(*closing)
	if err := c.Sessions().Users.Create(ctx, loggedIn()); err != nil {
		b.Fatal(err)
	}
	key := storage.SessionKey{Realm: "r", ID: "s"}
	for !c.Serving() {
		if _, err := c.Sessions().Users.Get(ctx, key); err != nil {
			b.Fatal(err)
		}
	}
	for name, s := range map[string]storage.Store{"cache": c, "database": c.Store.Store} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sessions().Users.Get(ctx, key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// loggedIn is a session as a login leaves it.
func loggedIn() *model.UserSession {
	return &model.UserSession{
		ID: "s", RealmID: "r", UserID: "1b671a64-40d5-491e-99b0-da01ff1f3341", LoginUsername: "alice", IPAddress: "127.0.0.1",
		AuthMethod: "openid-connect", State: "LOGGED_IN", Started: 1, LastAccess: 2, Expires: 1 << 40, Notes: map[string]string{"AUTH_TIME": "1"},
		Clients: map[string]*model.ClientSession{"c": {ClientID: "c", Protocol: "openid-connect", RedirectURI: "https://app.example/callback", Started: 1, LastAccess: 2,
			Notes: map[string]string{"scope": "openid email profile", "iss": "https://sso.example/auth/realms/r"}}},
	}
}
