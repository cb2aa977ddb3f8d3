package boot

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// certificateAgain is how often a server asks again for a certificate that it
// could not get: the controllers may be away for a while.
const certificateAgain = 5 * time.Second

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

// membership is the server's certificate in the domain. Key and certificate
// are kept on disk: a server boots also when no controller can be reached.
type membership struct {
	*identity
	id *certs.Identity
}

func (m *membership) path(name string) string { return m.data(filepath.Join("cluster", name)) }

// load takes the certificate that is on disk, or gets one.
func (m *membership) load(ctx context.Context) error {
	key, keyErr := os.ReadFile(m.path("key.pem"))
	cert, certErr := os.ReadFile(m.path("certificate.pem"))
	authority, authorityErr := os.ReadFile(m.path("authority.pem"))
	if keyErr == nil && certErr == nil && authorityErr == nil {
		if parsed, err := certs.ParseKey(key); err == nil {
			id, err := certs.NewIdentity(parsed, cert, authority, m.Clock.Now)
			if err == nil && id.Holder() == certs.URI("server", m.cfg.Host, m.cfg.Name).String() && m.Clock.Now().Before(id.RenewAt()) {
				m.id = id
				return nil
			}
		}
	}
	for {
		err := m.obtain(ctx)
		if err == nil {
			return nil
		}
		m.say(err.Error())
		if err := clock.Sleep(ctx, m.Clock, certificateAgain); err != nil {
			return err
		}
	}
}

// obtain gets a certificate for a new key and keeps both.
func (m *membership) obtain(ctx context.Context) error {
	key, err := certs.NewKey()
	if err != nil {
		return err
	}
	request, err := key.Request()
	if err != nil {
		return err
	}
	cert, authority, err := m.certify(ctx, request)
	if err != nil {
		return err
	}
	if m.id == nil {
		if m.id, err = certs.NewIdentity(key, cert, authority, m.Clock.Now); err != nil {
			return err
		}
	} else if err := m.id.Renew(key, cert, authority); err != nil {
		return err
	}
	keyPEM, err := key.Marshal()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(m.path(""), 0o700); err != nil {
		return err
	}
	// A kill between these leaves files that do not fit: load sees that and asks
	// for a new certificate.
	for name, text := range map[string][]byte{"key.pem": keyPEM, "certificate.pem": cert, "authority.pem": authority} {
		if err := os.WriteFile(m.path(name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// renew replaces the certificate when two thirds of its life have passed.
func (m *membership) renew(ctx context.Context) error {
	for {
		wait := max(m.id.RenewAt().Sub(m.Clock.Now()), certificateAgain)
		if err := clock.Sleep(ctx, m.Clock, wait); err != nil {
			return err
		}
		if err := m.obtain(ctx); err != nil && ctx.Err() == nil {
			m.Log.Warn().Err(err).Msg("cannot renew the certificate; trying again")
		}
	}
}
