package controller

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/replica"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// kindEnding is the kind of record that holds a session which was ended; the key
// is the session's id.
const kindEnding = "ended-session"

// ending is until when the record is needed.
type ending struct {
	Until time.Time `json:"until"`
}

// endings keeps ended sessions in replicated records: who signed out at one
// controller is out at all of them. It implements access.Endings.
type endings struct {
	replica *replica.Replica
	clock   clock.Clock
}

// EndSession keeps a session's id, and forgets those that are over by themselves.
func (e endings) EndSession(ctx context.Context, id string, until time.Time) error {
	value, err := json.Marshal(ending{until.UTC()})
	if err != nil {
		return problem.Internal.Errorf("cannot end a session: %w", err)
	}
	if err := e.replica.Put(ctx, kindEnding, id, value, domain.Any); err != nil {
		return err
	}
	for _, r := range e.replica.Records(kindEnding) {
		var old ending
		if json.Unmarshal(r.Value, &old) == nil && old.Until.After(e.clock.Now()) {
			continue
		}
		// Another controller may be just as tidy.
		if err := e.replica.Delete(ctx, kindEnding, r.Key, domain.Any); err != nil && !problem.Is(err, problem.NotFound) {
			return err
		}
	}
	return nil
}

// SessionEnded tells whether a session was ended.
func (e endings) SessionEnded(_ context.Context, id string) (bool, error) {
	_, ended := e.replica.Record(kindEnding, id)
	return ended, nil
}
