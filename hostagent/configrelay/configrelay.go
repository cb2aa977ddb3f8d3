// Package configrelay owns the local socket from which the servers of this
// host pull their configuration, get the directory, commands and certificates,
// and on which they report. It must not know how servers are started nor how a
// controller is reached; configurations are opaque bytes to it.
//
// Who may attach: a process of the agent's own user (or root) that shows the
// token its spawn gave it, until it has the reconnect key that Attach answers
// with, or that key. Only digests of both are ever kept.
package configrelay

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/protocol"
)

// A link whose server does not answer is noticed in pingEvery+pingTimeout: a
// frozen process must lose its link well before three liveness checks.
const (
	pingEvery   = 3 * time.Second
	pingTimeout = 3 * time.Second
	// answerGrace is how much longer than its own timeout a command's answer
	// may take on the way.
	answerGrace = 2 * time.Second
)

// Observer hears what servers say. Its methods must not block.
type Observer interface {
	Attached(server string, version string)
	Reported(server string, status *relaypb.Status)
	Applied(server string, applied *relaypb.Applied)
	Used(server string, usage *relaypb.Usage)
	Trusted(server string, trusted *relaypb.Trusted)
	Detached(server string)
	// Refused: a server that is one of ours speaks no protocol that this agent
	// speaks.
	Refused(server string, why string)
}

// Keys remembers the digests over a restart of the agent; SaveKeys must be
// durable when it returns.
type Keys interface {
	SaveKeys(server, tokenDigest, keyDigest string) error
}

// Signer gets a certificate for a server from a controller.
type Signer interface {
	Sign(ctx context.Context, server string, request []byte) (certificate, authority []byte, err error)
}

// Config is what a Relay rests on.
type Config struct {
	// Socket is the path of the Unix socket; at most 107 bytes (unix(7)).
	Socket   string
	Observer Observer
	Keys     Keys
	Signer   Signer
	// Speaks is what the agent speaks; Speaking() of the contract when zero.
	Speaks protocol.Speaks
	Clock  clock.Clock
	Log    zerolog.Logger
}

// Relay serves the socket.
type Relay struct {
	relaypb.UnimplementedConfigRelayServer
	config Config

	mu        sync.Mutex
	servers   map[string]*entry
	directory *relaypb.Directory
	trust     *relaypb.Trust
}

// entry is what the relay knows of one server; Relay.mu guards it.
type entry struct {
	tokenDigest, keyDigest string
	configuration          *relaypb.Configuration
	link                   *link // nil when not attached
}

// New makes a relay that serves nobody until Run.
func New(c Config) *Relay {
	if c.Speaks.Newest == 0 {
		c.Speaks = relaypb.Speaking(c.Speaks.Version)
	}
	return &Relay{config: c, servers: map[string]*entry{}}
}

// Listen opens the socket. A socket file that a dead agent left is replaced.
func (r *Relay) Listen() (net.Listener, error) {
	path := r.config.Socket
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// Made in a directory of its own and moved in with its final mode: at no
	// moment is it open to others, whatever the umask.
	closed, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(closed) }()
	made := filepath.Join(closed, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot open the local socket %s (its path may have 100 bytes): %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &ownUser{UnixListener: l, log: r.config.Log}, nil
}

// Run serves l until ctx ends.
func (r *Relay) Run(ctx context.Context, l net.Listener) error {
	g := grpc.NewServer(
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	relaypb.RegisterConfigRelayServer(g, r)
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	err := g.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Expect makes the one-time token for a server's next process. What an
// earlier process of this server held no longer counts.
func (r *Relay) Expect(server string) (token string, err error) {
	token, digest, err := newSecret()
	if err != nil {
		return "", err
	}
	if err := r.config.Keys.SaveKeys(server, digest, ""); err != nil {
		return "", err
	}
	r.mu.Lock()
	e := r.entry(server)
	e.tokenDigest, e.keyDigest = digest, ""
	old := e.link
	e.link = nil
	r.mu.Unlock()
	if old != nil {
		old.close(problem.Conflict.Errorf("a new process of server %q is started", server))
	}
	return token, nil
}

// Restore sets the digests that were kept of a server that lives on.
func (r *Relay) Restore(server, tokenDigest, keyDigest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(server)
	e.tokenDigest, e.keyDigest = tokenDigest, keyDigest
}

// Forget ends what a server may do here.
func (r *Relay) Forget(server string) {
	r.mu.Lock()
	e := r.servers[server]
	delete(r.servers, server)
	r.mu.Unlock()
	if e != nil && e.link != nil {
		e.link.close(problem.NotFound.Errorf("server %q is no server of this host any more", server))
	}
}

// Configure sets a server's configuration and sends it when it is attached,
// or as soon as it attaches. The newest wins.
func (r *Relay) Configure(server string, revision uint64, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entry(server)
	e.configuration = &relaypb.Configuration{Revision: revision, Content: content}
	if e.link != nil {
		e.link.configure(e.configuration)
	}
}

// Publish sets the directory of the domain's servers for all.
func (r *Relay) Publish(d *relaypb.Directory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.directory = d
	for _, e := range r.servers {
		if e.link != nil {
			e.link.publish(d)
		}
	}
}

// Trust sets which authorities of the domain (PEM, the issuing one first) the
// servers trust.
func (r *Relay) Trust(authorities []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trust = &relaypb.Trust{Authorities: authorities}
	for _, e := range r.servers {
		if e.link != nil {
			e.link.entrust(r.trust)
		}
	}
}

// Attached tells whether a server's link stands.
func (r *Relay) Attached(server string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.servers[server]
	return e != nil && e.link != nil
}

// Command has a server do something (reload, suspend, resume, stop) and waits
// for its answer.
func (r *Relay) Command(ctx context.Context, server, kind string, timeout time.Duration) error {
	r.mu.Lock()
	var l *link
	if e := r.servers[server]; e != nil {
		l = e.link
	}
	r.mu.Unlock()
	if l == nil {
		return problem.Unavailable.Errorf("cannot %s server %q: it is not attached to its agent", kind, server)
	}
	limit := r.config.Clock.NewTimer(timeout + answerGrace)
	defer limit.Stop()
	answer := l.ask(kind, timeout)
	select {
	case result := <-answer:
		if result != "" {
			return problem.Precondition.Errorf("cannot %s server %q: %s", kind, server, result)
		}
		return nil
	case <-l.ctx.Done():
		return problem.Unavailable.Errorf("cannot %s server %q: it left its agent", kind, server)
	case <-limit.C:
		return problem.Timeout.Errorf("cannot %s server %q: no answer within %s", kind, server, timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Relay) entry(server string) *entry {
	e := r.servers[server]
	if e == nil {
		e = &entry{}
		r.servers[server] = e
	}
	return e
}
