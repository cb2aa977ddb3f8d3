package loadbalancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// mute is a server that reads requests and never answers, as a process does
// that hangs.
type mute struct {
	loadbalancer.Backend
	read atomic.Int64 // connections on which a request came, not for its health
}

func newMute(t *testing.T, route string) *mute {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := mustParse(t, "http://"+l.Addr().String())
	m := &mute{Backend: loadbalancer.Backend{Route: route, URL: at, Health: at.JoinPath("/health/ready")}}
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { l.Close() })
	open.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { m.listen(conn) })
		}
	})
	return m
}

// listen reads one request and waits for the client to go.
func (m *mute) listen(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if r, err := http.ReadRequest(in); err == nil && r.URL.Path == "/" {
		m.read.Add(1)
	}
	_, _ = io.Copy(io.Discard, in)
}

// answer is what a client got.
type answer struct {
	status int
	body   string
}

// send sends a request that sticks to a server, and does not wait.
func (f *front) send(method, route string) <-chan answer {
	f.t.Helper()
	got := make(chan answer, 1)
	r, err := http.NewRequest(method, f.addr+"/", strings.NewReader(""))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Cookie", "AUTH_SESSION_ID=x."+route)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			got <- answer{body: err.Error()}
			return
		}
		resp.Body.Close()
		got <- answer{status: resp.StatusCode}
	}()
	return got
}

func TestWhatASilentServerOwesIsAskedOfAnother(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named %v", named), func(t *testing.T) {
			reg := prometheus.NewRegistry()
			silent, other := newMute(t, "silent"), newBackend(t, "other")
			f := start(t, []loadbalancer.Backend{silent.Backend, other.entry(t, loadbalancer.Ready)}, func(c *loadbalancer.Config) {
				c.Metrics, c.ProbeEvery = reg, 20*time.Millisecond
			})
			get, post := f.send("GET", "silent"), f.send("POST", "silent")
			await(t, "both are under way", func() bool { return silent.read.Load() == 2 })
			if !named { // its host has lost the controller
				f.Set([]loadbalancer.Backend{other.entry(t, loadbalancer.Ready)})
			}
			if got := <-get; got.status != 200 {
				t.Errorf("GET: %+v", got)
			}
			if n := metric(t, reg, "gatehouse_loadbalancer_retries_total", ""); n != 1 {
				t.Errorf("%v retries were counted, want 1", n)
			}
			select {
			case got := <-post:
				t.Fatalf("POST: %+v, and the server may be carrying it out", got)
			default:
			}
			silent.State = loadbalancer.Dead
			f.Set([]loadbalancer.Backend{silent.Backend, other.entry(t, loadbalancer.Ready)})
			if got := <-post; got.status != http.StatusBadGateway {
				t.Errorf("POST: %+v, want 502 as soon as the server is known to be dead", got)
			}
			if n := other.hits.Load(); n != 1 {
				t.Errorf("the other server had %d requests, want the GET", n)
			}
		})
	}
}

func TestWhatADeadServerOwesEndsAtOnce(t *testing.T) {
	dead, other := newMute(t, "dead"), newBackend(t, "other")
	dead.Health = nil
	f := start(t, []loadbalancer.Backend{dead.Backend, other.entry(t, loadbalancer.Ready)})
	get, post := f.send("GET", "dead"), f.send("POST", "dead")
	await(t, "both are under way", func() bool { return dead.read.Load() == 2 })
	dead.State = loadbalancer.Dead
	f.Set([]loadbalancer.Backend{dead.Backend, other.entry(t, loadbalancer.Ready)})
	if got := <-get; got.status != 200 {
		t.Errorf("GET: %+v", got)
	}
	if got := <-post; got.status != http.StatusBadGateway {
		t.Errorf("POST: %+v, want 502", got)
	}
	if n := other.hits.Load(); n != 1 {
		t.Errorf("the other server had %d requests, want the GET", n)
	}
}
