package client_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
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
	dir := t.TempDir()
	socket := filepath.Join(dir, "m.sock")
	i := api.New(api.Config{Model: model, Users: access.NewFileStore(filepath.Join(dir, "users")), Clock: clock.Real()})
	l, err := api.ListenLocal(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = i.ServeOn(ctx, l) // ends with the context
	}()
	t.Cleanup(func() { cancel(); <-done })
	return socket
}

func dial(t *testing.T, addresses ...string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{Addresses: addresses, Clock: clock.Real()})
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
	c := dial(t, serve(t, model))
	model.without.Store(5)
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
	c := dial(t, serve(t, model))
	model.without.Store(1 << 30)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Execute(ctx, add("x")); err == nil {
		t.Error("a cancelled call succeeded")
	}
}

func TestRefusalIsNotRepeated(t *testing.T) {
	model := &electing{Model: apitest.NewModel(profiles.New(profiles.Domain))}
	c := dial(t, serve(t, model))
	_, err := c.Execute(t.Context(), profiles.Operation{Name: "remove", Address: profiles.Address{{Type: "path", Name: "nope"}}})
	if !problem.Is(err, problem.NotFound) || model.calls.Load() != 1 {
		t.Errorf("%v after %d calls", err, model.calls.Load())
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
