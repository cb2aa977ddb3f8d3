package caches

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// DefaultLease is how long a member may serve what it has cached without word
// from another: as long as the cluster takes to notice a lost member; see
// fewMembers for large sites. It is also the longest that Publish waits for a
// member that does not answer.
const DefaultLease = 2 * time.Second

// Every member needs a lease from every other: with n members n*(n-1) of them, in
// each period. So that many servers, some on one machine, do not live for their
// leases alone, these are renewed in common (see workRenew), a lease grows with the
// members beyond fewMembers, at most to twice its length, and where it is asked for
// directly that is twice in its time and not four times.
const fewMembers = 20

// term is how long a lease of a member of a site of n is.
func (w *Work) term(n int) time.Duration {
	return w.lease * time.Duration(min(max(n, fewMembers), 2*fewMembers)) / fewMembers
}

// rest is how long after it was given a lease is renewed, at the next tick: about
// in the middle of its time.
func (w *Work) rest(n int) time.Duration {
	if n < fewMembers/2 {
		return 0
	}
	return w.term(n)/2 - 3*w.lease/16
}

// patience is how long one request for a lease may take: where renewals are rare,
// so long that another tick comes before the lease ends.
func (w *Work) patience(n int) time.Duration {
	if n < fewMembers/2 {
		return w.lease / 2
	}
	return w.term(n) - w.rest(n) - w.lease/2 // two ticks
}

// size is the number of members of this site, as far as this one knows.
func (w *Work) size() int {
	view, _ := w.mesh.View()
	return len(view.Members)
}

// WorkConfig is what a Work is made from.
type WorkConfig struct {
	Mesh  Mesh
	Lease time.Duration // 0: DefaultLease
	Clock clock.Clock
	Log   zerolog.Logger
}

// Work is Keycloak's replicated cache of that name: it carries invalidations
// and cluster events to all servers of the site. What it guarantees: when
// Publish has returned nil, no server of the site answers from what it had
// cached before. Each member holds a lease from every other; a member that
// cannot be told of an event loses its lease first, and Publish waits for that.
// See DESIGN.md, "Work".
type Work struct {
	mesh  Mesh
	clock clock.Clock
	log   zerolog.Logger
	lease time.Duration
	until atomic.Int64 // coherent until then, Unix nanoseconds
	ready chan struct{}

	doubts      doubts
	subscribers struct {
		sync.RWMutex
		topics map[string][]func(payload []byte)
		flush  []func(reason string)
		missed []func(node string)
		gone   []func(node string, doubted bool)
	}

	relaying relaying

	mu      sync.Mutex
	granted map[string]*grant // leases given to others, by node
	held    map[string]*held  // leases needed from others, by node
	token   uint64            // the last one given out
	grants  uint64            // counts leases that were given anew, not renewed
	once    sync.Once         // closes ready
}

// grant is the lease that this member gave to another.
type grant struct {
	born    int64
	until   time.Time
	token   uint64 // names the flush that the holder must have done
	dirty   bool   // the holder may have missed an event: it must flush
	telling int    // events that the holder is being told of
}

// held is the lease that this member has from another.
type held struct {
	born   int64
	asked  time.Time // for the lease that it is; zero for none
	until  time.Time
	token  uint64
	asking bool
	gone   bool // its process has ended: nothing to fear from it
}

// The calls between members.
const (
	workEvent = "work.event"
	workLease = "work.lease"
)

// NewWork makes a Work; Run keeps it going.
func NewWork(cfg WorkConfig) *Work {
	if cfg.Lease == 0 {
		cfg.Lease = DefaultLease
	}
	w := &Work{
		mesh: cfg.Mesh, clock: cfg.Clock, log: cfg.Log, lease: cfg.Lease,
		ready: make(chan struct{}), granted: map[string]*grant{}, held: map[string]*held{},
		token: uint64(cfg.Clock.Now().UnixNano()), // other than before a restart
	}
	w.doubts.own = w.token &^ 1
	w.doubts.others = map[string]uint64{}
	w.relaying.began, w.relaying.kick = cfg.Clock.Now(), make(chan struct{}, 1)
	w.subscribers.topics = map[string][]func([]byte){doubtTopic: {w.onDoubt}}
	w.mesh.Handle(workEvent, w.onEvent)
	w.mesh.Handle(workLease, w.onLease)
	w.mesh.Handle(workRenew, w.onRenew)
	w.mesh.Handle(workGrant, w.onGrant)
	w.look(false)
	return w
}

