package hostagent

import (
	"context"
	"net"

	"github.com/gatehouse-idp/gatehouse/hostagent/vitals"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// listenHealth opens the port on which the host tells of itself, nil without
// one.
func (c Config) listenHealth() (net.Listener, error) {
	if c.Health == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", c.Health)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot serve the health of host %q: %w", c.HostFile.Name, err)
	}
	return l, nil
}

// tellVitals serves /health and /metrics on l until ctx ends.
func (a *Agent) tellVitals(ctx context.Context, l net.Listener) error {
	return vitals.New(vitals.Config{Listener: l, View: a.view, Alive: a.Alive}).Run(ctx)
}

func (a *Agent) view() vitals.View {
	link := a.link.State()
	v := vitals.View{Host: a.host, Version: a.config.Version, Skew: link.Skew, Facts: facts(a.config.Dir), Servers: a.Servers(),
		Link: vitals.Link{Connected: link.Connected, Since: link.Since, Text: link.String()}}
	a.mu.Lock()
	defer a.mu.Unlock()
	v.Revision = a.snapshot.Revision
	return v
}
