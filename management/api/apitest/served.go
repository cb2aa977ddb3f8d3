package apitest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/management/api"
)

// Served is a model on the wire: on a Unix socket and over TLS.
type Served struct {
	Model       *Model
	Users       access.Store
	Socket      string // path
	Address     string // host:port, HTTP and gRPC
	Fingerprint string // of the authority
	AuditFile   string
	// Web is an HTTP client that trusts the authority.
	Web *http.Client
	// Stop ends the service, as if the controller had died.
	Stop func()
}

// Serve puts a model on the wire until the test ends.
func Serve(t *testing.T, model *Model) *Served {
	t.Helper()
	dir := t.TempDir()
	s := &Served{
		Model: model, Users: access.NewFileStore(filepath.Join(dir, "users.json")),
		Socket: filepath.Join(dir, "management.sock"), AuditFile: filepath.Join(dir, "audit.log"),
	}
	c := clock.Real()
	audit, err := access.NewAudit(access.AuditConfig{File: s.AuditFile, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	served := api.New(api.Config{Model: model, Users: s.Users, Audit: audit, Clock: c, Log: zerolog.Nop(), Version: "test"})
	identity, authority := newIdentity(t, c)
	s.Fingerprint = certs.Fingerprint(authority.Certificate)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	local, err := api.ListenLocal(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		_ = served.ServeOn(ctx, local) // ends with the context
	}()
	web := httptest.NewUnstartedServer(served.HTTP())
	web.EnableHTTP2 = true
	web.TLS = identity.ServerWithChain(false, nil)
	web.StartTLS()
	s.Address = web.Listener.Addr().(*net.TCPAddr).String()
	pinned := certs.Pinned(s.Fingerprint, c.Now, nil)
	pinned.NextProtos = []string{"h2", "http/1.1"}
	s.Web = &http.Client{Transport: &http.Transport{TLSClientConfig: pinned, ForceAttemptHTTP2: true}}
	stopped := false
	s.Stop = func() {
		if stopped {
			return
		}
		stopped = true
		s.Web.CloseIdleConnections()
		web.CloseClientConnections()
		web.Close()
		cancel()
		<-done
		if err := audit.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.Stop)
	return s
}

func newIdentity(t *testing.T, c clock.Clock) (*certs.Identity, *certs.Authority) {
	t.Helper()
	authority, err := certs.NewAuthority("test", c.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Sign(request, certs.URI("controller", "c1"), c.Now())
	if err != nil {
		t.Fatal(err)
	}
	authorityPEM, _, err := authority.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	identity, err := certs.NewIdentity(key, certificate, authorityPEM, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	return identity, authority
}

// AddUser adds a management user with one role.
func (s *Served) AddUser(t *testing.T, name, password string, grants ...access.Grant) {
	t.Helper()
	user, err := access.NewUser(name, password, grants)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Users.PutUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
}