// Subscribe registers what to do with a topic's events, ours included. apply
// must be quick and safe for concurrent use: the publisher waits for it.
func (w *Work) Subscribe(topic string, apply func(payload []byte)) {
	w.subscribers.Lock()
	defer w.subscribers.Unlock()
	w.subscribers.topics[topic] = append(w.subscribers.topics[topic], apply)
}

// OnFlush registers what to do when events may have been missed: forget all.
func (w *Work) OnFlush(flush func(reason string)) {
	w.subscribers.Lock()
	defer w.subscribers.Unlock()
	w.subscribers.flush = append(w.subscribers.flush, flush)
}

// OnMissed registers what to do when a member that was known before may have
// changed something without this one's learning of it: it is called before the
// next lease of that member is used, and must be quick.
func (w *Work) OnMissed(missed func(node string)) {
	w.subscribers.Lock()
	defer w.subscribers.Unlock()
	w.subscribers.missed = append(w.subscribers.missed, missed)
}

// OnGone registers what to do when a member has ended, in doubt or not, before
// this one goes on without its lease. It must be quick.
func (w *Work) OnGone(gone func(node string, doubted bool)) {
	w.subscribers.Lock()
	defer w.subscribers.Unlock()
	w.subscribers.gone = append(w.subscribers.gone, gone)
}

// Holders are the members that may be coherent by a lease of this one's.
// changes grows whenever one becomes it that was not just before.
func (w *Work) Holders() (nodes []string, changes uint64) {
	now := w.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for node, g := range w.granted {
		if g.until.After(now) {
			nodes = append(nodes, node)
		}
	}
	return nodes, w.grants
}

// Coherent reports whether caches may be served now: every member that may
// change something has promised to tell us first.
func (w *Work) Coherent() bool { return w.clock.Now().UnixNano() < w.until.Load() }

// Ready is closed when every member of the view knows this one: a server
// serves requests only from then on.
func (w *Work) Ready() <-chan struct{} { return w.ready }

