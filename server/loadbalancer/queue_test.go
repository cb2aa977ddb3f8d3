package loadbalancer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/internal/porttest"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// mortal is a server on one address that ends and comes back. The address is its
// own while it is away.
type mortal struct {
	t    *testing.T
	addr string
	life *life
	srv  *http.Server
	hits atomic.Int64
	shut atomic.Bool // it refuses requests
}

func newMortal(t *testing.T) *mortal {
	m := &mortal{t: t, addr: porttest.Address(t)}
	m.start()
	t.Cleanup(m.kill)
	return m
}

func (m *mortal) start() {
	m.t.Helper()
	l, err := net.Listen("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.life = &life{Listener: l}
	m.srv = &http.Server{Handler: m}
	go m.srv.Serve(m.life)
}

// kill ends it as the end of a process does: no connection of it is left.
func (m *mortal) kill() {
	m.life.end()
	m.srv.Close()
}

// life is the connections of a server, those that it is about to accept too: of
// http.Server.Close they may survive.
type life struct {
	net.Listener
	mu    sync.Mutex
	over  bool
	conns []net.Conn
}

func (l *life) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.Listener.Close()
	for _, conn := range l.conns {
		conn.Close()
	}
}

func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case m.shut.Load():
		w.Header().Set(loadbalancer.RefusedHeader, "1")
		w.WriteHeader(503)
	case r.URL.Path == "/alone": // its connection is nobody else's
		w.Header().Set("Connection", "close")
	case r.URL.Path == "/slow":
		_, _ = io.Copy(io.Discard, r.Body) // or the end of the connection is not noticed
		m.hits.Add(1)
		<-r.Context().Done()
	default:
		m.hits.Add(1)
		fmt.Fprint(w, "here")
	}
}

func (m *mortal) static() loadbalancer.Backend { return m.as("only") }

func (m *mortal) as(route string) loadbalancer.Backend {
	return loadbalancer.Backend{Route: route, URL: mustParse(m.t, "http://"+m.addr)}
}

// await polls a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.After(2 * time.Minute); !ok(); {
		select {
		case <-limit:
			t.Fatalf("it never came that %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// metric is the sum of a metric's values, of those with a label's value.
func metric(t *testing.T, reg *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// outcome counts what became of requests that waited.
func outcome(t *testing.T, reg *prometheus.Registry, name string) int {
	return int(metric(t, reg, "gatehouse_loadbalancer_queued_requests_total", name))
}

func queueing(reg *prometheus.Registry, wait time.Duration, most int) func(*loadbalancer.Config) {
	return func(c *loadbalancer.Config) { c.Metrics, c.MaxQueueTime, c.MaxQueued = reg, wait, most }
}

func waiting(t *testing.T, reg *prometheus.Registry, n int) func() bool {
	return func() bool { return int(metric(t, reg, "gatehouse_loadbalancer_waiting_requests", "")) == n }
}

func TestRequestsWaitForTheOnlyServerThatRestarts(t *testing.T) {
	for _, how := range []string{"refused connections", "a suspended server", "the domain's word"} {
		t.Run(how, func(t *testing.T) {
			reg, only := prometheus.NewRegistry(), newMortal(t)
			f := start(t, nil, queueing(reg, time.Minute, 0))
			say := func(state loadbalancer.State) { b := only.static(); b.State = state; f.Set([]loadbalancer.Backend{b}) }
			say(loadbalancer.Ready)
			// It leaves no connection behind: a POST on one whose server has just died is a 502.
			if code, _, _ := f.do("POST", "/alone", "before"); code != 200 {
				t.Fatalf("before: %d", code)
			}
			var back func()
			switch how {
			case "refused connections":
				only.kill()
				back = only.start
			case "a suspended server":
				only.shut.Store(true)
				back = func() { only.shut.Store(false) }
			default:
				only.kill()
				say(loadbalancer.Starting)
				back = func() { only.start(); say(loadbalancer.Ready) }
			}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					if code, body, _ := f.do([]string{"GET", "POST"}[i%2], "/", ""); code != 200 || body != "here" {
						t.Errorf("request %d: %d %s", i, code, body)
					}
				})
			}
			await(t, "all wait", waiting(t, reg, 20))
			back()
			wg.Wait()
			if sent := outcome(t, reg, "sent"); sent != 20 {
				t.Errorf("%d were sent late, want 20", sent)
			}
		})
	}
}

