package boot

import (
	"context"
	"net"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// joinCluster makes this server a member of its site's cluster, where the
// profile has one: what keeps it a member comes back as tasks.
//
// joined is closed when the first look for other members is over: only then
// may caches take part.
func (g *identity) joinCluster(ctx context.Context) (mesh caches.Mesh, joined <-chan struct{}, members []tasks.Task, err error) {
	listener, clustered := g.listeners[g.clusterPort()]
	if !clustered || g.certify == nil {
		alone := make(chan struct{})
		close(alone)
		self := cluster.Member{Name: g.nodeName, Host: g.cfg.Host, Server: g.cfg.Name, Site: g.cfg.Site, Born: g.Clock.Now().UnixNano()}
		return caches.Alone{Member: self}, alone, nil, nil
	}
	g.say("getting a certificate of the domain")
	m := membership{identity: g}
	if err := m.load(ctx); err != nil {
		return nil, nil, nil, err
	}
	g.say("joining the cluster")
	g.take()
	node, err := cluster.New(cluster.Config{
		Host: g.cfg.Host, Server: g.cfg.Name, Site: g.cfg.Site, Name: g.cfg.Group, Revision: g.cfg.Revision,
		Listener: listener, Advertise: g.advertised(listener), Identity: m.id, Discovery: g.discovery, Clock: g.Clock, Log: g.logger("server.cluster"),
	})
	if err != nil {
		return nil, nil, nil, err
	}
	members = append(g.discovery.tasks(g.Clock, func(err error) { g.Log.Warn().Err(err).Msg("trying again") }),
		tasks.Task{Name: "certificate", Run: m.renew},
		tasks.Task{Name: "cluster", Run: node.Run})
	return node, node.Joined(), members, nil
}

// advertised is the address at which others reach a listener: its own, or this
// machine's where it listens on all addresses.
func (g *identity) advertised(l net.Listener) string {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsUnspecified() {
		return l.Addr().String()
	}
	return joinPort(outwardAddress(), addr.Port)
}

// outwardAddress is the first address of this machine that is not its loopback.
func outwardAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}
