package boot

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// nest is a nesting of maps, written by paths such as
// "http|server|default-server".
func nest(values map[string]any) map[string]any {
	out := map[string]any{}
	for path, v := range values {
		at := out
		steps := strings.Split(path, "|")
		for _, step := range steps[:len(steps)-1] {
			next, ok := at[step].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[step] = next
			}
			at = next
		}
		at[steps[len(steps)-1]] = v
	}
	return out
}

func subsystems(values map[string]any) servergroups.ServerConfig {
	return servergroups.ServerConfig{Name: "one", Host: "master", Subsystems: nest(values)}
}

const (
	plainAt  = "http|server|default-server|http-listener|default|"
	tlsAt    = "http|server|default-server|https-listener|https|"
	filterAt = "http|configuration|filter|"
	hostAt   = "http|server|default-server|host|default-host|"
)

// serveOn runs a listener with a handler and returns its address.
func serveOn(t *testing.T, w webListener, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.task(l, h, time.Second, zerolog.Nop()).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the listener ended with %v", err)
		}
	})
	return l.Addr().String()
}

func oneListener(t *testing.T, cfg servergroups.ServerConfig, dir string) webListener {
	t.Helper()
	web, err := readWeb(cfg, dir, clock.Real(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return web[len(web)-1]
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	io.WriteString(w, strings.Repeat("hello ", 1000))
})

func TestAListenerBoundsWhatOneClientMayTake(t *testing.T) {
	w := oneListener(t, subsystems(map[string]any{
		plainAt + "max-post-size": int64(10), plainAt + "max-header-size": int64(1000), plainAt + "enable-http2": false,
	}), "")
	address := "http://" + serveOn(t, w, hello)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := func(method string, body io.Reader, header string) int {
		r, _ := http.NewRequest(method, address, body)
		r.Header.Set("X-Long", header)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("POST", strings.NewReader("short"), ""); got != 200 {
		t.Errorf("a short body: %d", got)
	}
	if got := status("POST", strings.NewReader("longer than ten"), ""); got != 413 {
		t.Errorf("a body over max-post-size: %d", got)
	}
	if got := status("POST", io.MultiReader(strings.NewReader("longer than ten")), ""); got != 413 {
		t.Errorf("a body over max-post-size without a length: %d", got)
	}
	if got := status("GET", nil, strings.Repeat("x", 8000)); got != 431 {
		t.Errorf("a header over max-header-size: %d", got)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	if resp, err := (&http.Client{Transport: &http.Transport{Protocols: protocols}}).Get(address); err == nil {
		resp.Body.Close()
		t.Error("HTTP/2 is spoken though enable-http2 is false")
	}
}

func TestMaxConnectionsIsTheMostAtOneMoment(t *testing.T) {
	w := oneListener(t, subsystems(map[string]any{plainAt + "max-connections": int64(1)}), "")
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	address := serveOn(t, w, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave }))
	done := make(chan error, 2)
	for range 2 {
		go func() {
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address)
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
	}
	<-entered
	select {
	case <-entered:
		t.Error("two connections are served")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestFiltersOfTheHostAreAppliedByPriority(t *testing.T) {
	chain, err := newFilterReader(subsystems(map[string]any{
		filterAt + "response-header|first|header-name": "X-One", filterAt + "response-header|first|header-value": "1",
		filterAt + "response-header|second|header-name": "X-One", filterAt + "response-header|second|header-value": "2",
		filterAt + "gzip|small": map[string]any{}, filterAt + "custom-filter|proxy-peer|class-name": "io.undertow.server.handlers.ProxyPeerAddressHandler",
		hostAt + "filter-ref|first|priority": int64(1), hostAt + "filter-ref|second|priority": int64(2),
		hostAt + "filter-ref|small|priority": int64(3), hostAt + "filter-ref|proxy-peer": map[string]any{},
	})).of("default-host")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	chain.apply(hello).ServeHTTP(w, r)
	if got := w.Header().Get("X-One"); got != "2" {
		t.Errorf("X-One = %q, want what the later filter set", got)
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatalf("the answer is not compressed: %v", err)
	}
	if text, _ := io.ReadAll(z); !strings.HasPrefix(string(text), "hello hello") {
		t.Errorf("the answer is %.20q", text)
	}
}

func TestAFilterThatIsNotThereIsRefused(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"no such filter": {hostAt + "filter-ref|gone": map[string]any{}},
		"no such class":  {hostAt + "filter-ref|x": map[string]any{}, filterAt + "custom-filter|x|class-name": "org.example.Mine"},
		"no header":      {hostAt + "filter-ref|x": map[string]any{}, filterAt + "response-header|x|header-name": "a b"},
	} {
		if _, err := newFilterReader(subsystems(values)).of("default-host"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRequestLimitRefusesWhatNeitherRunsNorWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	limit := newRequestLimit(1, 1)
	limited := limit.before(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave }))
	answers := make(chan int, 3)
	ask := func() {
		w := httptest.NewRecorder()
		limited.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		answers <- w.Code
	}
	go ask()
	<-entered
	go ask()
	for len(limit.all) < 2 { // until the second waits
		runtime.Gosched()
	}
	ask()
	if got := <-answers; got != http.StatusServiceUnavailable {
		t.Errorf("the third request: %d", got)
	}
	close(leave)
	<-entered
	for range 2 {
		if got := <-answers; got != http.StatusOK {
			t.Errorf("a request within the limit: %d", got)
		}
	}
}

func TestAccessLogHasNoQueries(t *testing.T) {
	for pattern, want := range map[string]string{
		"common":   `203.0.113.9 - - [23/Nov/2026:03:00:00 +0000] \"GET /auth/realms/a HTTP/1.1\" 200 6000`,
		"combined": ` 200 6000 \"https://app.example/page\" \"probe/1\"`,
	} {
		var out bytes.Buffer
		c := fixed{clock.Real(), time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)}
		h := logAccess(zerolog.New(&out), pattern, c, func(*http.Request) string { return "203.0.113.9" }, hello)
		r := httptest.NewRequest("GET", "/auth/realms/a?code=secret", nil)
		r.Header.Set("Referer", "https://app.example/page?token=secret")
		r.Header.Set("User-Agent", "probe/1")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "secret") {
			t.Errorf("%s: %s", pattern, got)
		}
	}
}

// fixed is a clock that stands still.
type fixed struct {
	clock.Clock
	at time.Time
}

func (f fixed) Now() time.Time { return f.at }