// Publish applies an event here and on all servers of the site. Call it after
// the database has committed what it tells of. It returns when all have applied
// it or serve nothing that is older, after a lease at the latest. An error means
// that ctx ended before; the event still reaches every member or makes it flush.
func (w *Work) Publish(ctx context.Context, topic string, payload []byte) error {
	if len(topic) > 255 {
		return problem.Invalid.Errorf("cannot publish: topic of %d bytes, at most 255", len(topic))
	}
	w.apply(topic, payload)
	message := event(topic, payload)
	targets := w.targets()
	failed := make(chan error, len(targets))
	for node, until := range targets {
		go func() { failed <- w.tell(ctx, node, until, message) }()
	}
	var errs []error
	for range targets {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

func event(topic string, payload []byte) []byte {
	return append(append([]byte{byte(len(topic))}, topic...), payload...)
}

// targets are the members to tell and until when each may serve from caches
// without us. One whose lease has ended serves nothing and flushes before it does
// again: if it is in the view still it is told, but hardly waited for.
func (w *Work) targets() map[string]time.Time {
	now := w.clock.Now()
	view, _ := w.mesh.View()
	w.mu.Lock()
	defer w.mu.Unlock()
	targets, born := map[string]time.Time{}, map[string]int64{}
	for _, m := range view.Members {
		born[m.Name] = m.Born
		if m.Name != w.mesh.Self().Name {
			targets[m.Name] = now.Add(w.term(len(view.Members)))
		}
	}
	for node, g := range w.granted {
		switch _, in := targets[node]; {
		case g.until.After(now):
			targets[node] = g.until
		case !in:
			g.dirty = true
		case g.born == born[node]:
			g.dirty = true
			targets[node] = now.Add(w.lease / 20)
		}
	}
	return targets
}

// tell brings an event to one member, or waits until its lease has ended.
func (w *Work) tell(ctx context.Context, node string, until time.Time, message []byte) error {
	defer w.telling(node)()
	limit, cancel := context.WithTimeout(ctx, until.Sub(w.clock.Now()))
	defer cancel()
	_, err := w.mesh.Call(limit, node, workEvent, message)
	for problem.Is(err, problem.Unavailable) && !errors.Is(err, cluster.ErrRefused) {
		if clock.Sleep(limit, w.clock, w.lease/40) != nil {
			break
		}
		_, err = w.mesh.Call(limit, node, workEvent, message)
	}
	if err == nil {
		return nil
	}
	w.mu.Lock()
	if g := w.granted[node]; g != nil {
		g.dirty = true
		until = g.until
	}
	w.mu.Unlock()
	if errors.Is(err, cluster.ErrRefused) {
		return nil
	}
	w.log.Warn().Err(err).Str("member", node).Msg("a member did not confirm an invalidation; waiting until it serves nothing older")
	if err := clock.Sleep(ctx, w.clock, until.Sub(w.clock.Now())); err != nil {
		return problem.Timeout.Errorf("cannot be sure that %s has forgotten what changed: %w", node, err)
	}
	return nil
}

// telling notes that a member is being told of something, until told.
func (w *Work) telling(node string) (told func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.granted[node]
	if g == nil {
		return func() {}
	}
	g.telling++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		g.telling--
	}
}

func (w *Work) onEvent(_ context.Context, _ string, message []byte) ([]byte, error) {
	if len(message) == 0 || len(message) < 1+int(message[0]) {
		return nil, problem.Invalid.Errorf("cannot apply an event: it has no topic")
	}
	n := int(message[0])
	w.apply(string(message[1:1+n]), message[1+n:])
	return nil, nil
}

func (w *Work) apply(topic string, payload []byte) {
	w.subscribers.RLock()
	defer w.subscribers.RUnlock()
	for _, apply := range w.subscribers.topics[topic] {
		apply(payload)
	}
}

func (w *Work) flush(reason string) {
	w.log.Debug().Str("reason", reason).Msg("forgetting all that is cached")
	w.subscribers.RLock()
	defer w.subscribers.RUnlock()
	for _, flush := range w.subscribers.flush {
		flush(reason)
	}
}

func (w *Work) notifyMissed(node string) {
	w.subscribers.RLock()
	defer w.subscribers.RUnlock()
	for _, missed := range w.subscribers.missed {
		missed(node)
	}
}

func (w *Work) notifyGone(node string) {
	w.subscribers.RLock()
	defer w.subscribers.RUnlock()
	doubted := w.doubts.of(node)
	for _, gone := range w.subscribers.gone {
		gone(node, doubted)
	}
	w.doubts.forget(node)
}

// ask is a request for a lease, and terms are its answer.
type ask struct {
	Born  int64  `json:"born"`
	Token uint64 `json:"token"` // of the last flush done for this granter
}

type terms struct {
	Token uint64 `json:"token"`
	Flush bool   `json:"flush"` // forget all before using the lease
	Phase uint64 `json:"phase"` // the granter's; see doubts
	Term  int64  `json:"term"`  // how long the lease is, in ns; 0: as long as the holder's own
}

// onLease grants a lease. It runs from the answer here, and from the request
// there: the holder's end is never later than ours, whatever the network does.
func (w *Work) onLease(_ context.Context, from string, payload []byte) ([]byte, error) {
	var a ask
	if err := json.Unmarshal(payload, &a); err != nil {
		return nil, problem.Invalid.Errorf("cannot grant a lease: %w", err)
	}
	size := w.size()
	w.mu.Lock()
	g := w.granted[from]
	if g == nil || g.born != a.Born || !g.until.After(w.clock.Now()) {
		w.grants++
	}
	if g == nil || g.born != a.Born {
		g = &grant{born: a.Born, dirty: true}
		w.granted[from] = g
	}
	term := w.term(size)
	t := terms{Token: g.token, Phase: w.ownPhase(), Term: int64(term)}
	if g.dirty || a.Token != g.token {
		w.token++
		g.token, g.dirty = w.token, false
		t.Token, t.Flush = g.token, true
	}
	// Until it has flushed, an earlier lease of the holder may still run: it
	// is never shortened here.
	if until := w.clock.Now().Add(term); until.After(g.until) {
		g.until = until
	}
	w.mu.Unlock()
	w.checkReady()
	return json.Marshal(t)
}

// Run keeps this member's leases until ctx ends.
func (w *Work) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.keepRenewing(ctx) })
	wg.Go(func() { w.relay(ctx) })
	// Four tries fit into one lease, two into a long one: one lost message costs
	// no coherence.
	tick := w.clock.NewTicker(w.lease / 4)
	defer tick.Stop()
	due := true
	for {
		_, changed := w.mesh.View()
		for _, node := range w.look(due) {
			wg.Go(func() { w.renew(ctx, node) })
		}
		w.checkReady()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			due = false
		case <-tick.C:
			due = true
		}
	}
}

