package durable

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/storage"
)

const (
	// rollKey names the roll among the single-use objects of no realm.
	rollKey = "servers-of-the-database"
	// rollLife is how long an entry counts that is not renewed, and rollRenew
	// how often it is: two renewals may fail.
	rollLife, rollRenew = 30 * time.Second, 10 * time.Second
	// rollCheck is how often the roll is read, and rollValid how long what it
	// said holds: who enters waits so long for those who do not know it.
	rollCheck, rollValid = time.Second, 2 * time.Second
	// rollLook is how often a server that enters looks whether it has to wait on.
	rollLook = 50 * time.Millisecond
	// rollAgain is how long a server waits when another wrote at the same moment;
	// rollTries of them are enough for 200 that boot at once.
	rollAgain, rollTries = 5 * time.Millisecond, 400
	// rollGiveUp is how long strangers are borne until they are told that this
	// server serves nothing from its caches: they need not wait for it then.
	rollGiveUp = 5 * time.Second
)

// Member is one server of the cluster.
type Member struct {
	Name string
	Born int64 // Unix nanoseconds of its start
}

// roll is the list, in the database, of all servers that use it: those of
// other clusters too, and those that cannot find their cluster. As long as
// there is one that is not among the members, its writes are not marked, and
// nothing is served from the caches.
type roll struct {
	store   storage.Store
	clock   clock.Clock
	members func() []Member
	self    Member
	entered chan struct{} // closed when this server is on the roll
	good    atomic.Int64  // Unix nanoseconds until which every server is known to be a member

	mu    sync.Mutex
	seen  map[string]int64 // birth of each member when last seen
	ended map[string]int64 // births of members that have ended
}

// entry is one server on the roll.
type entry struct {
	Born    int64 `json:"b"`
	Until   int64 `json:"u"` // Unix seconds
	Serving bool  `json:"s"` // it may serve from its caches
}

func newRoll(store storage.Store, cfg Config) *roll {
	r := &roll{store: store, clock: cfg.Clock, members: cfg.Members, self: cfg.Self, entered: make(chan struct{}), seen: map[string]int64{}, ended: map[string]int64{}}
	cfg.Work.OnGone(func(node string, _ bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if born, ok := r.seen[node]; ok {
			r.ended[node] = born
		}
	})
	return r
}

// complete reports whether every server that uses the database is a member.
func (r *roll) complete() bool { return r.clock.Now().UnixNano() < r.good.Load() }

// strangers are those on the roll that are not members, and do not count as ended.
func (r *roll) strangers(all map[string]entry) map[string]entry {
	list := map[string]entry{}
	now := r.clock.Now().Unix()
	members := map[string]bool{r.self.Name: true}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members() {
		members[m.Name] = true
		r.seen[m.Name] = m.Born
	}
	for name, e := range all {
		if e.Until > now && !members[name] && r.ended[name] != e.Born {
			list[name] = e
		}
	}
	return list
}

// enter writes this server on the roll, once, and waits for the strangers that
// may still serve what it is about to change.
func (r *roll) enter(ctx context.Context) error {
	all, err := r.write(ctx, func(all map[string]entry) {
		all[r.self.Name] = r.entry(len(r.strangers(all)) == 0)
	})
	if err != nil {
		return err
	}
	close(r.entered)
	end := r.clock.Now().Add(rollValid + rollCheck/2)
	for r.clock.Now().Before(end) {
		waits := false
		for _, e := range r.strangers(all) {
			waits = waits || e.Serving
		}
		if !waits {
			return nil
		}
		if err := clock.Sleep(ctx, r.clock, rollLook); err != nil {
			return err
		}
	}
	return nil
}

func (r *roll) entry(serving bool) entry {
	return entry{r.self.Born, r.clock.Now().Add(rollLife).Unix(), serving}
}

// run reads and renews until ctx ends, and then strikes this server off.
func (r *roll) run(ctx context.Context) error {
	select {
	case <-r.entered:
	case <-ctx.Done():
		return nil
	}
	tick := r.clock.NewTicker(rollCheck)
	defer tick.Stop()
	var alone time.Time // when there was no stranger last
	for {
		at := r.clock.Now()
		all, err := r.read(ctx)
		strangers := r.strangers(all)
		own := all[r.self.Name]
		if len(strangers) == 0 {
			alone = at
		}
		serving := own.Serving && at.Sub(alone) < rollGiveUp || len(strangers) == 0
		switch {
		case err != nil: // what was good stays so as long as it was to
		case own.Born == r.self.Born && own.Serving && own.Until > at.Add(rollValid).Unix() && len(strangers) == 0:
			r.good.Store(at.Add(rollValid).UnixNano())
		default:
			r.good.Store(0)
		}
		if err == nil && (own.Born != r.self.Born || own.Serving != serving || own.Until <= at.Add(rollLife-rollRenew).Unix()) {
			_, _ = r.write(ctx, func(all map[string]entry) { // the next round tries again
				all[r.self.Name] = r.entry(serving && len(r.strangers(all)) == 0 || own.Serving && serving)
			})
		}
		select {
		case <-ctx.Done():
			r.good.Store(0)
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollCheck)
			defer cancel()
			_, _ = r.write(limited, func(all map[string]entry) { // it expires otherwise
				if all[r.self.Name].Born == r.self.Born {
					delete(all, r.self.Name)
				}
			})
			return nil
		case <-tick.C:
		}
	}
}

func (r *roll) read(ctx context.Context) (map[string]entry, error) {
	limited, cancel := context.WithTimeout(ctx, rollCheck)
	defer cancel()
	return readRoll(r.store.Sessions().SingleUse.Peek(limited, "", rollKey))
}

func readRoll(text []byte, err error) (map[string]entry, error) {
	all := map[string]entry{}
	if problem.Is(err, problem.NotFound) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

// write changes the roll, again and again where another server does so at the
// same moment: any number may boot at once.
func (r *roll) write(ctx context.Context, change func(map[string]entry)) (all map[string]entry, err error) {
	for range rollTries {
		if all, err = r.tryWrite(ctx, change); !problem.Is(err, problem.Conflict) {
			return all, err
		}
		if err := clock.Sleep(ctx, r.clock, rollAgain); err != nil {
			return nil, err
		}
	}
	return all, err
}

// tryWrite changes the roll, without those that have expired, or is a Conflict.
func (r *roll) tryWrite(ctx context.Context, change func(map[string]entry)) (all map[string]entry, err error) {
	now := r.clock.Now()
	err = r.store.ChangeSessions(ctx, func(tx storage.Sessions) error {
		if all, err = readRoll(tx.SingleUse.Take(ctx, "", rollKey)); err != nil {
			return err
		}
		for name, e := range all {
			if e.Until <= now.Unix() {
				delete(all, name)
			}
		}
		change(all)
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		return tx.SingleUse.Put(ctx, "", rollKey, text, now.AddDate(1, 0, 0).Unix())
	})
	return all, err
}
