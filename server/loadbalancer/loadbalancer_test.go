package loadbalancer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/keystores"
	"github.com/gatehouse-idp/gatehouse/internal/leaktest"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// backend is a server that says its name, what it got, and obeys the test.
type backend struct {
	*httptest.Server
	name    string
	hits    atomic.Int64
	refuse  atomic.Bool
	unready atomic.Bool
	abort   atomic.Bool
	seen    chan *http.Request
}

func newBackend(t *testing.T, name string) *backend {
	b := &backend{name: name, seen: make(chan *http.Request, 1000)}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health/ready" {
		if b.unready.Load() {
			w.WriteHeader(503)
		}
		return
	}
	b.hits.Add(1)
	body, _ := io.ReadAll(r.Body)
	select {
	case b.seen <- r:
	default:
	}
	switch {
	case b.abort.Load():
		panic(http.ErrAbortHandler)
	case b.refuse.Load():
		w.Header().Set(loadbalancer.RefusedHeader, "suspended")
		w.WriteHeader(503)
	case r.Header.Get("Upgrade") == "echo":
		b.echo(w)
	default:
		fmt.Fprintf(w, "%s %s %s", b.name, r.Method, body)
	}
}

func (b *backend) echo(w http.ResponseWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	rw.Flush()
	line, _ := rw.ReadString('\n')
	fmt.Fprint(rw, b.name+" "+line)
	rw.Flush()
}

func (b *backend) entry(t *testing.T, state loadbalancer.State) loadbalancer.Backend {
	t.Helper()
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	return loadbalancer.Backend{Route: b.name, URL: u, State: state, Health: u.JoinPath("/health/ready")}
}

// front is a running balancer and a client of it.
type front struct {
	*loadbalancer.Balancer
	t    *testing.T
	addr string
}

func start(t *testing.T, backends []loadbalancer.Backend, change ...func(*loadbalancer.Config)) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := loadbalancer.Config{Plain: l, Clock: clock.Real(), Log: zerolog.Nop()}
	for _, c := range change {
		c(&cfg)
	}
	lb := loadbalancer.New(cfg)
	lb.Set(backends)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- lb.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	return &front{lb, t, "http://" + l.Addr().String()}
}

func (f *front) do(method, path, body string, headers ...string) (int, string, http.Header) {
	f.t.Helper()
	r, err := http.NewRequest(method, f.addr+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func TestRequestsStickToTheNodeOfTheirCookie(t *testing.T) {
	one, two := newBackend(t, "master.server-one"), newBackend(t, "host2.server-two")
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)})
	id := "6f1c2f9e-0b8e-4f7e-9d3f-0a1b2c3d4e5f."
	for _, cookie := range []string{
		"AUTH_SESSION_ID=" + id + two.name,
		`AUTH_SESSION_ID="` + id + two.name + `"`,
		"other=x; AUTH_SESSION_ID=" + id + "gone.server; AUTH_SESSION_ID=" + id + two.name,
		"JSESSIONID=abc." + two.name,
		"KEYCLOAK_SESSION=my.realm/user/session." + two.name,
	} {
		for range 5 {
			if _, body, _ := f.do("GET", "/", "", "Cookie", cookie); !strings.HasPrefix(body, two.name) {
				t.Errorf("%s went to %s", cookie, body)
			}
		}
	}
	before := [2]int64{one.hits.Load(), two.hits.Load()}
	for range 20 { // each through with the balancer before the next: a client hears of the end a little earlier
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "AUTH_SESSION_ID="+id+"no.such.node; X=y."+two.name)
		f.ServeHTTP(httptest.NewRecorder(), r)
	}
	if one.hits.Load()-before[0] != 10 || two.hits.Load()-before[1] != 10 {
		t.Errorf("20 requests without a known node went %d and %d", one.hits.Load()-before[0], two.hits.Load()-before[1])
	}
}

func TestAKilledServerFailsNoIdempotentRequest(t *testing.T) {
	one, two := newMortal(t), newBackend(t, "two")
	f := start(t, []loadbalancer.Backend{one.as("one"), two.entry(t, loadbalancer.Ready)})
	var wg sync.WaitGroup
	var sent atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				if sent.Add(1) == 150 {
					one.kill()
				}
				code, body, _ := f.do("GET", "/", "", "Cookie", "AUTH_SESSION_ID=id.one")
				if code != 200 {
					t.Errorf("%d/%d: %d %s", w, i, code, body)
				}
			}
		})
	}
	wg.Wait()
	for i := range 20 { // nothing was sent to it yet: safe whatever the method
		if code, body, _ := f.do("POST", "/", "form=1"); code != 200 || body != "two POST form=1" {
			t.Errorf("POST %d: %d %s", i, code, body)
		}
	}
}

