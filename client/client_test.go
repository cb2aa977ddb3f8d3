package client_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/management/api/apitest"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// electing is a controller whose domain has no leader for some calls.
type electing struct {
	*apitest.Model
	without atomic.Int32 // calls left without a leader
	calls   atomic.Int32
}

func (e *electing) Execute(ctx context.Context, c access.Caller, op profiles.Operation) (api.Response, error) {
	e.calls.Add(1)
	if e.without.Add(-1) >= 0 {
		return api.Response{}, api.NotLeader{}
	}
	return e.Model.Execute(ctx, c, op)
}

func serve(t *testing.T, model api.Model) string {
	t.Helper()
	l := listen(t)
	serveOn(t, l, model)
	return l.Addr().String()
}

// listen makes a socket at which nobody answers yet.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := api.ListenLocal(filepath.Join(t.TempDir(), "m.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it may be closed
	return l
}

func serveOn(t *testing.T, l net.Listener, model api.Model) {
	t.Helper()
	i := api.New(api.Config{Model: model, Users: access.NewFileStore(filepath.Join(t.TempDir(), "users")), Clock: clock.Real()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = i.ServeOn(ctx, l) // ends with the context
	}()
	t.Cleanup(func() { cancel(); <-done })
}

func dial(t *testing.T, by clock.Clock, addresses ...string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Addresses: addresses, Clock: by})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func add(name string) profiles.Operation {
	return profiles.Operation{Name: "add", Address: profiles.Address{{Type: "system-property", Name: name}}, Params: map[string]any{"value": "1"}}
}

func TestWriteWaitsForTheNewLeaderAndHappensOnce(t *testing.T) {
	model := &electing{Model: apitest.NewModel(profiles.New(profiles.Domain))}
	now := clocktest.New(time.Now())
	c := dial(t, now, serve(t, model))
	model.without.Store(5)
	go func() {
		for range 5 { // it rests after each refusal
			now.WaitForTimers(1)
			now.Advance(100 * time.Millisecond)
		}
	}()
	response, err := c.Execute(t.Context(), add("x"))
	if err != nil || response.Revision != 1 {
		t.Errorf("%+v, %v", response, err)
	}
	if n := model.calls.Load(); n != 6 {
		t.Errorf("%d calls, want 6", n)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	model := &electing{Model: apitest.NewModel(profiles.New(profiles.Domain))}
	c := dial(t, clock.Real(), serve(t, model))
	model.without.Store(1 << 30)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Execute(ctx, add("x")); err == nil {
		t.Error("a cancelled call succeeded")
	}
}

func TestRefusalIsNotRepeated(t *testing.T) {
	model := &electing{Model: apitest.NewModel(profiles.New(profiles.Domain))}
	c := dial(t, clock.Real(), serve(t, model))
	_, err := c.Execute(t.Context(), profiles.Operation{Name: "remove", Address: profiles.Address{{Type: "path", Name: "nope"}}})
	if !problem.Is(err, problem.NotFound) || model.calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, model.calls.Load())
	}
}

// A domain has a new leader within 2 s, or a call says that it has none.
func TestCallWithoutALeaderFailsInTheEnd(t *testing.T) {
	model := &electing{Model: apitest.NewModel(profiles.New(profiles.Domain))}
	now := clocktest.New(time.Now())
	c := dial(t, now, serve(t, model))
	model.without.Store(1 << 30)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Execute(t.Context(), add("x"))
		failed <- err
	}()
	for range 30 {
		now.WaitForTimers(1)
		now.Advance(100 * time.Millisecond)
	}
	if err := <-failed; !problem.Is(err, problem.Unavailable) || model.calls.Load() != 31 {
		t.Errorf("%v after %d calls", err, model.calls.Load())
	}
}

func TestTheNextControllerIsTriedWhenOneIsSilent(t *testing.T) {
	silent, now := listen(t), clocktest.New(time.Now())
	answering := serve(t, apitest.NewModel(profiles.New(profiles.Domain)))
	go func() {
		now.WaitForTimers(1)
		now.Advance(time.Second)
	}()
	c := dial(t, now, silent.Addr().String(), answering)
	if _, err := c.Execute(t.Context(), add("x")); err != nil || c.Address() != answering {
		t.Errorf("at %s: %v", c.Address(), err)
	}
}

// On a busy machine one second is nothing.
func TestASlowControllerIsNotGivenUpWhileNobodyElseAnswers(t *testing.T) {
	slow, now := listen(t), clocktest.New(time.Now())
	type dialled struct {
		c   *client.Client
		err error
	}
	done := make(chan dialled, 1)
	go func() {
		c, err := client.Dial(t.Context(), client.Config{Addresses: []string{slow.Addr().String(), filepath.Join(t.TempDir(), "none.sock")}, Clock: now})
		done <- dialled{c, err}
	}()
	now.WaitForTimers(1)
	now.Advance(time.Second)
	serveOn(t, slow, apitest.NewModel(profiles.New(profiles.Domain)))
	d := <-done
	if d.err != nil {
		t.Fatal(d.err)
	}
	if at := d.c.Address(); at != slow.Addr().String() {
		t.Errorf("at %s", at)
	}
	if err := d.c.Close(); err != nil {
		t.Error(err)
	}
}

func TestDialSaysWhyNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead.sock")
	if err := os.WriteFile(dead, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, addresses := range map[string][]string{
		"no socket":    {filepath.Join(dir, "none.sock")},
		"not a socket": {dead},
		"several":      {dead, filepath.Join(dir, "none.sock")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Dial(t.Context(), client.Config{Addresses: addresses, Clock: clock.Real()})
			if !problem.Is(err, problem.Unavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := client.Dial(t.Context(), client.Config{Clock: clock.Real()}); !problem.Is(err, problem.Invalid) {
		t.Errorf("without an address: %v", err)
	}
}
