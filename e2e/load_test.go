package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// full asks for the whole counts of the promises; otherwise the tests repeat
// less, so that all of them fit into a few minutes.
var full = os.Getenv("GATEHOUSE_E2E_FULL") == "1"

// times is the number of repetitions.
func times(whole, short int) int {
	if full {
		return whole
	}
	return short
}

// person is somebody with a session of the demo's realm: an application's
// tokens, used through one address.
type person struct {
	oidc    string // http://.../protocol/openid-connect
	client  *http.Client
	mu      sync.Mutex
	access  string
	refresh string
	session string
}

const tokensOf = "demo-cli" // the demo's client of people at a command line

// signIn opens n sessions of alice.
func signIn(t *testing.T, public string, n int) []*person {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 256}}
	t.Cleanup(client.CloseIdleConnections)
	people := make([]*person, n)
	for i := range people {
		p := &person{oidc: public + "/auth/realms/demo/protocol/openid-connect", client: client}
		status, err := p.token(t.Context(), url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice-in-demo"}, "scope": {"openid"}})
		if err != nil || status != http.StatusOK {
			t.Fatalf("login %d: status %d: %v", i, status, err)
		}
		people[i] = p
	}
	return people
}

// token asks the token endpoint and keeps what it gives.
func (p *person) token(ctx context.Context, form url.Values) (status int, err error) {
	form.Set("client_id", tokensOf)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.oidc+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	status, body, err := send(p.client, req)
	if err != nil || status != http.StatusOK {
		return status, fmt.Errorf("%w %.200s", orNone(err), body)
	}
	var tokens struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		Session string `json:"session_state"`
	}
	if err := json.Unmarshal(body, &tokens); err != nil {
		return status, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.access, p.refresh = tokens.Access, tokens.Refresh
	if p.session != "" && p.session != tokens.Session {
		return status, fmt.Errorf("session %s became %s", p.session, tokens.Session)
	}
	p.session = tokens.Session
	return status, nil
}

// goOn refreshes the tokens.
func (p *person) goOn(ctx context.Context) (status int, err error) {
	p.mu.Lock()
	refresh := p.refresh
	p.mu.Unlock()
	return p.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// look is one idempotent request, of several kinds in turn: who am I, the
// keys, the discovery document, a login page.
func (p *person) look(ctx context.Context, turn int) (status int, err error) {
	address := p.oidc + "/userinfo"
	switch turn % 4 {
	case 1:
		address = p.oidc + "/certs"
	case 2:
		address = strings.TrimSuffix(p.oidc, "/protocol/openid-connect") + "/.well-known/openid-configuration"
	case 3:
		address = strings.TrimSuffix(p.oidc, "/protocol/openid-connect") + loginPage + "&state=" + rand.Text()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	req.Header.Set("Authorization", "Bearer "+p.access)
	p.mu.Unlock()
	status, body, err := send(p.client, req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%.200s", body)
	}
	return status, err
}

func send(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("answer:")
	}
	return err
}

// load is people using the domain at a steady rate: GETs of all kinds, and one
// refresh in ten. A slow answer holds up no other request, up to atOnce: a
// machine that cannot bear the rate has it lowered, and is not buried.
type load struct {
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	gets     int
	posts    int
	slowest  time.Duration // of the GETs
	failures map[string]int
	repeated map[string]int // POSTs under way on a server that died, asked again
}

// atOnce is how many requests are under way at most: at 200 a second it is reached
// when answers take a third of a second.
const atOnce = 64

// startLoad begins to send rate requests a second.
func startLoad(t *testing.T, people []*person, rate int) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{t: t, cancel: cancel, done: make(chan struct{}), failures: map[string]int{}, repeated: map[string]int{}}
	go l.run(ctx, people, time.Second/time.Duration(rate))
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) run(ctx context.Context, people []*person, every time.Duration) {
	defer close(l.done)
	var flying sync.WaitGroup
	defer flying.Wait()
	places := make(chan struct{}, atOnce)
	fly := func(send func()) {
		places <- struct{}{} // requests end, whatever the context
		flying.Go(func() { defer func() { <-places }(); send() })
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := people[turn/10%len(people)]
		// Requests that are under way when the load ends are seen through.
		if turn%10 == 9 {
			fly(func() { l.post(context.WithoutCancel(ctx), p) })
		} else {
			fly(func() { l.get(context.WithoutCancel(ctx), p, turn) })
		}
	}
}

func (l *load) get(ctx context.Context, p *person, turn int) {
	begin := time.Now()
	status, err := p.look(ctx, turn)
	took := time.Since(begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gets++
	l.slowest = max(l.slowest, took)
	if status != http.StatusOK {
		l.failures[fmt.Sprintf("GET kind %d: %d %v", turn%4, status, err)]++
	}
}

// post refreshes; the balancer must not repeat what may have been carried out,
// so a POST that was under way when its server was killed ends with 502, and
// the application asks again. Nothing else may happen to a session.
func (l *load) post(ctx context.Context, p *person) {
	status, err := p.goOn(ctx)
	again := status == http.StatusBadGateway
	if again {
		status, err = p.goOn(ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts++
	if again {
		l.repeated["502"]++
	}
	if err != nil {
		l.failures[fmt.Sprintf("refresh: %d %v", status, err)]++
	}
}

// count is how many requests were answered so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gets + l.posts
}

// stop ends the load; its figures are final then.
func (l *load) stop() {
	l.cancel()
	<-l.done
}

// held fails the test for every request that failed, and prints the figures.
func (l *load) held() {
	l.t.Helper()
	l.stop()
	l.t.Logf("%d GETs (slowest %s) and %d refreshes, of which %v were under way on a killed server and asked again",
		l.gets, l.slowest.Round(time.Millisecond), l.posts, l.repeated["502"])
	for _, what := range slices.Sorted(maps.Keys(l.failures)) {
		l.t.Errorf("%d x %s", l.failures[what], what)
	}
}

// goOn sees that every session still is there.
func goOn(t *testing.T, people []*person) {
	t.Helper()
	for i, p := range people {
		if _, err := p.goOn(t.Context()); err != nil {
			t.Errorf("session %d of %d is over: %v", i+1, len(people), err)
		}
	}
}

// median of durations; they are sorted.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
