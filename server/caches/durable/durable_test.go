package durable_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
	"github.com/gatehouse-idp/gatehouse/server/model"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

// database is the store behind, shared by the servers of a test: each call
// takes its time, and says how many reads there were.
type database struct {
	storage.Store
	mu       sync.Mutex
	sessions map[storage.SessionKey][]byte
	single   map[string][]byte
	reads    int
	delay    func() time.Duration
}

func newDatabase(delay func() time.Duration) *database {
	return &database{sessions: map[storage.SessionKey][]byte{}, single: map[string][]byte{}, delay: delay}
}

func atOnce() time.Duration { return 0 }

func (d *database) Sessions() storage.Sessions {
	return storage.Sessions{Users: sessionTable{d: d}, SingleUse: singleTable{d: d}}
}

func (d *database) ChangeSessions(_ context.Context, fn func(storage.Sessions) error) error {
	time.Sleep(d.delay())
	d.mu.Lock()
	err := fn(storage.Sessions{Users: sessionTable{d: d, inside: true}, SingleUse: singleTable{d: d, inside: true}})
	d.mu.Unlock()
	time.Sleep(d.delay())
	return err
}

// Update is a transaction that deletes a user: all its sessions go.
func (d *database) Update(_ context.Context, fn func(storage.Tx) error) error {
	err := fn(storage.Tx{Users: deleteUser{}})
	time.Sleep(d.delay())
	d.mu.Lock()
	clear(d.sessions)
	d.mu.Unlock()
	time.Sleep(d.delay())
	return err
}

type deleteUser struct{ storage.Users }

func (deleteUser) Delete(context.Context, string, string) error { return nil }

type sessionTable struct {
	storage.UserSessions
	d      *database
	inside bool
}

// atomically runs fn alone, with time passing before and after it.
func (t sessionTable) atomically(fn func() error) error {
	if t.inside {
		return fn()
	}
	time.Sleep(t.d.delay())
	t.d.mu.Lock()
	err := fn()
	t.d.mu.Unlock()
	time.Sleep(t.d.delay())
	return err
}

func (t sessionTable) Get(_ context.Context, key storage.SessionKey) (s *model.UserSession, err error) {
	err = t.atomically(func() error {
		t.d.reads++
		text, ok := t.d.sessions[key]
		if !ok {
			return problem.NotFound.Errorf("cannot find %s", key.ID)
		}
		s = &model.UserSession{}
		return json.Unmarshal(text, s)
	})
	return s, err
}

func (t sessionTable) put(key storage.SessionKey, s *model.UserSession) error {
	text, err := json.Marshal(s)
	t.d.sessions[key] = text
	return err
}

func (t sessionTable) Create(_ context.Context, s *model.UserSession) error {
	return t.atomically(func() error {
		key := storage.SessionKey{Realm: s.RealmID, ID: s.ID, Offline: s.Offline}
		if t.d.sessions[key] != nil {
			return problem.Conflict.Errorf("cannot create %s", key.ID)
		}
		return t.put(key, s)
	})
}

func (t sessionTable) Change(_ context.Context, key storage.SessionKey, fn func(*model.UserSession) error) error {
	return t.atomically(func() error {
		text, ok := t.d.sessions[key]
		if !ok {
			return problem.NotFound.Errorf("cannot find %s", key.ID)
		}
		s := &model.UserSession{}
		if err := json.Unmarshal(text, s); err != nil {
			return err
		}
		if err := fn(s); err != nil {
			return err
		}
		return t.put(key, s)
	})
}

func (t sessionTable) Delete(_ context.Context, key storage.SessionKey) (found bool, err error) {
	err = t.atomically(func() error {
		_, found = t.d.sessions[key]
		delete(t.d.sessions, key)
		return nil
	})
	return found, err
}

type singleTable struct {
	storage.SingleUse
	d      *database
	inside bool
}

func (t singleTable) Put(_ context.Context, _, key string, value []byte, _ int64) error {
	t.d.single[key] = value
	return nil
}

func (t singleTable) Take(ctx context.Context, realm, key string) ([]byte, error) {
	value, ok := t.d.single[key]
	if !ok {
		return nil, problem.NotFound.Errorf("cannot find %s", key)
	}
	delete(t.d.single, key)
	return value, nil
}

func (t singleTable) Peek(_ context.Context, _, key string) ([]byte, error) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	value, ok := t.d.single[key]
	if !ok {
		return nil, problem.NotFound.Errorf("cannot find %s", key)
	}
	return value, nil
}

// world is a cluster of servers over one database.
type world struct {
	t       *testing.T
	db      *database
	net     *clustertest.Net
	alive   []string
	mu      sync.Mutex
	members map[string]*member
}

func newWorld(t *testing.T, delay func() time.Duration, names ...string) *world {
	w := &world{t: t, db: newDatabase(delay), net: clustertest.NewNet(), members: map[string]*member{}}
	for _, name := range names {
		w.start(name)
	}
	time.Sleep(10 * time.Second)
	for _, name := range names {
		if !w.members[name].Serving() {
			t.Fatalf("%s does not serve from its caches", name)
		}
	}
	return w
}

