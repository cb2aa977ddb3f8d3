package publisher

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// snapshot is one host's part of a revision, as it is sent. It is never changed.
type snapshot struct {
	// content is the checksum of what the host needs, whatever the revision: two
	// revisions that do not differ for a host have the same.
	content string
	wire    *hostlink.Snapshot
}

// publishAll publishes each revision, until ctx ends. Revisions that come while
// one is being published are published as one.
func (p *Publisher) publishAll(ctx context.Context) {
	var last profiles.Tree
	for {
		tree, revision, newer := p.source.Model()
		p.publish(concerned(last, tree), tree, revision)
		last = tree
		select {
		case <-newer:
		case <-ctx.Done():
			return
		}
	}
}

// concerned gives a filter of the hosts that a change may concern: those whose
// own part it changes, or all.
func concerned(before, after profiles.Tree) func(host string) bool {
	hosts := map[string]bool{}
	for _, c := range profiles.Diff(before, after) {
		if len(c.Address) == 0 || c.Address[0].Type != "host" {
			return func(string) bool { return true }
		}
		hosts[c.Address[0].Name] = true
	}
	return func(host string) bool { return hosts[host] }
}

// publish makes the snapshots of the connected hosts that wanted names, on all
// cores.
func (p *Publisher) publish(wanted func(host string) bool, tree profiles.Tree, revision uint64) {
	p.mu.Lock()
	p.forgetRemoved()
	var names []string
	for name, h := range p.hosts {
		if _, ours := h.route.(*link); ours && wanted(name) {
			names = append(names, name)
		}
	}
	p.mu.Unlock()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(names); i = next.Add(1) - 1 {
				p.publishTo(names[i], tree, revision)
			}
		})
	}
	workers.Wait()
}

// refresh publishes the newest revision to one host.
func (p *Publisher) refresh(name string) {
	tree, revision, _ := p.source.Model()
	p.publishTo(name, tree, revision)
}

// publishTo makes a host's snapshot and offers it, if the host needs another one
// than it has. A revision that gives no valid snapshot leaves the one before.
func (p *Publisher) publishTo(name string, tree profiles.Tree, revision uint64) {
	s, err := build(tree, name, revision)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.log.Error().Err(err).Str("host", name).Uint64("revision", revision).Msg("cannot publish: the host keeps the snapshot before")
		return
	}
	before, ok := p.published[name]
	if ok && (before.content == s.content || before.wire.Revision > revision) {
		return
	}
	p.published[name] = s
	h := p.hosts[name]
	if h == nil {
		return
	}
	h.state.Wanted = s.wire.Checksum
	if l, ours := h.route.(*link); ours {
		l.offer(func(o *outbox) { o.snapshot = s.wire })
		p.offered.Snapshots++
		p.offered.Bytes += uint64(len(s.wire.Content))
	}
}

// build makes and checks a host's snapshot.
func build(tree profiles.Tree, host string, revision uint64) (snapshot, error) {
	s, err := servergroups.Snapshot(tree, host, revision)
	if err != nil {
		return snapshot{}, err
	}
	content, err := json.Marshal(s)
	if err != nil {
		return snapshot{}, problem.Internal.Errorf("cannot encode the snapshot of host %s: %w", host, err)
	}
	sum := s.Checksum()
	return snapshot{content: sum, wire: &hostlink.Snapshot{Revision: revision, Checksum: sum, Content: content}}, nil
}

// Current reports whether a host has acknowledged what the newest revision wants
// of it.
func (p *Publisher) Current(name string) (bool, error) {
	tree, revision, _ := p.source.Model()
	s, err := build(tree, name, revision)
	if err != nil {
		return false, err
	}
	h, _ := p.Host(name)
	return h.Checksum == s.content, nil
}
