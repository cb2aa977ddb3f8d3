package openid_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/server/sessions"
	"github.com/gatehouse-idp/gatehouse/server/tokens"
)

// bare is the processor time that one RS256 signature takes in this process at this
// moment.
func bare(b *testing.B, key *rsa.PrivateKey, n int) time.Duration {
	b.Helper()
	sum := sha256.Sum256([]byte("gatehouse"))
	start := cpu(b)
	for range n {
		if _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			b.Fatal(err)
		}
	}
	return (cpu(b) - start) / time.Duration(n)
}

// cpu is the processor time that this process has used: unlike the time of day
// it says the same on a busy machine.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// against runs f, which costs so many signatures, and reports the ratio of bare
// signing to it, both measured in turns.
func against(b *testing.B, signatures int, f func()) {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	f() // plans, keys and pages are there
	const turn = 20
	var signing, whole time.Duration
	turns := 0
	for b.Loop() {
		signing += bare(b, key, turn) * time.Duration(signatures)
		start := cpu(b)
		for range turn {
			f()
		}
		whole += (cpu(b) - start) / turn
		turns++
	}
	b.ReportMetric(float64(signing)/float64(whole), "of-bare")
	b.ReportMetric(float64((whole-signing).Microseconds())/float64(turns), "µs-more")
}

func (w *world) request(endpoint string, client [2]string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, w.openid(endpoint), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client[0], client[1])
	r.RemoteAddr = "127.0.0.1:4711"
	return r
}

func (w *world) ask(b *testing.B, endpoint string, client [2]string, form url.Values) {
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, w.request(endpoint, client, form))
	if rec.Code != http.StatusOK {
		b.Fatalf("%d %s", rec.Code, rec.Body)
	}
}

// DESIGN.md, section 9: at least 0.8 of the bare signatures.
func BenchmarkClientCredentials(b *testing.B) {
	w := newWorld(b)
	form := url.Values{"grant_type": {"client_credentials"}}
	against(b, 1, func() { w.ask(b, "token", service, form) })
}

// DESIGN.md, section 9: at least 0.75 of the bare signatures, two a refresh.
func BenchmarkRefresh(b *testing.B) {
	w := newWorld(b)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text(w.tokens(w.browser()), "refresh_token")}}
	against(b, 2, func() { w.ask(b, "token", web, form) })
}

func BenchmarkVerifyAccessToken(b *testing.B) {
	w := newWorld(b)
	token := text(w.tokens(w.browser()), "access_token")
	r := w.request("token", web, url.Values{})
	r.SetPathValue("realm", "test")
	v, err := w.front.Open(r)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := w.issuer.Verify(context.Background(), v.Site, v.Realm, token, tokens.TypeBearer); err != nil {
			b.Fatal(err)
		}
	}
}

// What a token costs beside its signature: claims and lookups.
func BenchmarkClaims(b *testing.B) {
	w := newWorld(b)
	r := w.request("token", service, url.Values{})
	r.SetPathValue("realm", "test")
	ctx := context.Background()
	for b.Loop() {
		v, err := w.front.Open(r)
		if err != nil {
			b.Fatal(err)
		}
		client, err := w.front.Client(ctx, v.Realm, "web")
		if err != nil {
			b.Fatal(err)
		}
		user, err := w.front.User(ctx, v.Realm, w.alice)
		if err != nil {
			b.Fatal(err)
		}
		online, session := w.sessions.Transient(v.Realm, client, user, sessions.Start{})
		if _, _, err := w.issuer.Claims(ctx, tokens.Subject{Site: v.Site, Realm: v.Realm, Client: client, User: user, Session: online, ClientSession: session, Transient: true}, tokens.Access); err != nil {
			b.Fatal(err)
		}
	}
}
