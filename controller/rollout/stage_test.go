package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// stage is what an Engine sees of a domain: hosts, records and a Restorer, in
// memory.
type stage struct {
	mu       sync.Mutex
	hosts    map[string]publisher.HostState
	changed  chan struct{}
	state    domain.State
	newer    chan struct{} // closed and replaced when state changes
	orders   []string      // "host/server kind"
	stale    map[string]bool
	restored []uint64
	// obey, if not nil, is called with each order; it changes the status that the
	// server then has. Without it a server does as it is told.
	obey func(server, kind string, s *hostlink.ServerStatus) error
}

// newStage has servers "host/name" that run and are healthy, all of group g.
func newStage(servers ...string) *stage {
	s := &stage{hosts: map[string]publisher.HostState{}, changed: make(chan struct{}), newer: make(chan struct{}), stale: map[string]bool{}}
	for i, name := range servers {
		host, server, _ := strings.Cut(name, "/")
		h := s.hosts[host]
		h.Name, h.Connected = host, true
		h.Servers = append(h.Servers, &hostlink.ServerStatus{Name: server, Group: "g", State: "STARTED", Healthy: true, Revision: 1,
			Node: host + "." + server, Pid: uint32(100 + i), Required: "restart-required"})
		s.hosts[host] = h
	}
	return s
}

func (s *stage) Hosts() (map[string]publisher.HostState, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]publisher.HostState{}
	for name, h := range s.hosts {
		all[name] = h
	}
	return all, s.changed
}

// change changes the status of a server, which others may hold: a copy.
func (s *stage) change(server string, f func(*hostlink.ServerStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, name, _ := strings.Cut(server, "/")
	h := s.hosts[host]
	h.Servers = slices.Clone(h.Servers)
	for i, one := range h.Servers {
		if one.Name == name {
			next := &hostlink.ServerStatus{Name: one.Name, Group: one.Group, State: one.State, Healthy: one.Healthy, Revision: one.Revision, Node: one.Node,
				Pid: one.Pid, Required: one.Required, Message: one.Message, SinceUnixMs: one.SinceUnixMs, Members: one.Members, Usage: one.Usage, Site: one.Site}
			f(next)
			h.Servers[i] = next
		}
	}
	s.hosts[host] = h
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stage) Order(_ context.Context, host string, o publisher.Order) (json.RawMessage, error) {
	server := host + "/" + o.Server
	s.mu.Lock()
	s.orders = append(s.orders, server+" "+o.Kind)
	s.mu.Unlock()
	var err error
	s.change(server, func(st *hostlink.ServerStatus) {
		st.State, st.Healthy, st.Required, st.Revision = "STARTED", true, "", 2
		st.SinceUnixMs++
		if o.Kind != "reload" {
			st.Pid += 1000
		}
		if s.obey != nil {
			err = s.obey(server, o.Kind, st)
		}
	})
	return nil, err
}

func (s *stage) Current(host string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.stale[host], nil
}

func (s *stage) Records(kind string) []domain.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(s.state.Records(kind))
}

func (s *stage) Record(kind, key string) (domain.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Record(kind, key)
}

func (s *stage) Newer() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newer
}

func (s *stage) Put(_ context.Context, kind, key string, value []byte, expect uint64) error {
	return s.PutAsLeader(kind, key, value, expect)
}

func (s *stage) PutAsLeader(kind, key string, value []byte, expect uint64) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, _, err = s.state.PutRecord(kind, key, value, expect)
	close(s.newer)
	s.newer = make(chan struct{})
	return err
}

func (s *stage) Delete(_ context.Context, kind, key string, expect uint64) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, err = s.state.DeleteRecord(kind, key, expect)
	return err
}

func (s *stage) Restore(_ context.Context, r Rollout) (Restoration, error) {
	s.mu.Lock()
	s.restored = append(s.restored, r.Before)
	s.mu.Unlock()
	return Restoration{Revision: 3}, nil
}

func (s *stage) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.orders, ", ")
}

func (s *stage) engine() *Engine {
	return New(Config{Hosts: s, Records: s, Restorer: s, Clock: clock.Real(), Log: zerolog.Nop()})
}

// rollout is one of revision 2 to all servers, by a plan of group g.
func (s *stage) rollout(t *testing.T, plan string) Rollout {
	t.Helper()
	p, err := servergroups.ParsePlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	r := Rollout{Author: "anna", Revision: 2, Before: 1, Plan: p}
	hosts, _ := s.Hosts()
	for name, h := range hosts {
		for _, st := range h.Servers {
			r.Servers = append(r.Servers, Server{Host: name, Name: st.Name, Group: st.Group, Need: NeedRestart})
		}
	}
	slices.SortFunc(r.Servers, func(a, b Server) int { return strings.Compare(a.Host+a.Name, b.Host+b.Name) })
	return r
}

// carry runs a rollout to its end, in the bubble's time.
func (s *stage) carry(t *testing.T, plan string) Rollout {
	t.Helper()
	return s.carryWith(t, plan, func() {})
}

func (s *stage) carryWith(t *testing.T, plan string, meanwhile func()) Rollout {
	t.Helper()
	return s.carryThis(t, s.rollout(t, plan), meanwhile)
}

func (s *stage) carryThis(t *testing.T, r Rollout, meanwhile func()) Rollout {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	e := s.engine()
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	r, err := e.Start(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); meanwhile() }()
	r, err = e.Follow(ctx, r.ID, func(Event) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done
	<-over
	return r
}

func states(r Rollout) string {
	var out []string
	for _, s := range r.Servers {
		out = append(out, fmt.Sprint(s.State))
	}
	return strings.Join(out, " ")
}

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func pause(d time.Duration) { <-clock.Real().NewTimer(d).C }
