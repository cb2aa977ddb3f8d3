package authority_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// records is a domain without replication. It is authority.Records and
// authority.Presence.
type records struct{ state domain.State }

func (r *records) Record(kind, key string) (domain.Record, bool) { return r.state.Record(kind, key) }

func (r *records) Put(_ context.Context, kind, key string, value []byte, expect uint64) (err error) {
	r.state, _, err = r.state.PutRecord(kind, key, value, expect)
	return err
}

func (r *records) Delete(_ context.Context, kind, key string, expect uint64) (err error) {
	r.state, err = r.state.DeleteRecord(kind, key, expect)
	return err
}

func (r *records) Fresh(context.Context) error        { return nil }
func (r *records) Installation(string) (string, bool) { return "", false }

func newAuthority(t *testing.T) (*authority.Authority, *records, *clocktest.Clock) {
	t.Helper()
	c := clocktest.New(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))
	r := &records{}
	a := authority.New(authority.Config{Records: r, Presence: r, Clock: c})
	ca, err := certs.NewAuthority("test", c.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Install(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	return a, r, c
}

// stranger asks to join without knowing the secret, and keeps the challenge.
type stranger struct {
	name      string
	step      int
	challenge string
}

func (s *stranger) Context() context.Context { return context.Background() }

func (s *stranger) Send(m *hostlink.JoinMessage) error {
	s.challenge = m.GetScram()
	return nil
}

func (s *stranger) Recv() (*hostlink.JoinMessage, error) {
	if s.step++; s.step > 1 {
		return nil, io.EOF
	}
	return &hostlink.JoinMessage{Message: &hostlink.JoinMessage_Start{Start: &hostlink.JoinStart{Host: s.name, Scram: "n,,n=" + s.name + ",r=nonce"}}}, nil
}

// salt is what a challenge (RFC 5802, 5.1: r=,s=,i=) shows beside the nonce.
func (s *stranger) salt() string {
	_, rest, _ := strings.Cut(s.challenge, ",s=")
	return rest
}

func TestAStrangerCannotTellWhichHostsThereAre(t *testing.T) {
	a, _, _ := newAuthority(t)
	if _, err := a.Invite(t.Context(), authority.RoleHost, "known"); err != nil {
		t.Fatal(err)
	}
	ask := func(name string) string {
		s := &stranger{name: name}
		if _, err := a.Join(authority.RoleHost, s); err == nil {
			t.Errorf("%s joined without the secret", name)
		}
		return s.salt()
	}
	if len(ask("known")) != len(ask("unknown")) || ask("unknown") == "" {
		t.Errorf("challenges differ in form: %q, %q", ask("known"), ask("unknown"))
	}
	for _, name := range []string{"known", "unknown"} {
		if first, second := ask(name), ask(name); first != second {
			t.Errorf("asking twice about %s gives %q and %q: that tells a host that is there from one that is not", name, first, second)
		}
	}
}

func TestTheSecretIsNotKept(t *testing.T) {
	a, r, _ := newAuthority(t)
	token, err := a.Invite(t.Context(), authority.RoleHost, "h")
	if err != nil {
		t.Fatal(err)
	}
	for rec := range r.state.Records(authority.KindVerifier) {
		if strings.Contains(string(rec.Value), token.Secret) {
			t.Error("the domain keeps the secret")
		}
	}
	again, err := authority.ParseToken(" " + token.String() + "\n")
	if err != nil || again != token {
		t.Errorf("the token's text gives %v, %v", again, err)
	}
	if _, err := authority.ParseToken("gatehouse-join-v2.x"); !problem.Is(err, problem.Invalid) {
		t.Errorf("another text: %v", err)
	}
}

func TestARevocationEndsWhatWasIssuedAndNotWhatWillBe(t *testing.T) {
	a, _, c := newAuthority(t)
	allowed := func(holder []string) error {
		key, err := certs.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		request, err := key.Request()
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := a.Sign(request, certs.URI(holder...))
		if err != nil {
			t.Fatal(err)
		}
		cert, err := certs.ParseCertificate(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Allow(cert); err != nil {
			t.Fatalf("a new certificate of %v: %v", holder, err)
		}
		c.Advance(time.Second)
		if err := a.Revoke(t.Context(), authority.Host("h")); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Second)
		return a.Allow(cert)
	}
	for _, holder := range [][]string{{"host", "h"}, {"server", "h", "one"}} {
		if err := allowed(holder); !problem.Is(err, problem.Forbidden) {
			t.Errorf("%v after the revocation: %v", holder, err)
		}
	}
	if err := allowed([]string{"host", "other"}); err != nil {
		t.Errorf("another host: %v", err)
	}
}
