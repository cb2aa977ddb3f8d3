package relational

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

func TestWaitingForAConnectionEnds(t *testing.T) {
	c := clocktest.New(time.Unix(0, 0))
	g := &gate{make(chan struct{}, 2), storage.Options{Clock: c, ConnWait: time.Minute, Source: "KeycloakDS"}}
	enter := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() { done <- g.enter(ctx) }()
		return done
	}
	for range 2 {
		if err := <-enter(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	late := enter(t.Context())
	c.WaitForTimers(1)
	c.Advance(time.Minute)
	if err := <-late; !problem.Is(err, problem.Unavailable) || !strings.Contains(err.Error(), "data-source KeycloakDS: all 2 were in use for 1m0s") {
		t.Errorf("%v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := <-enter(gone); !problem.Is(err, problem.Timeout) {
		t.Errorf("who went away waits: %v", err)
	}
	patient := enter(t.Context())
	g.leave()
	if err := <-patient; err != nil {
		t.Error(err)
	}
}
