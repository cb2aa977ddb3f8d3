// Package rollout carries a revision to running servers: in an order, a few at
// a time, behind health gates, and back again when a server fails its gate. Only
// the leader does it; what it has done is kept in the domain's records, so that
// the next leader goes on.
//
// It must not know raft, streams, or what a change means: it is told which
// servers a revision reaches and what each needs. See DESIGN.md.
package rollout

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// KindRollout is the kind of record that holds a Rollout; the key is its ID.
const KindRollout = "rollout"

// Hosts is how servers are seen and ordered.
type Hosts interface {
	// Hosts gives all hosts and a channel that is closed when one changes.
	Hosts() (map[string]publisher.HostState, <-chan struct{})
	Order(ctx context.Context, host string, o publisher.Order) (json.RawMessage, error)
	// Current reports whether a host has taken what the newest revision wants of
	// it.
	Current(host string) (bool, error)
}

// Records is the replicated store.
type Records interface {
	Record(kind, key string) (domain.Record, bool)
	Records(kind string) []domain.Record
	// Newer is closed when there may be other records than now.
	Newer() <-chan struct{}
	Put(ctx context.Context, kind, key string, value []byte, expect uint64) error
	// PutAsLeader is Put by this controller itself; it fails when another leads.
	PutAsLeader(kind, key string, value []byte, expect uint64) error
	Delete(ctx context.Context, kind, key string, expect uint64) error
}

// Restorer takes back what a rollout's revision changed, as a new revision.
type Restorer interface {
	// Restore does so once for a rollout: called again, by a later leader, it gives
	// what it made then.
	Restore(ctx context.Context, r Rollout) (Restoration, error)
}

// Restoration is what a Restorer made.
type Restoration struct {
	Revision uint64
	// Kept are the places that were changed again since and stay as they are, for
	// people.
	Kept []string
}

// State is where a rollout or one of its servers is.
type State string

// The states. A server is pending, running, done, skipped (it was not started),
// failed or restored; a rollout is running, restoring, done, restored or failed.
const (
	Pending   State = "pending"
	Running   State = "running"
	Restoring State = "restoring"
	Done      State = "done"
	Skipped   State = "skipped"
	Restored  State = "restored"
	Failed    State = "failed"
)

// Need is what a server needs to run the revision.
type Need string

// The needs.
const (
	NeedNothing Need = "live" // only its gate is watched
	NeedReload  Need = "reload"
	NeedRestart Need = "restart"
)

// Server is one server's part in a rollout.
type Server struct {
	Host    string `json:"host"`
	Name    string `json:"server"`
	Group   string `json:"group"`
	Need    Need   `json:"need"`
	State   State  `json:"state"`
	Problem string `json:"problem,omitempty"`
}

// Rollout is one revision on its way to its servers.
type Rollout struct {
	ID       string    `json:"rollout"`
	Author   string    `json:"author"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`
	Revision uint64    `json:"revision"`
	// Before is the revision that Revision was made of: on failure, what lies
	// between them is taken back. 0: a failure only stops the rollout.
	Before uint64 `json:"before,omitempty"`
	// RestoredAs is the revision that took it back, and Kept what it left alone.
	RestoredAs uint64            `json:"restored-as,omitempty"`
	Kept       []string          `json:"kept,omitempty"`
	Plan       servergroups.Plan `json:"plan"`
	State      State             `json:"state"`
	Problem    string            `json:"problem,omitempty"`
	Servers    []Server          `json:"servers"`
}

// Over reports whether nothing more will happen.
func (r Rollout) Over() bool { return r.State == Done || r.State == Restored || r.State == Failed }

// Config says what an Engine needs; every field is required.
type Config struct {
	Hosts    Hosts
	Records  Records
	Restorer Restorer
	Clock    clock.Clock
	Log      zerolog.Logger
}

// Engine runs rollouts, one at a time. It is safe for concurrent use.
type Engine struct {
	hosts    Hosts
	records  Records
	restorer Restorer
	clock    clock.Clock
	log      zerolog.Logger
}

