package caches

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// From fewMembers/2 members on leases are renewed in common: each member asks one
// other, the relay, which asks every member once for all who have asked, and hands
// each its part of the answers. That is 2n calls in a period and not n*(n-1). Any
// member is a relay to those who ask it; they ask the oldest that they see.
//
// A relay only carries messages: a lease runs from the request at its holder and
// from the answer at its granter, as when one asks the other. What is not renewed
// so in time, for whatever reason, is asked for directly (see rest): the first
// lease, one that has ended, and one with which the holder has to flush.
const (
	workRenew = "work.renew" // holder to relay: renewal -> renewals
	workGrant = "work.grant" // relay to granter: holders -> grants
)

// inCommon reports whether the members of a site of n renew their leases so.
func inCommon(n int) bool { return n >= fewMembers/2 }

// period is from one renewal in common to the next, gathering how long the relay
// waits for others to join in one, and answering how long it waits for granters.
// Together they are over before leases would be asked for directly, unless a
// member does not answer: with 40 members and DefaultLease 0.8 + 0.25 + 0.5 s,
// the rest is 1.6 s.
func (w *Work) period(n int) time.Duration    { return w.term(n) / 5 }
func (w *Work) gathering(n int) time.Duration { return w.term(n) / 16 }
func (w *Work) answering(n int) time.Duration { return w.term(n) / 8 }

// renewal is what a holder sends, and renewals what it gets.
type renewal struct {
	Born int64 `json:"born"`
}

type renewals struct {
	Granters json.RawMessage `json:"granters"` // []granter
	Tokens   []uint64        `json:"tokens"`   // of each granter for this holder; 0: not renewed
	Next     int64           `json:"next"`     // ns until the relay's next round, when it is best asked
}

type granter struct {
	Name  string `json:"name"`
	Born  int64  `json:"born"`
	Phase uint64 `json:"phase"`
	Term  int64  `json:"term"` // ns
}

// holders is what a relay sends, and grants what it gets; born, token and holder
// are at the same place in their lists.
type holders struct {
	Names []string `json:"names"`
	Born  []int64  `json:"born"`
}

type grants struct {
	Born   int64    `json:"born"` // the granter's
	Phase  uint64   `json:"phase"`
	Term   int64    `json:"term"`   // ns
	Tokens []uint64 `json:"tokens"` // of the flush that each holder must have done; 0: not renewed
}

// relaying are those who wait for this member's next round.
type relaying struct {
	began time.Time
	kick  chan struct{} // capacity 1: somebody waits

	mu      sync.Mutex
	waiting []waiter
}

type waiter struct {
	name  string
	born  int64
	reply chan<- []byte // capacity 1
}

// keepRenewing renews this member's leases in common until ctx ends.
func (w *Work) keepRenewing(ctx context.Context) {
	for ctx.Err() == nil {
		view, changed := w.mesh.View()
		n := len(view.Members)
		if !inCommon(n) {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		next, err := w.renewInCommon(ctx, view)
		if err != nil {
			w.log.Debug().Err(err).Str("relay", view.Oldest().Name).Msg("leases are not renewed in common; asking for each")
			next = w.period(n)
		}
		_ = clock.Sleep(ctx, w.clock, next)
	}
}

// renewInCommon asks the relay once; next is how long to wait then.
func (w *Work) renewInCommon(ctx context.Context, view cluster.View) (next time.Duration, err error) {
	n := len(view.Members)
	request, err := json.Marshal(renewal{w.mesh.Self().Born})
	if err != nil {
		return 0, err
	}
	asked := w.clock.Now()
	limit, cancel := context.WithTimeout(ctx, w.gathering(n)+2*w.answering(n))
	defer cancel()
	reply, err := w.mesh.Call(limit, view.Oldest().Name, workRenew, request)
	if err != nil {
		return 0, err
	}
	var r renewals
	var granters []granter
	if err := json.Unmarshal(reply, &r); err != nil {
		return 0, err
	}
	if err := json.Unmarshal(r.Granters, &granters); err != nil {
		return 0, err
	}
	if len(r.Tokens) != len(granters) {
		return 0, problem.Invalid.Errorf("cannot renew leases: %d tokens of %d members", len(r.Tokens), len(granters))
	}
	w.prolong(asked, granters, r.Tokens)
	return min(max(time.Duration(r.Next), w.period(n)/8), w.period(n)), nil
}

// prolong takes in what was granted after asked. Only a lease that runs is: one
// that has ended is begun again between the two. Of a member that has gone
// meanwhile nothing is taken in, its doubt neither: nobody would end it.
func (w *Work) prolong(asked time.Time, granters []granter, tokens []uint64) {
	w.mu.Lock()
	for i, g := range granters {
		h := w.held[g.Name]
		if tokens[i] == 0 || h == nil || h.born != g.Born || h.gone || h.token != tokens[i] || !w.clock.Now().Before(h.until) {
			continue
		}
		w.doubts.note(g.Name, g.Phase)
		if until := asked.Add(time.Duration(g.Term)); until.After(h.until) {
			h.asked, h.until = asked, until
		}
	}
	w.mu.Unlock()
	w.reckon()
}

// onRenew has a holder take part in this member's next round.
func (w *Work) onRenew(ctx context.Context, from string, payload []byte) ([]byte, error) {
	var r renewal
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, problem.Invalid.Errorf("cannot renew leases: %w", err)
	}
	reply := make(chan []byte, 1)
	w.relaying.mu.Lock()
	w.relaying.waiting = append(w.relaying.waiting, waiter{from, r.Born, reply})
	w.relaying.mu.Unlock()
	signal(w.relaying.kick)
	select {
	case answer := <-reply:
		return answer, nil
	case <-ctx.Done():
		return nil, problem.Timeout.Errorf("cannot renew leases in time: %w", ctx.Err())
	}
}

