package authority_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/gatehouse-idp/gatehouse/controller/authority"
	"github.com/gatehouse-idp/gatehouse/controller/domain"
	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// records is a domain without replication. It is authority.Records and
// authority.Presence.
type records struct {
	state domain.State
	// fresh, if not nil, brings what other controllers wrote.
	fresh func() error
}

func (r *records) Record(kind, key string) (domain.Record, bool) { return r.state.Record(kind, key) }

func (r *records) Put(_ context.Context, kind, key string, value []byte, expect uint64) (err error) {
	r.state, _, err = r.state.PutRecord(kind, key, value, expect)
	return err
}

func (r *records) Delete(_ context.Context, kind, key string, expect uint64) (err error) {
	r.state, err = r.state.DeleteRecord(kind, key, expect)
	return err
}

func (r *records) Fresh(context.Context) error {
	if r.fresh == nil {
		return nil
	}
	return r.fresh()
}

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

// guest asks to join with a secret (RFC 5802).
type guest struct {
	t     *testing.T
	name  string
	talk  *scram.ClientConversation
	heard string // of SCRAM, to be answered
	began bool
	got   *hostlink.Certificate
}

func newGuest(t *testing.T, token authority.Token) *guest {
	t.Helper()
	client, err := scram.SHA256.NewClient(token.Name, token.Secret, "")
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, name: token.Name, talk: client.NewConversation()}
}

func (g *guest) Context() context.Context { return g.t.Context() }

func (g *guest) Send(m *hostlink.JoinMessage) error {
	g.heard, g.got = m.GetScram(), m.GetCertificate()
	return nil
}

func (g *guest) Recv() (*hostlink.JoinMessage, error) {
	text, err := g.talk.Step(g.heard)
	if err != nil {
		return nil, err
	}
	if g.began {
		return &hostlink.JoinMessage{Message: &hostlink.JoinMessage_Scram{Scram: text}}, nil
	}
	g.began = true
	key, err := certs.NewKey()
	if err != nil {
		return nil, err
	}
	request, err := key.Request()
	return &hostlink.JoinMessage{Message: &hostlink.JoinMessage_Start{Start: &hostlink.JoinStart{Host: g.name, Scram: text, CertificateRequest: request}}}, err
}

func TestANewTokenCountsAtOnceAtAControllerThatIsBehind(t *testing.T) {
	a, r, _ := newAuthority(t)
	token := func() authority.Token {
		t.Helper()
		token, err := a.Invite(t.Context(), authority.RoleHost, "h1")
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	old := token()
	behind := r.state
	now := token()
	newest := r.state
	leaderless := problem.Unavailable.Errorf("no controller leads")
	for _, c := range []struct {
		name  string
		token authority.Token
		fresh func() error
		kind  problem.Kind // of the refusal
		joins bool
	}{
		{"the new token", now, func() error { r.state = newest; return nil }, 0, true},
		{"the old token", old, func() error { r.state = newest; return nil }, problem.Unauthorized, false},
		{"the new token, and no leader can be asked", now, func() error { return leaderless }, problem.Unavailable, false},
		{"a token that is known, and no leader can be asked", old, func() error { return leaderless }, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.state, r.fresh = behind, c.fresh
			g := newGuest(t, c.token)
			_, err := a.Join(authority.RoleHost, g)
			if joined := err == nil && g.got != nil; joined != c.joins || !c.joins && !problem.Is(err, c.kind) {
				t.Errorf("joined %v: %v", joined, err)
			}
		})
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
