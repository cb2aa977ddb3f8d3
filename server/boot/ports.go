package boot

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
)

// identityDrain is how long an identity server's requests in flight may take at
// the end: whoever ends us has drained the gate before.
const identityDrain = time.Second

// listen opens the ports of an identity server: health and, where the group
// has it, cluster; and those of the enabled listeners.
func (g *identity) listen(ctx context.Context) (err error) {
	names := []string{healthBinding}
	if _, there := g.cfg.Bindings[g.clusterPort()]; there && g.certify != nil {
		names = append(names, g.clusterPort())
	}
	if g.web, err = readWeb(g.cfg, g.Dir, g.Clock, g.logger("server.http")); err != nil {
		return err
	}
	for _, w := range g.web {
		names = append(names, w.binding)
	}
	for _, name := range names {
		l, err := openBinding(ctx, g.cfg, name)
		if err != nil {
			return err
		}
		g.listeners[name] = l
	}
	return nil
}

// clusterPort is the binding that the servers of a site use among themselves.
func (g *identity) clusterPort() string {
	return g.cfg.String(clusterBinding, "cluster", "socket-binding")
}

func (g *identity) closeListeners() {
	for _, l := range g.listeners {
		l.Close()
	}
}

// webTasks serve the ports that people use.
func (g *identity) webTasks() ([]tasks.Task, error) {
	filters := newFilterReader(g.cfg)
	hosts, err := readHosts(g.cfg, func(host string) (http.Handler, error) {
		chain, err := filters.of(host)
		if err != nil {
			return nil, err
		}
		h := chain.apply(g.gate)
		pattern, err := accessPattern(g.cfg, host)
		if err != nil || pattern == "" {
			return h, err
		}
		remote := func(r *http.Request) string { return g.now.Load().book.Of(r).Remote }
		return logAccess(g.logger("server.access").With().Str("log", "access").Logger(), pattern, g.Clock, remote, h), nil
	})
	if err != nil {
		return nil, err
	}
	var out []tasks.Task
	for _, w := range g.web {
		out = append(out, w.task(g.listeners[w.binding], hosts.behind(w.forwarding), identityDrain, g.logger("server.http")))
	}
	return out, nil
}