func TestNobodyWaitsInVain(t *testing.T) {
	reg, only := prometheus.NewRegistry(), newMortal(t)
	f := start(t, nil, queueing(reg, time.Minute, 0)) // nobody ever lived
	dead := only.static()
	dead.State = loadbalancer.Dead
	f.Set([]loadbalancer.Backend{dead})
	if code, _, h := f.do("GET", "/", ""); code != 503 || h.Get("Retry-After") == "" {
		t.Errorf("all are dead: %d %v", code, h)
	}
	f.Set(nil)
	if code, _, _ := f.do("GET", "/", ""); code != 503 {
		t.Errorf("nobody is there: %d", code)
	}
	if n := outcome(t, reg, "refused"); n != 2 {
		t.Errorf("%d did not wait, want both", n)
	}
	f.Set([]loadbalancer.Backend{only.static()})
	only.kill()
	f.Configure(loadbalancer.Settings{MaxQueueTime: -1, MaxIdle: 7}) // and new connections: what died on one that was there is a 502
	if code, _, h := f.do("GET", "/", ""); code != 503 || h.Get("Retry-After") == "" {
		t.Errorf("without a queue: %d %v", code, h)
	}
	f.Configure(loadbalancer.Settings{MaxQueueTime: 50 * time.Millisecond})
	if code, _, _ := f.do("POST", "/", "x"); code != 503 || outcome(t, reg, "expired") != 1 {
		t.Errorf("after max-queue-time: %d, %d expired", code, outcome(t, reg, "expired"))
	}
	f.Configure(loadbalancer.Settings{MaxQueueTime: time.Minute, Limit: 50 * time.Millisecond})
	if code, _, _ := f.do("GET", "/", ""); code != 504 {
		t.Errorf("after max-request-time: %d", code)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	reg, only := prometheus.NewRegistry(), newMortal(t)
	f := start(t, []loadbalancer.Backend{only.static()}, queueing(reg, time.Minute, 3))
	only.kill()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if code, _, _ := f.do("GET", "/", ""); code != 200 {
				t.Errorf("one of the first: %d", code)
			}
		})
	}
	await(t, "three wait", waiting(t, reg, 3))
	if code, _, _ := f.do("GET", "/", ""); code != 503 || outcome(t, reg, "refused") != 1 {
		t.Errorf("the fourth: %d", code)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		resp.Body.Close()
	}
	only.start()
	wg.Wait()
	await(t, "nobody waits", waiting(t, reg, 0))
}

func TestWhatChangesSomethingIsNotSentTwiceFromTheQueue(t *testing.T) {
	only := newMortal(t)
	f := start(t, []loadbalancer.Backend{only.static()}, queueing(prometheus.NewRegistry(), time.Minute, 0))
	var wg sync.WaitGroup
	wg.Go(func() {
		if code, _, _ := f.do("POST", "/slow", "pay"); code != 502 {
			t.Errorf("a POST whose server dies: %d", code)
		}
	})
	await(t, "the POST is there", func() bool { return only.hits.Load() == 1 })
	only.kill()
	wg.Wait()
	only.start()
	if code, _, _ := f.do("POST", "/", "more"); code != 200 || only.hits.Load() != 2 {
		t.Errorf("the next: %d, %d hits", code, only.hits.Load())
	}
}

// issue 4: a server that is killed fails no idempotent request, not even the
// only one.
func TestTheOnlyServerRestartsUnderLoadAndNoGETFails(t *testing.T) {
	only := newMortal(t)
	f := start(t, []loadbalancer.Backend{only.static()}, queueing(prometheus.NewRegistry(), 30*time.Second, 0))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var done atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if code, body, _ := f.do("GET", "/", ""); code != 200 {
					t.Errorf("%d %s", code, body)
				}
				done.Add(1)
			}
		})
	}
	for range 3 {
		before := done.Load()
		await(t, "requests are answered", func() bool { return done.Load() > before+50 })
		only.kill()
		await(t, "the balancer knows", func() bool { return !f.Backends()[0].Healthy })
		only.start()
	}
	before := done.Load()
	await(t, "requests are answered again", func() bool { return done.Load() > before+50 })
	close(stop)
	wg.Wait()
}
