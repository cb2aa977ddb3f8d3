package boot

import (
	"context"
	"crypto/tls"
	"net/netip"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// webListener is one port that people use.
type webListener struct {
	kind, name, binding string
	tls                 *tls.Config    // nil: plain HTTP
	trusted             []netip.Prefix // whose forwarding headers are believed; nil: everybody's
}

// listen opens the ports of an identity server: health and, where the group
// has it, cluster; and those of the enabled listeners.
func (g *identity) listen(ctx context.Context) error {
	names := []string{healthBinding}
	if _, clustered := g.cfg.Bindings[clusterBinding]; clustered && g.certify != nil {
		names = append(names, clusterBinding)
	}
	if name, binding := findListener(g.cfg, "http-listener"); name != "" {
		trusted, err := readTrusted(g.cfg, name)
		if err != nil {
			return err
		}
		g.web = append(g.web, webListener{kind: "http-listener", name: name, binding: binding, trusted: trusted})
		names = append(names, binding)
	}
	pair, err := readKeyPair(g.cfg, g.Dir)
	if err != nil {
		return err
	}
	if pair != nil {
		keys, err := loadbalancer.LoadKeyPair(pair.certificate, pair.key, g.Clock, reloadFailed(g.Log))
		if err != nil {
			return err
		}
		name, _ := findListener(g.cfg, "https-listener")
		g.web = append(g.web, webListener{kind: "https-listener", name: name, binding: pair.binding,
			tls: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: keys.Get, NextProtos: []string{"h2", "http/1.1"}}})
		names = append(names, pair.binding)
	}
	if len(g.web) == 0 {
		return errNoHTTP
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

func (g *identity) closeListeners() {
	for _, l := range g.listeners {
		l.Close()
	}
}

// webTasks serve the ports that people use.
func (g *identity) webTasks() []tasks.Task {
	var out []tasks.Task
	for _, w := range g.web {
		l := g.listeners[w.binding]
		if w.tls != nil {
			l = tls.NewListener(l, w.tls)
		}
		timeouts := readTimeouts(g.cfg, w.kind, w.name)
		out = append(out, tasks.Task{Name: w.kind, Run: func(ctx context.Context) error { return serveHTTP(ctx, l, believe(w.trusted, g.gate), timeouts) }})
	}
	return out
}
