package hostagent

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// directory is what the servers of this host know of all servers: the domain's
// list, in which this host's servers are as the agent itself sees them. So a
// balancer beside a server learns of its crash and its return also when no
// controller is there to tell; of servers of other hosts it knows where they are
// but not how, and balancers find that out by their own checks.
// Agent.mu guards it.
type directory struct {
	domain  *hostlink.Directory // nil until a controller, or the disk, gave one
	unsaved bool
	// moved: not yet kept is also which servers there are, and where.
	moved bool
	// waits: it is the disk's, and adopted servers have a newer one; a
	// controller will most likely give it soon.
	waits bool
	// old: the domain has not been heard for aloneAfter; how servers of other
	// hosts are by now nobody here can tell.
	old bool
}

// aloneAfter is how long the host is without a controller before the domain's
// word on other hosts no longer counts: longer than a change of the leader or a
// restart of a controller (2 s). A server that was stopped then may serve now,
// and people wait for it.
const aloneAfter = 3 * time.Second

// Directory takes in what the domain says; it is on the disk a little later.
func (h handler) Directory(d *hostlink.Directory) {
	h.a.mu.Lock()
	before := h.a.directory
	h.a.directory = directory{domain: d, unsaved: true, moved: before.moved || !samePlaces(before.domain, d)}
	h.a.mu.Unlock()
	h.a.redirect()
}

// redirect has the servers' directory made anew soon; many calls make one.
func (a *Agent) redirect() {
	select {
	case a.moved <- struct{}{}:
	default:
	}
}

// direct tells the servers of all servers whenever something changed, until ctx
// ends.
func (a *Agent) direct(ctx context.Context) error {
	save := a.config.Clock.NewTicker(savePlacesEvery)
	defer save.Stop()
	defer a.saveDirectory()
	var saved time.Time // never
	var told []*relaypb.DirectoryServer
	version := uint64(0)
	for {
		alone := a.config.Clock.NewTimer(aloneAfter)
		select {
		case <-a.moved:
		case <-alone.C:
		case <-save.C:
		case <-ctx.Done():
			alone.Stop()
			return nil
		}
		alone.Stop()
		if now := a.config.Clock.Now(); a.saveDue(now.Sub(saved)) {
			a.saveDirectory()
			saved = now
		}
		a.doubt()
		list, newest, known := a.present()
		if !known || slices.EqualFunc(list, told, func(a, b *relaypb.DirectoryServer) bool { return proto.Equal(a, b) }) {
			continue
		}
		version = max(version+1, newest)
		a.relay.Publish(&relaypb.Directory{Version: version, Servers: list})
		told = list
		if clock.Sleep(ctx, a.config.Clock, pause(len(list))) != nil {
			return nil
		}
	}
}

// pause is how long nothing is told after a list of n servers was, so that what
// happens meanwhile is told together: each server of the host reads each list, and
// fifty that start change it some two hundred times. The first change after a pause is
// told at once. Balancers and clusters find dead servers by themselves, too.
func pause(n int) time.Duration {
	const few, each, most = 20, 5 * time.Millisecond, 500 * time.Millisecond
	if n <= few {
		return 0
	}
	return min(time.Duration(n)*each, most)
}

// What a kill of the agent costs at most: how servers were this long ago, or
// where they were. In a large domain the list is large, and how they are changes
// often; the first list of a host, and one with other servers in it after a
// while without, are kept at once.
const (
	saveDirectoryEvery = measureEvery
	savePlacesEvery    = time.Second
)

// saveDue tells whether the list is to be kept now; the last time was ago.
func (a *Agent) saveDue(ago time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.directory.unsaved && (ago >= saveDirectoryEvery || a.directory.moved && ago >= savePlacesEvery)
}