func TestAPostThatReachedAServerIsNotRepeated(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	one.abort.Store(true)
	two.abort.Store(true)
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)})
	if code, _, _ := f.do("POST", "/", "pay"); code != 502 {
		t.Errorf("answer %d, want 502", code)
	}
	if n := one.hits.Load() + two.hits.Load(); n != 1 {
		t.Errorf("the POST arrived %d times", n)
	}
	two.abort.Store(false)
	if code, body, _ := f.do("GET", "/", "", "Cookie", "AUTH_SESSION_ID=x.one"); code != 200 || body != "two GET " {
		t.Errorf("a GET on a server that hangs up: %d %s", code, body)
	}
}

func TestARequestThatASuspendedServerRefusedGoesElsewhere(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	one.refuse.Store(true)
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)})
	for range 10 {
		if code, body, _ := f.do("POST", "/login", "user=a", "Cookie", "AUTH_SESSION_ID=x.one"); code != 200 || body != "two POST user=a" {
			t.Errorf("%d %s", code, body)
		}
	}
	two.refuse.Store(true)
	code, _, h := f.do("POST", "/login", "user=a")
	if code != 503 || h.Get(loadbalancer.RefusedHeader) != "" {
		t.Errorf("all refuse: %d, header %q", code, h.Get(loadbalancer.RefusedHeader))
	}
}

func TestDrainingAndDeadServersGetNothingNew(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	f := start(t, nil)
	for _, state := range []loadbalancer.State{loadbalancer.Draining, loadbalancer.Dead} {
		f.Set([]loadbalancer.Backend{one.entry(t, state), two.entry(t, loadbalancer.Ready)})
		for range 10 {
			if _, body, _ := f.do("GET", "/", "", "Cookie", "AUTH_SESSION_ID=x.one"); !strings.HasPrefix(body, "two") {
				t.Errorf("%v: went to %s", state, body)
			}
		}
	}
	f.Set([]loadbalancer.Backend{one.entry(t, loadbalancer.Draining)})
	if code, _, _ := f.do("GET", "/", ""); code != 200 {
		t.Errorf("the last server drains: %d, want it used", code)
	}
	f.Set([]loadbalancer.Backend{one.entry(t, loadbalancer.Dead)})
	if code, _, _ := f.do("GET", "/", ""); code != 503 {
		t.Errorf("only a dead one: %d, want 503", code)
	}
}

func TestAServerThatIsNotReadyLeavesThePoolAndComesBack(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)})
	wait := func(want bool) {
		t.Helper()
		for limit := time.After(2 * time.Minute); f.Backends()[0].Healthy != want; {
			select {
			case <-limit:
				t.Fatalf("healthy is not %v: %+v", want, f.Backends())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	one.unready.Store(true)
	wait(false)
	for range 10 {
		if _, body, _ := f.do("GET", "/", "", "Cookie", "AUTH_SESSION_ID=x.one"); !strings.HasPrefix(body, "two") {
			t.Errorf("went to %s", body)
		}
	}
	one.unready.Store(false)
	wait(true)
	if s := f.Backends()[0].Share; s > 0.5 {
		t.Errorf("no slow start: share %v", s)
	}
}

func TestForwardedHeadersAreSetAndSpoofedOnesRemoved(t *testing.T) {
	one := newBackend(t, "one")
	spoof := []string{
		"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example", "X-Forwarded-Port", "1",
		"Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6", "Connection", "X-Hop", "X-Hop", "1", "Host", "idp.example:8443",
	}
	tests := []struct {
		name    string
		trusted []netip.Prefix
		want    map[string]string
	}{
		{"from anybody", nil, map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "idp.example:8443", "X-Forwarded-Port": "8443",
			"Forwarded": `for=127.0.0.1;host="idp.example:8443";proto=http`, "X-Real-Ip": "", "X-Hop": "",
		}},
		{"from a trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, map[string]string{
			"X-Forwarded-For": "6.6.6.6, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "1",
			"Forwarded": `for=6.6.6.6, for=127.0.0.1;host="evil.example";proto=https`, "X-Real-Ip": "", "X-Hop": "",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready)}, func(c *loadbalancer.Config) { c.TrustedProxies = tt.trusted })
			f.do("GET", "/a%2Fb?x=%zz;y", "", spoof...)
			r := <-one.seen
			for h, want := range tt.want {
				if got := r.Header.Get(h); got != want {
					t.Errorf("%s: %q, want %q", h, got, want)
				}
			}
			if r.Host != "idp.example:8443" || r.RequestURI != "/a%2Fb?x=%zz;y" {
				t.Errorf("host %q, URI %q", r.Host, r.RequestURI)
			}
		})
	}
}

