package boot

import (
	"net/url"
	"slices"

	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// place is where a server is, or was before it ended: one that starts anew has
// no ports yet, and requests wait for it.
type place struct {
	node, address string
	http, health  uint32
}

// directory tells the balancer which servers there are and how they are.
func (b *balancer) directory(servers []*configrelay.DirectoryServer) {
	b.servers = servers
	places := map[string]place{}
	var backends []loadbalancer.Backend
	for _, s := range servers {
		key := s.GetHost() + "/" + s.GetName()
		at, state := b.places[key], stateOf(s)
		if ports := s.GetPorts(); ports["http"] != 0 && s.GetAddress() != "" {
			at = place{s.GetNode(), s.GetAddress(), ports["http"], ports[healthBinding]}
		}
		if at == (place{}) {
			continue // it never was anywhere
		}
		places[key] = at
		if !slices.Contains(*b.groups.Load(), s.GetGroup()) {
			continue
		}
		backend := loadbalancer.Backend{
			Route: at.node, State: state,
			URL: &url.URL{Scheme: "http", Host: joinPort(at.address, int(at.http))},
		}
		if at.health != 0 {
			backend.Health = &url.URL{Scheme: "http", Host: joinPort(at.address, int(at.health)), Path: b.cfg.String("/health/ready", handlerPath(b.cfg, "health-check-path")...)}
		}
		backends = append(backends, backend)
	}
	b.places = places
	b.proxy.Set(backends)
}

// stateOf translates the supervisor's states.
func stateOf(s *configrelay.DirectoryServer) loadbalancer.State {
	switch s.GetState() {
	case "STARTED", "": // unknown, without a controller: its health check tells
		return loadbalancer.Ready
	case "SUSPENDING", "SUSPENDED", "STOPPING", "RELOADING":
		return loadbalancer.Draining
	case "STARTING":
		return loadbalancer.Starting
	}
	return loadbalancer.Dead
}