// samePlaces tells whether two lists have the same servers at the same places,
// however these are.
func samePlaces(one, two *hostlink.Directory) bool {
	return slices.EqualFunc(one.GetServers(), two.GetServers(), func(a, b *hostlink.DirectoryServer) bool {
		return a.GetHost() == b.GetHost() && a.GetName() == b.GetName() && a.GetGroup() == b.GetGroup() && a.GetSite() == b.GetSite() &&
			a.GetNode() == b.GetNode() && a.GetAddress() == b.GetAddress() && maps.Equal(a.GetPorts(), b.GetPorts())
	})
}

// present is the list as it is now, and the domain's newest version. It is not
// known without any word of the domain: a server that is missing in a list
// counts as dead, so half a list is worse than none.
func (a *Agent) present() (list []*relaypb.DirectoryServer, version uint64, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	domain := a.directory.domain
	version = domain.GetVersion()
	if domain == nil || a.directory.waits {
		return nil, 0, false
	}
	if len(a.unheard) > 0 {
		// What adopted servers are doing is not known yet: the domain's word is
		// better than none.
		for _, s := range domain.GetServers() {
			list = append(list, a.entryOf(s))
		}
		return list, version, true
	}
	for _, s := range domain.GetServers() {
		if s.GetHost() != a.host {
			list = append(list, a.entryOf(s))
		}
	}
	for _, s := range a.tellAll().GetServers() {
		list = append(list, &relaypb.DirectoryServer{Host: a.host, Name: s.GetName(), Group: s.GetGroup(), Profile: s.GetProfile(),
			Site: s.GetSite(), Node: s.GetNode(), Address: s.GetAddress(), Ports: s.GetPorts(), State: s.GetState(), Healthy: s.GetHealthy()})
	}
	slices.SortFunc(list, byHostAndName)
	return list, version, true
}

// entryOf is a server as the domain knows it, without a state when that is old;
// a.mu is held.
func (a *Agent) entryOf(s *hostlink.DirectoryServer) *relaypb.DirectoryServer {
	entry := &relaypb.DirectoryServer{Host: s.GetHost(), Name: s.GetName(), Group: s.GetGroup(), Profile: s.GetProfile(), Site: s.GetSite(),
		Node: s.GetNode(), Address: s.GetAddress(), Ports: s.GetPorts(), State: s.GetState(), Healthy: s.GetHealthy()}
	if a.directory.old && s.GetHost() != a.host {
		entry.State, entry.Healthy = "", false
	}
	return entry
}

// doubt no longer believes the domain's word when it is old. The next word of
// the domain ends that.
func (a *Agent) doubt() {
	if link := a.link.State(); link.Connected || clock.Since(a.config.Clock, link.Since) < aloneAfter {
		return
	}
	a.mu.Lock()
	a.directory.old = true
	a.mu.Unlock()
}

func byHostAndName(a, b *relaypb.DirectoryServer) int {
	return cmp.Or(cmp.Compare(a.GetHost(), b.GetHost()), cmp.Compare(a.GetName(), b.GetName()))
}

// saveDirectory keeps the domain's list for an agent that starts without a
// controller.
func (a *Agent) saveDirectory() {
	a.mu.Lock()
	domain, unsaved := a.directory.domain, a.directory.unsaved
	a.directory.unsaved, a.directory.moved = false, false
	a.mu.Unlock()
	if !unsaved {
		return
	}
	content, err := proto.Marshal(domain)
	if err == nil {
		err = a.store.SaveDirectory(content)
	}
	if err != nil {
		a.config.Log.Error().Err(err).Msg("cannot keep the directory of the domain's servers")
	}
}

// recallDirectory takes up the list that an earlier agent kept.
func (a *Agent) recallDirectory() {
	content, err := a.store.LastDirectory()
	if err == nil && content != nil {
		domain := &hostlink.Directory{}
		if err = proto.Unmarshal(content, domain); err == nil {
			a.directory.domain = domain
		}
	}
	if err != nil {
		a.config.Log.Warn().Err(err).Msg("the kept directory of the domain's servers cannot be read")
	}
}
