package hostagent

import (
	"cmp"
	"context"
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
	h.a.directory = directory{domain: d, unsaved: true}
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
	save := a.config.Clock.NewTicker(saveDirectoryEvery)
	defer save.Stop()
	defer a.saveDirectory()
	var told []*relaypb.DirectoryServer
	version := uint64(0)
	for {
		alone := a.config.Clock.NewTimer(aloneAfter)
		select {
		case <-a.moved:
		case <-alone.C:
		case <-save.C:
			a.saveDirectory()
		case <-ctx.Done():
			alone.Stop()
			return nil
		}
		alone.Stop()
		a.doubt()
		list, newest, known := a.present()
		if !known || slices.EqualFunc(list, told, func(a, b *relaypb.DirectoryServer) bool { return proto.Equal(a, b) }) {
			continue
		}
		version = max(version+1, newest)
		a.relay.Publish(&relaypb.Directory{Version: version, Servers: list})
		told = list
	}
}

// saveDirectoryEvery bounds what a kill of the agent costs: a list that is this
// old. In a large domain it changes often and is large.
const saveDirectoryEvery = measureEvery

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
	a.directory.unsaved = false
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
