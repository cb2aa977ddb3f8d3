package events_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// memory keeps events, unless it is broken.
type memory struct {
	mu      sync.Mutex
	realms  map[string]*model.Realm
	kept    []string
	admin   []*model.AdminEvent
	forgot  map[string]int64
	broken  bool
	changed chan struct{}
}

func (m *memory) Realm(_ context.Context, name string) (*model.Realm, error) {
	if r := m.realms[name]; r != nil {
		return r, nil
	}
	return nil, problem.NotFound.Errorf("cannot find realm %q", name)
}

func (m *memory) Realms(context.Context) (all []*model.Realm, err error) {
	for _, r := range m.realms {
		all = append(all, r)
	}
	return all, nil
}

func (m *memory) Keep(_ context.Context, events []*model.Event, admin []*model.AdminEvent) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		select {
		case m.changed <- struct{}{}:
		default:
		}
	}()
	if m.broken {
		return errors.New("broken")
	}
	for _, e := range events {
		m.kept = append(m.kept, e.RealmID+" "+e.Type)
	}
	m.admin = append(m.admin, admin...)
	return nil
}

func (m *memory) Forget(_ context.Context, realm string, before int64) error {
	m.forgot[realm] = before
	return nil
}

func (m *memory) has() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept
}

var begin = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newStore(exclude ...string) (*events.Store, *memory, *clocktest.Clock) {
	m, c := &memory{forgot: map[string]int64{}, changed: make(chan struct{}, 1), realms: map[string]*model.Realm{
		"all":   {ID: "all", EventsEnabled: true, EventsExpiration: 60},
		"some":  {ID: "some", EventsEnabled: true, EnabledEventTypes: []string{"REFRESH_TOKEN", "LOGIN_ERROR"}},
		"none":  {ID: "none"},
		"admin": {ID: "admin", AdminEventsEnabled: true},
	}}, clocktest.New(begin)
	return events.NewStore(events.StoreConfig{Keeper: m, Clock: c, Log: zerolog.Nop(), Exclude: exclude, SweepEvery: time.Hour}), m, c
}

// drained runs a store that is told to stop at once.
func drained(t *testing.T, s *events.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestARealmSaysWhichEventsAreKept(t *testing.T) {
	s, m, _ := newStore("LOGOUT")
	for _, realm := range []string{"all", "some", "none", "unknown"} {
		for _, e := range []events.Event{
			{Type: events.Login}, {Type: events.Login, Error: "invalid_user_credentials"}, {Type: events.Refresh}, {Type: events.Logout}, {Type: events.UserInfo},
		} {
			e.Realm = realm
			s.Publish(t.Context(), e)
		}
	}
	drained(t, s)
	want := []string{"all LOGIN", "all LOGIN_ERROR", "some LOGIN_ERROR", "some REFRESH_TOKEN"}
	if got := m.has(); len(got) != len(want) {
		t.Fatalf("kept %q, want %q", got, want)
	}
	for i, got := range m.has() {
		if got != want[i] {
			t.Errorf("kept %q, want %q", got, want[i])
		}
	}
}

func TestAnAdministratorsEventHasWhatWasSentOnlyWhereARealmWantsDetails(t *testing.T) {
	s, m, _ := newStore()
	sent := model.AdminEvent{OperationType: "CREATE", ResourceType: "USER", Representation: `{"credentials":"x"}`}
	s.PublishAdmin(m.realms["none"], sent)
	s.PublishAdmin(m.realms["admin"], sent)
	m.realms["admin"].AdminEventsDetailsEnabled = true
	s.PublishAdmin(m.realms["admin"], sent)
	drained(t, s)
	if len(m.admin) != 2 || m.admin[0].Representation != "" || m.admin[1].Representation != sent.Representation || m.admin[1].Time != begin.UnixMilli() {
		t.Errorf("%+v", m.admin)
	}
}

func TestEventsAreForgottenAfterTheRealmsExpiration(t *testing.T) {
	s, m, _ := newStore()
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.forgot) != 1 || m.forgot["all"] != begin.Add(-time.Minute).UnixMilli() {
		t.Errorf("forgot %v", m.forgot)
	}
}

// TestADatabaseThatIsAwayLosesNoEvent: and nobody who logs in waits for it.
func TestADatabaseThatIsAwayLosesNoEvent(t *testing.T) {
	s, m, c := newStore()
	m.broken = true
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for range 1000 {
		s.Publish(t.Context(), events.Event{Type: events.Login, Realm: "all"})
	}
	<-m.changed        // it was tried
	c.WaitForTimers(2) // the sweep's, and the one it rests with
	m.mu.Lock()
	m.broken = false
	m.mu.Unlock()
	c.Advance(2 * time.Second)
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for len(m.has()) < 1000 {
		select {
		case <-m.changed:
		case <-limit.C:
			t.Fatalf("%d of 1000 events were kept", len(m.has()))
		}
	}
	cancel()
	<-done
}
