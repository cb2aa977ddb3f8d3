package access_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
)

// follower is the store of a controller that hears of changes a moment later, and
// at once when it asks.
type follower struct {
	access.Store
	behind bool
}

func (f *follower) User(ctx context.Context, name string) (access.User, error) {
	if f.behind {
		return access.User{}, problem.NotFound.Errorf("cannot find user %q", name)
	}
	return f.Store.User(ctx, name)
}

func (f *follower) Fresh(context.Context) { f.behind = false }

func TestAUserWhoWasAddedAMomentAgoMayLogInAnywhere(t *testing.T) {
	at, store, c := sessions(t)
	token, _, err := login(t.Context(), at, "eva", password)
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(*access.Sessions) error{
		"a login": func(s *access.Sessions) error { _, _, err := login(t.Context(), s, "eva", password); return err },
		"basic":   func(s *access.Sessions) error { _, err := s.Basic(t.Context(), "eva", password); return err },
		"a token": func(s *access.Sessions) error { _, err := s.Bearer(t.Context(), token); return err },
	}
	for name, way := range ways {
		s := access.NewSessions(&follower{store, true}, nil, bytes.Repeat([]byte("k"), 32), c)
		if err := way(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The time that a login takes tells nothing of who exists.
func TestAnUnknownNameIsAskedForLikeAKnownOne(t *testing.T) {
	_, store, _ := sessions(t)
	c := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for _, name := range []string{"eva", "nobody"} {
		f := &follower{store, true}
		s := access.NewSessions(f, nil, nil, c)
		_, _, _ = login(t.Context(), s, name, "wrong-passw0rd")
		if f.behind {
			t.Errorf("a login as %s did not ask", name)
		}
		f.behind = true
		if _, err := s.Basic(t.Context(), name, "wrong-passw0rd"); !problem.Is(err, problem.Unauthorized) || f.behind {
			t.Errorf("basic as %s: %v, asked: %v", name, err, !f.behind)
		}
	}
}