func (w *world) start(name string) {
	node := w.net.Start(name)
	m := newMember(node, w.db, clock.Real())
	w.net.See(append(slices.Clone(w.alive), name))
	m.start()
	<-m.work.Ready()
	if err := m.Enter(context.Background()); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock() // from now on it is asked
	defer w.mu.Unlock()
	w.members[name] = m
	w.alive = append(w.alive, name)
}

// kill ends a process; the others notice later.
func (w *world) kill(name string) {
	w.net.Kill(name)
	w.mu.Lock()
	m := w.members[name]
	m.end()
	w.alive = slices.DeleteFunc(slices.Clone(w.alive), func(n string) bool { return n == name })
	w.mu.Unlock()
	time.Sleep(2 * time.Second)
	w.net.See(w.alive)
}

func (w *world) stop() {
	w.net.Heal()
	for _, m := range w.members {
		m.stop()
	}
	time.Sleep(time.Minute)
}

var one = storage.SessionKey{Realm: "r", ID: "s"}

func session(key storage.SessionKey, n int) *model.UserSession {
	return &model.UserSession{ID: key.ID, RealmID: key.Realm, Offline: key.Offline, Notes: map[string]string{"n": strconv.Itoa(n)}, Clients: map[string]*model.ClientSession{}}
}

func (w *world) create(at string, key storage.SessionKey) {
	w.t.Helper()
	if err := w.members[at].Sessions().Users.Create(context.Background(), session(key, 0)); err != nil {
		w.t.Fatal(err)
	}
}

func number(s *model.UserSession) int {
	n, _ := strconv.Atoi(s.Notes["n"])
	return n
}

func TestASessionIsReadFromTheDatabaseByNobodyWhileAnOwnerHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a", "b", "c")
		defer w.stop()
		for i := range 50 {
			w.create("a", storage.SessionKey{Realm: "r", ID: fmt.Sprint(i), Offline: i%2 == 0})
		}
		before := w.db.reads
		for i := range 50 {
			for _, name := range w.alive {
				if _, err := w.members[name].Sessions().Users.Get(context.Background(), storage.SessionKey{Realm: "r", ID: fmt.Sprint(i), Offline: i%2 == 0}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := w.db.reads - before; n != 0 {
			t.Errorf("%d reads of the database", n)
		}
	})
}

// DESIGN.md, promise 10.
func TestAServerThatWasCutOffServesNothingThatChangedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a", "b", "c")
		defer w.stop()
		w.create("a", one)
		w.net.Cut("a", "b")
		w.net.Cut("a", "c")
		ctx := context.Background()
		for i, writer := range []string{"a", "b"} { // views do not show the cut yet
			began := time.Now()
			if err := w.members[writer].Sessions().Users.Change(ctx, one, func(s *model.UserSession) error { s.Notes["n"] = strconv.Itoa(i + 1); return nil }); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("a write by %s took %s", writer, took)
			}
			w.expect(i + 1)
		}
		w.net.See([]string{"b", "c"}, "a")
		time.Sleep(3 * time.Second)
		if _, err := w.members["c"].Sessions().Users.Delete(ctx, one); err != nil {
			t.Fatal(err)
		}
		w.expect(-1)
		w.net.Heal()
		w.net.See([]string{"a", "b", "c"})
		for range 100 {
			w.expect(-1)
			time.Sleep(100 * time.Millisecond)
		}
		if !w.members["a"].Serving() || !w.members["b"].Serving() {
			t.Error("the caches are off for ever")
		}
	})
}

// The others have placed its segments anew before the one that was cut off
// knows of it: it still has leases, and is its own primary.
func TestAServerServesNothingFromAPlacementThatTheOthersHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a", "b", "c")
		defer w.stop()
		ctx := context.Background()
		for i := range 20 {
			w.create("b", storage.SessionKey{Realm: "r", ID: fmt.Sprint(i)})
		}
		w.net.Cut("a", "b")
		w.net.Cut("a", "c")
		w.net.See([]string{"b", "c"}, "a")
		time.Sleep(300 * time.Millisecond)
		for i := range 20 {
			key := storage.SessionKey{Realm: "r", ID: fmt.Sprint(i)}
			if err := w.members["b"].Sessions().Users.Change(ctx, key, func(s *model.UserSession) error { s.Notes["n"] = "1"; return nil }); err != nil {
				t.Fatal(err)
			}
			if s, err := w.members["a"].Sessions().Users.Get(ctx, key); err != nil || number(s) != 1 {
				t.Fatalf("session %d: a gives %v, %v", i, s, err)
			}
		}
	})
}

// expect wants that number from every server; -1: no session.
func (w *world) expect(want int) {
	w.t.Helper()
	for name, m := range w.members {
		s, err := m.Sessions().Users.Get(context.Background(), one)
		switch {
		case want < 0 && !problem.Is(err, problem.NotFound):
			w.t.Errorf("%s gives a session that is gone: %v", name, err)
		case want >= 0 && (err != nil || number(s) != want):
			w.t.Errorf("%s gives %v, %v, want %d", name, s, err, want)
		}
	}
}

