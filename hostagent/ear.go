package hostagent

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-idp/gatehouse/hostagent/localstate"
	"github.com/gatehouse-idp/gatehouse/hostagent/supervisor"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// ear hears what servers say: configrelay.Observer.
type ear struct{ a *Agent }

func (e ear) Attached(server, version string) {
	e.a.config.Log.Info().Str("server", server).Str("version", version).Msg("server attached")
	e.a.mu.Lock()
	e.a.server(server).version = version
	e.a.mu.Unlock()
}

func (e ear) Detached(server string) {
	e.a.config.Log.Info().Str("server", server).Msg("server detached")
}

// Refused has the server's end, or its silence, say why.
func (e ear) Refused(server, why string) {
	e.a.supervisor.Reported(server, supervisor.Report{State: "failed", Message: why})
}

func (e ear) Reported(name string, status *relaypb.Status) {
	a := e.a
	a.mu.Lock()
	v := a.server(name)
	v.report = status
	if d, ok := v.sent[status.GetRevision()]; ok && v.applied == "" {
		v.applied = d
	}
	a.mu.Unlock()
	a.supervisor.Reported(name, supervisor.Report{State: status.GetState(), Message: status.GetMessage(), Healthy: status.GetHealthy()})
	a.changed()
}

func (e ear) Applied(name string, applied *relaypb.Applied) {
	a := e.a
	a.mu.Lock()
	v := a.server(name)
	v.required, v.refused = applied.GetRequired(), applied.GetProblem()
	if v.required == "" && v.refused == "" {
		v.applied = v.sent[applied.GetRevision()]
	}
	a.mu.Unlock()
	if p := applied.GetProblem(); p != "" {
		a.config.Log.Error().Str("server", name).Uint64("revision", applied.GetRevision()).Str("why", p).Msg("a server refuses its configuration")
	}
	a.changed()
}

func (e ear) Used(name string, usage *relaypb.Usage) {
	a := e.a
	a.mu.Lock()
	v := a.server(name)
	next := &hostlink.ServerUsage{}
	if v.usage != nil { // a copy: what was told may still be on its way
		next = proto.CloneOf(v.usage)
	}
	next.Connections, next.Requests, next.Errors, next.Backends = usage.GetConnections(), usage.GetRequests(), usage.GetErrors(), nil
	for _, b := range usage.GetBackends() {
		next.Backends = append(next.Backends, &hostlink.BackendUsage{Node: b.GetNode(), Requests: b.GetRequests(), Errors: b.GetErrors(), Overdue: b.GetOverdue()})
	}
	worse := troubled(next) != troubled(v.usage)
	v.usage = next
	a.mu.Unlock()
	if worse { // the rest is told with the next measurement
		a.changed()
	}
}

// Trusted has the domain hear which authorities a server trusts and shows.
func (e ear) Trusted(name string, trusted *relaypb.Trusted) {
	e.a.mu.Lock()
	e.a.server(name).trusted = trusted
	e.a.mu.Unlock()
	e.a.changed()
}

// troubled is what the domain wants to hear of at once: errors, and requests that
// wait too long.
func troubled(u *hostlink.ServerUsage) (n [2]uint64) {
	n[0] = u.GetErrors()
	for _, b := range u.GetBackends() {
		n[0] += b.GetErrors()
		n[1] += uint64(b.GetOverdue())
	}
	return n
}

// keys remembers the digests of tokens and keys: configrelay.Keys.
type keys struct{ a *Agent }

func (k keys) SaveKeys(server, tokenDigest, keyDigest string) error {
	return k.a.store.UpdateServer(server, func(r *localstate.Server) { r.TokenDigest, r.KeyDigest = tokenDigest, keyDigest })
}

// signer gets certificates for servers: configrelay.Signer.
type signer struct{ a *Agent }

func (s signer) Sign(ctx context.Context, server string, request []byte) (certificate, authority []byte, err error) {
	return s.a.link.Sign(ctx, server, request)
}

// journal remembers processes: supervisor.Journal.
type journal struct{ a *Agent }

func (j journal) Started(p supervisor.Process) error {
	j.a.mu.Lock()
	v := j.a.server(p.Server)
	v.settings = v.start
	settings := v.settings
	j.a.mu.Unlock()
	return j.a.store.UpdateServer(p.Server, func(r *localstate.Server) {
		r.Process = &localstate.Process{PID: p.PID, StartTicks: p.StartTicks, Boot: p.Boot,
			Executable: p.Executable, Started: p.Started, Settings: settings}
	})
}

func (j journal) Ended(server string, exit supervisor.Exit) error {
	return j.a.store.UpdateServer(server, func(r *localstate.Server) {
		r.Process, r.TokenDigest, r.KeyDigest, r.Exit = nil, "", "", exitOf(exit)
	})
}
