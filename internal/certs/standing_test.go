package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
)

// revoked is a list of holders that are allowed no more.
type revoked struct{ holders sync.Map }

func (r *revoked) allow(peer *x509.Certificate) error {
	if _, is := r.holders.Load(certs.Holder(peer)); is {
		return errors.New("revoked")
	}
	return nil
}

// echo serves connections of the domain's members, and sends back what they say.
func echo(t *testing.T, server *certs.Identity, standing *certs.Standing, r *revoked) string {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := standing.Listener(inner, server.Server(true, r.allow), r.allow)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		standing.Review(func(*x509.Certificate) error { return errors.New("the test is over") })
		serving.Wait()
	})
	return l.Addr().String()
}

func said(conn net.Conn) error {
	b := []byte{7}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, b)
	return err
}

func TestAStandingConnectionEndsWhenItsPeerIsRevoked(t *testing.T) {
	ca := authority(t)
	var standing certs.Standing
	var r revoked
	address := echo(t, identity(t, ca, at(now), "controller", "c1"), &standing, &r)
	conns := map[string]net.Conn{}
	for _, name := range []string{"c2", "c3"} {
		conn, err := tls.Dial("tcp", address, identity(t, ca, at(now), "controller", name).Client(nil))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns[name] = conn
		if err := said(conn); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	standing.Review(r.allow)
	if err := said(conns["c2"]); err != nil {
		t.Errorf("a review without a revocation: %v", err)
	}
	r.holders.Store(certs.URI("controller", "c2").String(), true)
	standing.Review(r.allow)
	if said(conns["c2"]) == nil {
		t.Error("the revoked one goes on")
	}
	if err := said(conns["c3"]); err != nil {
		t.Errorf("the other: %v", err)
	}
}

// The review that would have found it was before the connection was held.
func TestAPeerThatIsRevokedDuringItsHandshakeIsRefused(t *testing.T) {
	ca := authority(t)
	var standing certs.Standing
	a, b := net.Pipe()
	defer b.Close()
	conn, err := standing.Hold(a, peerOf(t, ca), func(*x509.Certificate) error { return errors.New("revoked") })
	if err == nil || conn != nil {
		t.Fatalf("got %v, %v", conn, err)
	}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("its connection: %v", err)
	}
}

func TestAClosedConnectionIsReviewedNoMore(t *testing.T) {
	ca := authority(t)
	var standing certs.Standing
	a, b := net.Pipe()
	defer b.Close()
	conn, err := standing.Hold(a, peerOf(t, ca), func(*x509.Certificate) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	standing.Review(func(*x509.Certificate) error {
		t.Error("it is reviewed")
		return nil
	})
}

func peerOf(t *testing.T, ca *certs.Authority) *x509.Certificate {
	t.Helper()
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	text, err := ca.Sign(request, certs.URI("controller", "c2"), now)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certs.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