func TestTheSessionsOfADeletedUserAreServedByNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a", "b")
		defer w.stop()
		w.create("a", one)
		w.expect(0)
		if err := w.members["b"].Update(context.Background(), func(tx storage.Tx) error { return tx.Users.Delete(context.Background(), "r", "u") }); err != nil {
			t.Fatal(err)
		}
		w.expect(-1)
		time.Sleep(5 * time.Second)
		w.expect(-1)
		if !w.members["a"].Serving() {
			t.Error("the caches are off for ever")
		}
	})
}

func TestAServerThatIsNotAMemberKeepsSessionsInTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a")
		w.create("a", one)
		stranger := &world{t: t, db: w.db, net: clustertest.NewNet(), members: map[string]*member{}}
		stranger.start("x")
		defer w.stop()
		defer stranger.stop()
		if err := stranger.members["x"].Sessions().Users.Change(context.Background(), one, func(s *model.UserSession) error { s.Notes["n"] = "7"; return nil }); err != nil {
			t.Fatal(err)
		}
		w.expect(7)
		if w.members["a"].Serving() || stranger.members["x"].Serving() {
			t.Error("a server serves from its caches what another may change unseen")
		}
	})
}

func TestWhatATransactionWritesUnannouncedIsMarkedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, atOnce, "a", "b")
		defer w.stop()
		w.create("a", one)
		w.expect(0)
		ctx := context.Background()
		err := w.members["a"].ChangeSessions(ctx, func(tx storage.Sessions) error {
			return tx.Users.Change(ctx, one, func(s *model.UserSession) error { s.Notes["n"] = "1"; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		w.expect(1)
	})
}

// TestAReadNeverGivesLessThanWasAcknowledged is promise 10 under everything at
// once: slow databases and networks, cuts, kills at any moment and restarts.
func TestAReadNeverGivesLessThanWasAcknowledged(t *testing.T) {
	rounds := 1
	if os.Getenv("GATEHOUSE_LONG") != "" {
		rounds = 30
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func chaos(t *testing.T, random *rand.Rand) {
	var dice sync.Mutex
	upTo := func(limit int) int {
		dice.Lock()
		defer dice.Unlock()
		return random.IntN(limit)
	}
	w := newWorld(t, func() time.Duration { return time.Duration(upTo(1+20*upTo(20))) * time.Millisecond }, "a", "b", "c")
	defer w.stop()
	w.net.Delay(func() time.Duration { return time.Duration(upTo(3)) * time.Millisecond })
	w.create("a", one)
	var (
		mu    sync.Mutex
		acked int
		wg    sync.WaitGroup
	)
	end := time.Now().Add(40 * time.Second)
	at := func() (string, *member) {
		w.mu.Lock()
		defer w.mu.Unlock()
		name := w.alive[upTo(len(w.alive))]
		return name, w.members[name]
	}
	for range 3 {
		wg.Go(func() {
			for time.Now().Before(end) {
				_, m := at()
				wrote := 0
				err := m.Sessions().Users.Change(context.Background(), one, func(s *model.UserSession) error {
					wrote = number(s) + 1
					s.Notes["n"] = strconv.Itoa(wrote)
					return nil
				})
				if err == nil {
					mu.Lock()
					acked = max(acked, wrote)
					mu.Unlock()
				}
				time.Sleep(time.Duration(upTo(400)) * time.Millisecond)
			}
		})
	}
	served := 0
	for range 6 {
		wg.Go(func() {
			for time.Now().Before(end) {
				name, m := at()
				mu.Lock()
				least := acked
				if m.Serving() {
					served++
				}
				mu.Unlock()
				s, err := m.Sessions().Users.Get(context.Background(), one)
				if err == nil && number(s) < least {
					t.Errorf("%s gives %d after %d was acknowledged", name, number(s), least)
				}
				time.Sleep(time.Duration(upTo(50)) * time.Millisecond)
			}
		})
	}
	for time.Now().Before(end) {
		time.Sleep(time.Duration(upTo(5000)) * time.Millisecond)
		name := []string{"a", "b", "c"}[upTo(3)]
		others := slices.DeleteFunc([]string{"a", "b", "c"}, func(n string) bool { return n == name })
		switch upTo(3) {
		case 0: // one is cut off from one or both others, noticed or not
			for _, o := range others[:1+upTo(2)] {
				w.net.Cut(name, o)
			}
			time.Sleep(time.Duration(upTo(4000)) * time.Millisecond)
			if upTo(2) == 0 {
				w.net.See(others, name)
				time.Sleep(time.Duration(upTo(3000)) * time.Millisecond)
			}
			w.net.Heal()
			time.Sleep(time.Duration(upTo(1000)) * time.Millisecond)
			w.net.See([]string{"a", "b", "c"})
		case 1: // one is taken for lost, and is not
			w.net.See(others, name)
			time.Sleep(time.Duration(upTo(3000)) * time.Millisecond)
			w.net.See([]string{"a", "b", "c"})
		case 2:
			w.kill(name)
			w.start(name)
		}
	}
	wg.Wait()
	if served == 0 {
		t.Error("nobody ever served from a cache: nothing was tested")
	}
}
