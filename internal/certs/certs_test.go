package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func authority(t *testing.T) *certs.Authority {
	t.Helper()
	a, err := certs.NewAuthority("test domain", now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func identity(t *testing.T, a *certs.Authority, clock func() time.Time, name ...string) *certs.Identity {
	t.Helper()
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	req, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(req, certs.URI(name...), now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := certs.NewIdentity(key, cert, certs.EncodeCertificate(a.Certificate.Raw), clock)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// handshake connects the two over a pipe and returns both sides' errors.
func handshake(server, client *tls.Config) error {
	s, c := net.Pipe()
	errs := make(chan error, 2)
	// One byte each way: in TLS 1.3 a server's refusal of the client's
	// certificate is seen by the client only on its first read.
	go func() {
		conn := tls.Server(s, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte{1})
		}
		s.Close()
		errs <- err
	}()
	go func() {
		conn := tls.Client(c, client)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		c.Close()
		errs <- err
	}()
	return errors.Join(<-errs, <-errs)
}

func TestOnlyHoldersOfTheAuthorityTalk(t *testing.T) {
	a, other := authority(t), authority(t)
	refuse := func(peer *x509.Certificate) error { return errors.New("not you, " + certs.Holder(peer)) }
	tests := []struct {
		name   string
		server *tls.Config
		client *tls.Config
		want   string
	}{
		{"same authority", identity(t, a, at(now), "controller", "c1").Server(true, nil), identity(t, a, at(now), "host", "master").Client(nil), ""},
		{"client of another authority", identity(t, a, at(now), "controller", "c1").Server(true, nil), identity(t, other, at(now), "host", "master").Client(nil), "cannot trust the peer"},
		{"client without a certificate", identity(t, a, at(now), "controller", "c1").Server(true, nil), certs.Pinned(certs.Fingerprint(a.Certificate), at(now), nil), "certificate"},
		{"server refuses the holder", identity(t, a, at(now), "controller", "c1").Server(true, refuse), identity(t, a, at(now), "host", "x").Client(nil), "not you, gatehouse:/host/x"},
		{"client refuses the holder", identity(t, a, at(now), "host", "y").Server(true, nil), identity(t, a, at(now), "host", "x").Client(refuse), "not you, gatehouse:/host/y"},
		{"expired server", identity(t, a, at(now), "controller", "c1").Server(true, nil), identity(t, a, at(now.Add(31*24*time.Hour)), "host", "x").Client(nil), "expired"},
		{"pinned fingerprint", identity(t, a, at(now), "controller", "c1").ServerWithChain(false, nil), certs.Pinned(certs.Fingerprint(a.Certificate), at(now), nil), ""},
		{"pinned, false controller", identity(t, other, at(now), "controller", "c1").ServerWithChain(false, nil), certs.Pinned(certs.Fingerprint(a.Certificate), at(now), nil), "join token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := handshake(tt.server, tt.client)
			if tt.want == "" && err != nil {
				t.Errorf("handshake: %v", err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("handshake: %v, want %q", err, tt.want)
			}
		})
	}
}

// A false controller may replay the real authority's certificate in its chain:
// its own leaf must still be signed by it.
func TestPinnedRefusesAStolenChain(t *testing.T) {
	a, other := authority(t), authority(t)
	cfg := identity(t, other, at(now), "controller", "c1").ServerWithChain(false, nil)
	inner := cfg.GetConfigForClient
	cfg.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := inner(h)
		c.Certificates[0].Certificate[1] = a.Certificate.Raw
		return c, err
	}
	if err := handshake(cfg, certs.Pinned(certs.Fingerprint(a.Certificate), at(now), nil)); err == nil {
		t.Error("a leaf of another authority was trusted")
	}
}

func TestTheRequestDoesNotChooseItsName(t *testing.T) {
	a := authority(t)
	id := identity(t, a, at(now), "server", "host 2/x", "one")
	if got, want := id.Holder(), "gatehouse:/server/host%202%2Fx/one"; got != want {
		t.Errorf("holder %q, want %q", got, want)
	}
	if got, want := id.RenewAt(), now.Add(certs.HolderLifetime*2/3); got.Sub(want).Abs() > time.Hour {
		t.Errorf("renew at %v, want about %v", got, want)
	}
}

func TestAuthorityAndKeySurviveTheirPEMForm(t *testing.T) {
	a := authority(t)
	cert, key, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b, err := certs.ParseAuthority(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if certs.Fingerprint(a.Certificate) != certs.Fingerprint(b.Certificate) {
		t.Error("fingerprints differ")
	}
	_, otherKey, err := authority(t).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certs.ParseAuthority(cert, otherKey); err == nil {
		t.Error("a foreign key was accepted")
	}
}
