// Package boot brings a server from its configuration to ready, keeps it in
// step with new configurations, and stops it gracefully. It owns the order of
// all that, and the one visible list of what a server serves. It knows every
// room of the server wing and none of the other wings.
package boot

import (
	"context"
	"io"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Process is what a server process is given.
type Process struct {
	// Dir is the server's working directory; data/ below it is the server's own.
	Dir     string
	Getenv  func(string) string
	Stdin   io.Reader
	Version string
	Clock   clock.Clock
	// Logs is followed by the configuration's subsystem=logging. Whoever made it
	// closes it.
	Logs *logs.Tree
}

// process is a Process with what its lines say on every line.
type process struct {
	Process
	Log  zerolog.Logger // category server.boot
	node string         // as in cookies
	site string
}

func (p Process) named(node, site string) process {
	out := process{Process: p, node: node, site: site}
	out.Log = out.logger("server.boot")
	return out
}

// logger is the logger of a category; see profiles.LogCategories.
func (p process) logger(category string) zerolog.Logger {
	return p.Logs.Logger(category).With().Str("node", p.node).Str("site", p.site).Logger()
}

// generation is one life of a server's services within a process: a reload
// ends it and starts the next.
type generation interface {
	// run serves until ctx ends or a part fails; ready is called once requests
	// are answered.
	run(ctx context.Context, ready func()) error
	// apply takes over what can change while running.
	apply(cfg servergroups.ServerConfig) error
	// directory tells which servers the domain has.
	directory(servers []*configrelay.DirectoryServer)
	// suspend refuses new requests and waits for those inside.
	suspend(ctx context.Context) error
	resume()
	// node is the server's name in cookies; "" for a load balancer.
	node() string
	// ports are the socket bindings that are listened on.
	ports() map[string]uint32
	// members are the nodes of the cluster as this server sees them, itself
	// included, in order; none: it is in no cluster.
	members() []string
}

// environment is what a generation may use of its process.
type environment struct {
	process
	// say tells people what the server is doing while it starts.
	say func(message string)
	// certify gets a certificate for a request (PKCS 10, DER): the certificate
	// and the authorities', PEM, the issuing one first. nil where there is no domain.
	certify func(ctx context.Context, request []byte) (certificate, authorities []byte, err error)
	// trust is which authorities count, as the agent says it; nil where there is no
	// domain.
	trust *trust
	// certified tells what the server's certificate is and whom it trusts.
	certified func(*certs.Identity)
	// traffic counts what is answered, over all generations of the process.
	traffic *traffic
}

// newGeneration prepares the services that a configuration asks for.
func newGeneration(ctx context.Context, env environment, cfg servergroups.ServerConfig) (generation, error) {
	if _, ok := cfg.Get(identityName); ok {
		return newIdentity(ctx, env, cfg)
	}
	if len(cfg.Map(httpName, "configuration", "handler", "reverse-proxy")) > 0 {
		return newBalancer(env, cfg)
	}
	return nil, problem.WithHint(
		problem.Invalid.Errorf("cannot tell what server %q is to be: profile %q has neither subsystem=identity nor a reverse-proxy handler in subsystem=http", cfg.Name, cfg.Profile),
		"add one of them to the profile")
}

// data is a path in the server's own data folder.
func (p Process) data(name string) string { return filepath.Join(p.Dir, "data", name) }