// New makes an Engine.
func New(cfg Config) *Engine {
	return &Engine{hosts: cfg.Hosts, records: cfg.Records, restorer: cfg.Restorer, clock: cfg.Clock, log: cfg.Log}
}

// keptRollouts is how many ended rollouts are kept for listing.
const keptRollouts = 50

// List gives the rollouts kept, oldest first.
func (e *Engine) List() ([]Rollout, error) {
	var list []Rollout
	for _, rec := range e.records.Records(KindRollout) {
		r, err := decode(rec)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func decode(rec domain.Record) (r Rollout, err error) {
	if err := json.Unmarshal(rec.Value, &r); err != nil {
		return r, problem.Internal.Errorf("cannot read rollout %s: %w", rec.Key, err)
	}
	return r, nil
}

// Start begins a rollout and returns when it is recorded. Run carries it out, at
// the controller that leads then. While one is on its way another is refused.
func (e *Engine) Start(ctx context.Context, r Rollout) (Rollout, error) {
	list, err := e.List()
	if err != nil {
		return r, err
	}
	for _, other := range list {
		if !other.Over() {
			return r, problem.WithHint(problem.Conflict.Errorf("cannot start a rollout: rollout %s of revision %d is %s", other.ID, other.Revision, other.State), "see :rollouts")
		}
	}
	for len(list) >= keptRollouts {
		if err := e.records.Delete(ctx, KindRollout, list[0].ID, domain.Any); err != nil {
			return r, err
		}
		list = list[1:]
	}
	r.Started, r.State = e.clock.Now().UTC(), Running
	// Its name sorts by time; two do not start in one millisecond, since only one
	// runs at a time.
	r.ID = r.Started.Format("20060102T150405.000")
	for i := range r.Servers {
		r.Servers[i].State = Pending
	}
	value, err := encode(r)
	if err != nil {
		return r, err
	}
	return r, e.records.Put(ctx, KindRollout, r.ID, value, domain.Any)
}

func encode(r Rollout) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, problem.Internal.Errorf("cannot encode rollout %s: %w", r.ID, err)
	}
	return value, nil
}

// Event is one step of a rollout, for those who follow it.
type Event struct {
	Rollout string `json:"rollout"`
	State   State  `json:"state"`
	Phase   string `json:"phase"` // the server's state
	Group   string `json:"group"`
	Host    string `json:"host"`
	Server  string `json:"server"`
	Problem string `json:"problem,omitempty"`
	Done    int    `json:"done"`
	Total   int    `json:"total"`
}

// Follow calls emit for each step of a rollout until it is over, whoever leads, and
// gives it as it then is. It ends with Unavailable when ctx does; the rollout goes
// on.
func (e *Engine) Follow(ctx context.Context, id string, emit func(Event) error) (r Rollout, err error) {
	seen := map[int]State{}
	for version := uint64(0); ; {
		newer := e.records.Newer()
		rec, ok := e.records.Record(KindRollout, id)
		if !ok {
			return r, problem.NotFound.Errorf("cannot find rollout %q", id)
		}
		if rec.Version != version {
			version = rec.Version
			if r, err = decode(rec); err != nil {
				return r, err
			}
			for _, event := range news(r, seen) {
				if err := emit(event); err != nil {
					return r, err
				}
			}
		}
		if r.Over() {
			return r, nil
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return r, problem.Unavailable.Errorf("cannot follow rollout %s any longer: %w; it goes on", id, ctx.Err())
		}
	}
}

func news(r Rollout, seen map[int]State) []Event {
	done := 0
	for _, s := range r.Servers {
		if s.State != Pending && s.State != Running {
			done++
		}
	}
	var events []Event
	for i, s := range r.Servers {
		if s.State == Pending || seen[i] == s.State {
			continue
		}
		seen[i] = s.State
		events = append(events, Event{r.ID, r.State, string(s.State), s.Group, s.Host, s.Name, s.Problem, done, len(r.Servers)})
	}
	return events
}
