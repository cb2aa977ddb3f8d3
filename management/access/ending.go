package access

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Endings keeps which sessions were ended before their time. A token cannot be
// taken back, but it is worth nothing once all who would accept it know this:
// the controllers of a domain share one. It is safe for concurrent use.
type Endings interface {
	// EndSession keeps the id of a session until a time, when none of its tokens
	// is good any more.
	EndSession(ctx context.Context, id string, until time.Time) error
	SessionEnded(ctx context.Context, id string) (bool, error)
}

// End ends the session of a caller that Bearer gave: none of its tokens is good
// any more, in whatever browser or tab.
func (s *Sessions) End(ctx context.Context, c Caller) error {
	if c.Session == "" {
		return problem.Invalid.Errorf("cannot end a session of %q: the caller has none", c.Name)
	}
	// Every token of it was made by now, or by a request that is under way.
	return s.ended.EndSession(ctx, c.Session, s.clock.Now().Add(2*SessionLifetime))
}

// ownEndings are those of one process.
type ownEndings struct {
	clock clock.Clock
	mu    sync.Mutex
	until map[string]time.Time
}

// EndSession implements Endings.
func (o *ownEndings) EndSession(_ context.Context, id string, until time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.clock.Now()
	maps.DeleteFunc(o.until, func(_ string, until time.Time) bool { return !until.After(now) })
	o.until[id] = until
	return nil
}

// SessionEnded implements Endings.
func (o *ownEndings) SessionEnded(_ context.Context, id string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ended := o.until[id]
	return ended, nil
}
