package standalone

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// Names in a standalone server's folder.
const (
	SocketName   = "management.sock"
	usersName    = "management-users.json"
	auditName    = "audit.log"
	identityName = "management.json"
)

// Serving says how a Model is reached.
type Serving struct {
	// Dir keeps the socket, the management users, the audit log and the
	// interface's certificate.
	Dir string
	// HTTP is the port of the HTTP interface, served over TLS; nil for none.
	HTTP net.Listener
	// Environment resolves the audit log's expressions; nil knows nothing.
	Environment profiles.Lookup
	Version     string
	Clock       clock.Clock
	Log         zerolog.Logger
}

// Interface serves one Model: on the folder's socket to local callers, known by
// their user id, and over HTTP to management users.
type Interface struct {
	Serving
	model    *Model
	audit    *access.Audit
	api      *api.Interface
	identity *certs.Identity
	renew    func() error
	socket   net.Listener // nil when it cannot be had
}

// NewInterface opens what serving needs. That another process serves the folder
// is a Conflict.
func NewInterface(m *Model, s Serving) (_ *Interface, err error) {
	i := &Interface{Serving: s, model: m}
	if i.socket, err = api.ListenLocal(filepath.Join(s.Dir, SocketName)); problem.Is(err, problem.Conflict) {
		return nil, problem.WithHint(err, "a server runs in %s already", s.Dir)
	} else if err != nil {
		// A path over 107 bytes cannot be a socket, unix(7): no reason not to serve.
		s.Log.Warn().Err(err).Msg("no management socket; the HTTP management interface and the file remain")
	}
	if i.identity, i.renew, err = openIdentity(filepath.Join(s.Dir, identityName), s.Clock.Now); err != nil {
		return nil, errors.Join(err, i.close())
	}
	if i.audit, err = access.NewAudit(access.AuditConfig{File: filepath.Join(s.Dir, auditName), Environment: s.Environment, Clock: s.Clock,
		Failed: func(err error) { s.Log.Error().Err(err).Msg("audit log") }}); err != nil {
		return nil, errors.Join(err, i.close())
	}
	i.api = api.New(api.Config{
		Model: m, Users: access.NewFileStore(filepath.Join(s.Dir, usersName)), Audit: i.audit, Healthy: i.healthy,
		Version: s.Version, Clock: s.Clock, Log: s.Log,
	})
	return i, nil
}

func (i *Interface) close() error {
	if i.socket == nil {
		return nil
	}
	return i.socket.Close()
}

func (i *Interface) healthy(context.Context) error {
	if s := i.model.driven(); s != nil {
		if state, _ := s.State(); state != "starting" && state != "stopping" {
			return nil
		}
	}
	return problem.Unavailable.Errorf("the server does not run")
}

// Run serves until ctx ends.
func (i *Interface) Run(ctx context.Context) error {
	list := []tasks.Task{{Name: "audit log", Run: func(ctx context.Context) error { <-ctx.Done(); return i.audit.Close() }}}
	said := i.Log.Info()
	if i.HTTP != nil {
		said.Str("http", i.HTTP.Addr().String()).Str("authority", certs.Fingerprint(i.identity.Authority()))
		list = append(list, tasks.Task{Name: "HTTP management port", Run: i.serveHTTP}, tasks.Task{Name: "certificate", Run: i.keepCertificate})
	}
	if i.socket != nil {
		said.Str("socket", i.socket.Addr().String())
		list = append(list, tasks.Task{Name: "management socket", Run: func(ctx context.Context) error { return i.api.ServeOn(ctx, i.socket) }})
	}
	said.Msg("management interface")
	return tasks.Run(ctx, list...)
}

// stopLimit is how long calls over HTTP may go on when the server stops: the
// one that stopped it gets its answer.
const stopLimit = 2 * time.Second

func (i *Interface) serveHTTP(ctx context.Context) error {
	server := &http.Server{Handler: i.api.HTTP(), ReadHeaderTimeout: 10 * time.Second, TLSConfig: i.identity.ServerWithChain(false, nil)}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(i.HTTP, "", "") }() // the certificate is in the configuration
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	err := server.Shutdown(limited)
	if err != nil {
		err = server.Close()
	}
	<-served
	return err
}

// keepCertificate renews the interface's certificate while it is served.
func (i *Interface) keepCertificate(ctx context.Context) error {
	for {
		if err := clock.Sleep(ctx, i.Clock, i.identity.RenewAt().Sub(i.Clock.Now())); err != nil {
			return err
		}
		if err := i.renew(); err != nil {
			return err
		}
	}
}
