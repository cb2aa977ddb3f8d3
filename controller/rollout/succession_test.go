package rollout

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
)

// led has an engine lead until the function that comes back is called.
func led(t *testing.T, e *Engine) (depose func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestARolloutThatADeposedLeaderRecordedIsCarriedOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a")
		leader, deposed := s.engine(), s.engine()
		defer led(t, leader)()
		pause(time.Minute) // it leads, and has nothing to do
		r, err := deposed.Start(t.Context(), s.rollout(t, "g"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if r, err = leader.Follow(ctx, r.ID, func(Event) error { return nil }); err != nil || r.State != Done {
			t.Errorf("%v: %s: %s", err, r.State, states(r))
		}
	})
}

func TestARolloutIsFollowedToItsEndWhoeverLeads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a", "h2/a")
		first, next := s.engine(), s.engine()
		depose := led(t, first)
		r, err := first.Start(t.Context(), s.rollout(t, "g(soak=10s)"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		followed := make(chan Rollout, 1)
		var phases []string
		go func() {
			defer close(followed)
			if r, err := first.Follow(ctx, r.ID, func(e Event) error { phases = append(phases, e.Server+" "+e.Phase); return nil }); err == nil {
				followed <- r
			}
		}()
		pause(5 * time.Second) // the first server is being watched
		depose()
		pause(time.Second)
		defer led(t, next)()
		if r, ok := <-followed; !ok || r.State != Done || len(phases) != 4 {
			t.Errorf("%v: %s: %s, %v", ok, r.State, states(r), phases)
		}
	})
}

// Of what a deposed leader still does, nothing overwrites what the next one wrote.
func TestALeaderThatWasDeposedRecordsNoStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newStage("h1/a")
		l := &losing{stage: s, left: 1, lost: func() {}} // what runs has not heard yet that it leads no more
		first := New(Config{Hosts: s, Records: l, Restorer: s, Clock: s.engine().clock, Log: s.engine().log})
		r, err := first.Start(t.Context(), s.rollout(t, "g"))
		if err != nil {
			t.Fatal(err)
		}
		over := r
		over.State = Done
		value, err := json.Marshal(over)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), KindRollout, r.ID, value, domain.Any); err != nil { // by the next leader
			t.Fatal(err)
		}
		first.carry(t.Context(), r)
		if list, err := first.List(); err != nil || len(list) != 1 || list[0].State != Done {
			t.Errorf("%+v, %v", list, err)
		}
	})
}
