package events_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/server/events"
	"github.com/gatehouse-idp/gatehouse/server/model"
)

// heard are the realms of the events that it was told.
type heard struct {
	mu     sync.Mutex
	realms []string
}

func (h *heard) Publish(_ context.Context, e events.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.realms = append(h.realms, e.Realm)
}

func TestARealmsOwnListDecidesWhoHearsItsEvents(t *testing.T) {
	var lines bytes.Buffer
	log, page := &heard{}, &heard{}
	realms := &memory{realms: map[string]*model.Realm{
		"says nothing": {},
		"nobody":       {EventsListeners: []string{}},
		"log":          {EventsListeners: []string{"jboss-logging", "jboss-logging"}},
		"own":          {EventsListeners: []string{"metrics-listener"}},
		"both":         {EventsListeners: []string{"page", "metrics-listener", "jboss-logging", "off"}},
	}}
	l := &events.Listeners{Realms: realms, Known: map[string]events.Publisher{events.Logging: log, "page": page, "off": nil}, Log: zerolog.New(&lines)}
	for range 3 {
		for _, realm := range []string{"says nothing", "nobody", "log", "own", "both", "there is none"} {
			l.Publish(t.Context(), events.Event{Type: events.Login, Realm: realm})
		}
	}
	count := func(h *heard, realm string) (n int) {
		for _, r := range h.realms {
			if r == realm {
				n++
			}
		}
		return n
	}
	for realm, want := range map[string][2]int{"says nothing": {3, 0}, "nobody": {0, 0}, "log": {3, 0}, "own": {0, 0}, "both": {3, 3}, "there is none": {3, 0}} {
		if got := [2]int{count(log, realm), count(page, realm)}; got != want {
			t.Errorf("realm %q: log and page heard %v, want %v", realm, got, want)
		}
	}
	if n := strings.Count(lines.String(), "metrics-listener"); n != 2 || strings.Contains(lines.String(), `"off"`) { // once a realm
		t.Errorf("%d lines:\n%s", n, lines.String())
	}
	if list := realms.realms["own"].EventsListeners; !slices.Equal(list, []string{"metrics-listener"}) {
		t.Errorf("the realm's list became %v", list)
	}
}