// look compares the leases with the view and gives those to ask for: with due
// all whose time it is, otherwise only those that this member has never had.
func (w *Work) look(due bool) (renew []string) {
	view, _ := w.mesh.View()
	need := map[string]cluster.Member{}
	for _, m := range append(view.Departed[:len(view.Departed):len(view.Departed)], view.Members...) {
		if m.Name != w.mesh.Self().Name {
			need[m.Name] = m
		}
	}
	now, rest := w.clock.Now(), w.rest(len(view.Members))
	w.mu.Lock()
	var ended []string
	for node, h := range w.held {
		if m, ok := need[node]; !ok || m.Born != h.born {
			delete(w.held, node)
			ended = append(ended, node)
		}
	}
	for node, m := range need {
		h := w.held[node]
		if h == nil {
			h = &held{born: m.Born}
			w.held[node] = h
		}
		if !h.asking && (h.until.IsZero() || due && !now.Before(h.asked.Add(rest))) {
			h.asking = true
			renew = append(renew, node)
		}
	}
	w.mu.Unlock()
	for _, node := range ended {
		// It may have changed something and died before it could tell.
		w.flush(node + " is no longer a member")
		w.notifyGone(node)
	}
	w.reckon()
	return renew
}

// renew asks one member for a lease.
func (w *Work) renew(ctx context.Context, node string) {
	w.mu.Lock()
	h := w.held[node]
	if h == nil {
		w.mu.Unlock()
		return
	}
	request := ask{Born: w.mesh.Self().Born, Token: h.token}
	w.mu.Unlock()
	asked := w.clock.Now()
	t, err := w.askFor(ctx, node, request)
	if err == nil && t.Flush {
		w.flush("events of " + node + " may have been missed")
	}
	if err == nil {
		w.doubts.note(node, t.Phase)
	}
	w.mu.Lock()
	before := h.until
	w.mu.Unlock()
	if err == nil && !before.IsZero() && (t.Flush || !w.clock.Now().Before(before)) { // one that has ended only renew begins again
		w.notifyMissed(node)
	}
	w.mu.Lock()
	h.asking = false
	died := errors.Is(err, cluster.ErrRefused) && !h.gone
	if err == nil {
		term := w.lease
		if t.Term > 0 {
			term = time.Duration(t.Term)
		}
		h.token, h.asked, h.until, h.gone = t.Token, asked, asked.Add(term), false
	}
	w.mu.Unlock()
	if died {
		// It may have changed something and died before it could tell.
		w.flush(node + " has ended")
		w.notifyGone(node)
		w.mu.Lock()
		h.gone = true
		w.doubts.forget(node) // a renewal in common may have told of it since
		w.mu.Unlock()
	}
	w.reckon()
}

func (w *Work) askFor(ctx context.Context, node string, a ask) (terms, error) {
	payload, err := json.Marshal(a)
	if err != nil {
		return terms{}, err
	}
	limit, cancel := context.WithTimeout(ctx, w.patience(w.size()))
	defer cancel()
	reply, err := w.mesh.Call(limit, node, workLease, payload)
	if err != nil {
		return terms{}, err
	}
	var t terms
	return t, json.Unmarshal(reply, &t)
}

// reckon computes until when this member is coherent: until the first lease
// that it needs ends.
func (w *Work) reckon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	until := int64(math.MaxInt64)
	for _, h := range w.held {
		if h.gone {
			continue
		}
		end := int64(0)
		if !h.until.IsZero() {
			end = h.until.UnixNano()
		}
		until = min(until, end)
	}
	w.until.Store(until)
}

// checkReady closes ready once every member of the view has a lease from us
// and we have one from it.
func (w *Work) checkReady() {
	select {
	case <-w.ready:
		return
	default:
	}
	view, _ := w.mesh.View()
	if !w.Coherent() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range view.Members {
		if m.Name == w.mesh.Self().Name {
			continue
		}
		if h := w.held[m.Name]; h != nil && h.gone {
			continue
		}
		if g := w.granted[m.Name]; g == nil || g.born != m.Born {
			return
		}
	}
	w.once.Do(func() { close(w.ready) })
}