// relay holds rounds for those who ask until ctx ends.
func (w *Work) relay(ctx context.Context) {
	for {
		select {
		case <-w.relaying.kick:
		case <-ctx.Done():
			return
		}
		if clock.Sleep(ctx, w.clock, w.gathering(w.size())) != nil {
			return
		}
		w.relaying.mu.Lock()
		waiting := w.relaying.waiting
		w.relaying.waiting = nil
		w.relaying.mu.Unlock()
		if len(waiting) == 0 { // they were in the round before
			continue
		}
		if err := w.round(ctx, waiting); err != nil {
			w.log.Error().Err(err).Msg("cannot renew leases in common")
		}
	}
}

// round asks every member for all who wait, and answers them.
func (w *Work) round(ctx context.Context, waiting []waiter) error {
	var ask holders
	for _, who := range waiting {
		ask.Names, ask.Born = append(ask.Names, who.name), append(ask.Born, who.born)
	}
	question, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	view, _ := w.mesh.View()
	n := len(view.Members)
	answers := make([]grants, n)
	limit, cancel := context.WithTimeout(ctx, w.answering(n))
	defer cancel()
	var wg sync.WaitGroup
	for i, m := range view.Members {
		wg.Go(func() {
			reply, err := w.mesh.Call(limit, m.Name, workGrant, question)
			var g grants
			if err == nil && json.Unmarshal(reply, &g) == nil && len(g.Tokens) == len(waiting) {
				answers[i] = g
			}
		})
	}
	wg.Wait()
	granters := make([]granter, n)
	for i, m := range view.Members {
		granters[i] = granter{m.Name, answers[i].Born, answers[i].Phase, answers[i].Term}
	}
	all, err := json.Marshal(granters)
	if err != nil {
		return err
	}
	// All come together at the next of the relay's periods, whenever they came first.
	period := w.period(n)
	next := int64(period - clock.Since(w.clock, w.relaying.began)%period)
	for i, who := range waiting {
		r := renewals{Granters: all, Tokens: make([]uint64, n), Next: next}
		for k := range answers {
			if len(answers[k].Tokens) > 0 {
				r.Tokens[k] = answers[k].Tokens[i]
			}
		}
		reply, err := json.Marshal(r)
		if err != nil {
			return err
		}
		who.reply <- reply
	}
	return nil
}

// onGrant renews the leases of many at once: those that run, and whose holders
// miss nothing and are not being told of something. So Publish, which waits for
// the end of a lease, does not see it move meanwhile.
func (w *Work) onGrant(_ context.Context, _ string, payload []byte) ([]byte, error) {
	var ask holders
	if err := json.Unmarshal(payload, &ask); err != nil {
		return nil, problem.Invalid.Errorf("cannot renew leases of others: %w", err)
	}
	if len(ask.Born) != len(ask.Names) {
		return nil, problem.Invalid.Errorf("cannot renew leases of others: %d names and %d births", len(ask.Names), len(ask.Born))
	}
	term := w.term(w.size())
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.clock.Now()
	answer := grants{Born: w.mesh.Self().Born, Phase: w.ownPhase(), Term: int64(term), Tokens: make([]uint64, len(ask.Names))}
	for i, name := range ask.Names {
		g := w.granted[name]
		if g == nil || g.born != ask.Born[i] || g.dirty || g.telling > 0 || !g.until.After(now) {
			continue
		}
		if until := now.Add(term); until.After(g.until) {
			g.until = until
		}
		answer.Tokens[i] = g.token
	}
	return json.Marshal(answer)
}
