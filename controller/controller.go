// Package controller wires the controller wing: it opens what a controller
// listens on, brings up replication, and runs the parts of a controller as one
// list of tasks. It owns the order in which they start and stop, the
// controller's own certificate, and nothing else.
//
// It must not know what an operation or a snapshot means.
package controller

import (
	"context"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/peers"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Config says what a controller is. Dir, Clock and Log are required.
type Config struct {
	// Dir holds everything of this controller: who it is, the log, the socket.
	Dir string
	// Name identifies it among the controllers; the default is the host's name.
	// It is fixed at the first boot.
	Name string
	// Native, HTTP and Replication are the addresses to listen on, host:port. The
	// defaults are ":9999", "127.0.0.1:9990" and ":9998".
	Native, HTTP, Replication string
	// Advertise is the host (no port) at which hosts and other controllers reach
	// this one. The default is the host of Native, or this machine's name when
	// that is empty.
	Advertise string
	// Seed is the domain.toml that the domain begins with; SeedFile is its name,
	// for errors. Only the first boot of the first controller uses it.
	Seed     []byte
	SeedFile string
	// Join makes this a further controller of an existing domain: the native
	// addresses of controllers, and a token from :add-controller. Used at the
	// first boot only. Without it the first boot founds a new domain.
	Join      []string
	JoinToken string

	Audit   *access.Audit        // nil records nothing
	Metrics *prometheus.Registry // gets this controller's metrics; nil serves none
	Version string
	Clock   clock.Clock
	Log     zerolog.Logger
	// Recent is what was logged last, JSON lines, for support bundles; nil: it is
	// not kept.
	Recent func() []byte
}

// The default addresses.
const (
	DefaultNative      = ":9999"
	DefaultHTTP        = "127.0.0.1:9990"
	DefaultReplication = ":9998"
)

// SocketName is the management socket's name in the controller's directory.
const SocketName = "management.sock"

// Controller is one domain controller.
type Controller struct {
	cfg       Config
	listeners listeners
	place     peers.Place
	ready     chan struct{}
}

// listeners are what a controller listens on.
type listeners struct{ native, http, replication, local net.Listener }

// New takes the controller's directory and addresses; Run serves.
func New(cfg Config) (*Controller, error) {
	if cfg.Dir == "" {
		return nil, problem.Invalid.Errorf("cannot make a controller: it has no directory")
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, problem.Internal.Errorf("cannot create the controller's directory: %w", err)
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Controller{cfg: cfg, ready: make(chan struct{})}
	if err := c.listen(); err != nil {
		return nil, err
	}
	c.place = peers.Place{Replication: c.reached(c.listeners.replication), Native: c.reached(c.listeners.native)}
	return c, nil
}

func (cfg *Config) complete() error {
	for _, d := range []struct {
		to    *string
		value string
	}{{&cfg.Native, DefaultNative}, {&cfg.HTTP, DefaultHTTP}, {&cfg.Replication, DefaultReplication}, {&cfg.SeedFile, "domain.toml"}} {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	machine, err := os.Hostname()
	if err != nil {
		return problem.Internal.Errorf("cannot find this machine's name: %w", err)
	}
	if cfg.Name == "" {
		cfg.Name = machine
	}
	if cfg.Advertise == "" {
		host, _, err := net.SplitHostPort(cfg.Native)
		if err != nil {
			return problem.Invalid.Errorf("cannot listen on %q: want host:port", cfg.Native)
		}
		cfg.Advertise = host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			cfg.Advertise = machine
		}
	}
	return authority.CheckName("controller", cfg.Name)
}

func (c *Controller) listen() (err error) {
	defer func() {
		if err != nil {
			c.listeners.close()
		}
	}()
	for _, l := range []struct {
		to      *net.Listener
		what    string
		address string
	}{
		{&c.listeners.native, "the native port", c.cfg.Native},
		{&c.listeners.http, "the HTTP management port", c.cfg.HTTP},
		{&c.listeners.replication, "the replication port", c.cfg.Replication},
	} {
		if *l.to, err = net.Listen("tcp", l.address); err != nil {
			return problem.Unavailable.Errorf("cannot listen on %s for %s: %w", l.address, l.what, err)
		}
	}
	return nil
}

func (l listeners) close() {
	for _, one := range []net.Listener{l.native, l.http, l.replication, l.local} {
		if one != nil {
			_ = one.Close() // nothing was served on it
		}
	}
}

// reached is the address at which others reach a listener.
func (c *Controller) reached(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil { // a TCP address has a port
		return l.Addr().String()
	}
	return net.JoinHostPort(c.cfg.Advertise, port)
}

// Addresses are where this controller is reached: by hosts and clients, by
// browsers and HTTP clients, and by local ones.
func (c *Controller) Addresses() (native, http, socket string) {
	return c.place.Native, c.listeners.http.Addr().String(), filepath.Join(c.cfg.Dir, SocketName)
}

// Ready is closed when the controller serves and knows a leader.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// Run runs the controller until ctx ends or it fails.
func (c *Controller) Run(ctx context.Context) error {
	in, err := c.settle(ctx)
	if err != nil {
		c.listeners.close()
		return err
	}
	p, err := c.assemble(in)
	if err != nil {
		c.listeners.close()
		return err
	}
	return p.run(ctx)
}

// settle finds out who this controller is, at its first boot by founding a
// domain or by joining one.
func (c *Controller) settle(ctx context.Context) (installation, error) {
	in, known, err := loadInstallation(c.cfg.Dir)
	switch {
	case err != nil || known:
		return in, err
	case len(c.cfg.Join) == 0:
		// Before anything is made: a domain cannot begin with a wrong file.
		if _, err := profiles.ParseTOML(c.cfg.SeedFile, c.cfg.Seed); err != nil {
			return in, err
		}
		c.cfg.Log.Info().Str("controller", c.cfg.Name).Msg("founding a new domain")
		return in, in.found(c.cfg.Name, c.cfg.Clock.Now())
	}
	token, err := authority.ParseToken(c.cfg.JoinToken)
	if err != nil {
		return in, err
	}
	c.cfg.Log.Info().Str("controller", token.Name).Strs("at", c.cfg.Join).Msg("joining the domain")
	return in, in.enrol(ctx, c.cfg.Join, token, c.cfg.Clock.Now)
}