func TestAnUpgradedConnectionPasses(t *testing.T) {
	one := newBackend(t, "one")
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready)})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.addr, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	fmt.Fprint(conn, "hello\n")
	if line, err := r.ReadString('\n'); err != nil || line != "one hello\n" {
		t.Errorf("echo: %q %v", line, err)
	}
}

func TestWithoutAServerAPersonReadsWhy(t *testing.T) {
	var access lines
	accessLog := zerolog.New(&access)
	reg := prometheus.NewRegistry()
	f := start(t, nil, func(c *loadbalancer.Config) { c.AccessLog, c.Metrics = &accessLog, reg })
	code, body, h := f.do("GET", "/auth?code=secret", "", "Accept", "text/html,*/*")
	if code != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, "no server is ready") {
		t.Errorf("page: %d %v %s", code, h, body)
	}
	code, body, h = f.do("POST", "/token", "grant_type=x", "Accept", "application/json")
	if code != 503 || h.Get("Content-Type") != "application/json" || !json.Valid([]byte(body)) {
		t.Errorf("answer to a program: %d %v %s", code, h, body)
	}
	if metrics, err := reg.Gather(); err != nil || len(metrics) == 0 {
		t.Errorf("metrics: %v %v", metrics, err)
	}
	w := httptest.NewRecorder()
	f.StatusPage().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Body.String() != "{\"backends\":[]}\n" {
		t.Errorf("status page: %s", w.Body)
	}
	await(t, "both requests are in the access log", func() bool { return strings.Count(access.String(), "\n") == 2 })
	if strings.Contains(access.String(), "secret") {
		t.Errorf("the access log holds a code: %s", access.String())
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestLargeBodiesStreamThrough(t *testing.T) {
	one, two := newBackend(t, "one"), newBackend(t, "two")
	f := start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)})
	one.Close() // the first attempt cannot connect: the body is still whole
	for range 4 {
		body := strings.Repeat("x", 1<<20)
		if code, got, _ := f.do("POST", "/", body); code != 200 || got != "two POST "+body {
			t.Fatalf("%d, %d bytes", code, len(got))
		}
	}
}

func TestTLSServesHTTP2AndReloadsItsCertificate(t *testing.T) {
	one := newBackend(t, "one")
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	serial := func(name string) {
		now := time.Now()
		a, err := certs.NewAuthority(name, now)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := a.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for file, data := range map[string][]byte{certFile: cert, keyFile: key} {
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, now, now.Add(time.Duration(len(name))*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	serial("old")
	c := &steps{Clock: clock.Real()}
	pair, err := keystores.LoadPEM(certFile, keyFile, c, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	start(t, []loadbalancer.Backend{one.entry(t, loadbalancer.Ready)}, func(c *loadbalancer.Config) { c.TLS, c.Keys = l, pair })
	get := func() (proto, name string) {
		var seen *x509.Certificate
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
			seen = cs.PeerCertificates[0]
			return nil
		}}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Proto, seen.Subject.CommonName
	}
	if proto, name := get(); proto != "HTTP/2.0" || name != "old" {
		t.Errorf("%s with %s", proto, name)
	}
	serial("newer")
	c.ahead.Store(int64(time.Minute))
	if _, name := get(); name != "newer" {
		t.Errorf("still serves %s", name)
	}
	if r := <-one.seen; r.Header.Get("X-Forwarded-Proto") != "https" || r.Header.Get("X-Forwarded-Port") == "" {
		t.Errorf("forwarded %v", r.Header)
	}
}

// steps is a clock that a test can put ahead.
type steps struct {
	clock.Clock
	ahead atomic.Int64
}

func (s *steps) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.ahead.Load())) }

func TestSettingsChangeWhileTheBalancerRuns(t *testing.T) {
	one := newBackend(t, "one")
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(slow.Close)
	u, err := url.Parse(slow.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, nil)
	if status, _, _ := f.do("GET", "/", ""); status != 503 {
		t.Fatalf("without servers: %d", status)
	}
	f.Configure(loadbalancer.Settings{Static: []loadbalancer.Backend{one.entry(t, loadbalancer.Ready)}})
	if status, body, _ := f.do("GET", "/", ""); status != 200 || !strings.HasPrefix(body, "one") {
		t.Errorf("with a static server: %d %s", status, body)
	}
	f.Configure(loadbalancer.Settings{Static: []loadbalancer.Backend{{Route: "slow", URL: u}}, Limit: 50 * time.Millisecond, Attempts: 1})
	if status, body, _ := f.do("GET", "/", ""); status != 504 {
		t.Errorf("a request over max-request-time: %d %s", status, body)
	}
}
