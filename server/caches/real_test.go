package caches_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/certs"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/caches/cachetest"
	"github.com/gatehouse-idp/gatehouse/server/cluster"
)

// calm takes nobody for lost within 20 s, however busy the machine is.
var calm = cluster.Timing{Probe: 160 * time.Millisecond, Timeout: 100 * time.Millisecond, Suspicion: 125, Rejoin: 200 * time.Millisecond}

// realServer is a member over real connections with mutual TLS.
type realServer struct {
	node  *cluster.Node
	cache *caches.Distributed
	work  *caches.Work
	stop  func()
}

// realSite starts servers on loopback, one after the other.
func realSite(t testing.TB, names ...string) []*realServer {
	t.Helper()
	authority, err := certs.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	directory := cluster.NewDirectory(false)
	var addrs []string
	var servers []*realServer
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		directory.Set(addrs)
		servers = append(servers, realStart(t, authority, directory, l, name))
	}
	limit := time.After(time.Minute)
	for _, s := range servers {
		for {
			view, _ := s.node.View()
			if len(view.Members) == len(names) && s.cache.Complete() {
				break
			}
			select {
			case <-limit:
				t.Fatalf("the servers did not find one another: %+v", view)
			case <-time.After(10 * time.Millisecond):
			}
		}
		<-s.work.Ready()
	}
	return servers
}

func realStart(t testing.TB, a *certs.Authority, dir cluster.Discovery, l net.Listener, name string) *realServer {
	t.Helper()
	key, err := certs.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	req, err := key.Request()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Sign(req, certs.URI("server", "h", name), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := certs.NewIdentity(key, cert, certs.EncodeCertificate(a.Certificate.Raw), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	node, err := cluster.New(cluster.Config{Host: "h", Server: name, Listener: l, Identity: id, Discovery: dir, Timing: calm, Clock: clock.Real(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	s := &realServer{
		node:  node,
		cache: caches.NewDistributed(caches.DistributedConfig{Name: "sessions", Mesh: node, Clock: clock.Real(), Log: zerolog.Nop()}),
		work:  caches.NewWork(caches.WorkConfig{Mesh: node, Clock: clock.Real(), Log: zerolog.Nop()}),
	}
	ctx, cancel := context.WithCancel(context.Background())
	upper, cancelUpper := context.WithCancel(context.Background())
	var low, high sync.WaitGroup
	run := func(wg *sync.WaitGroup, ctx context.Context, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	run(&low, ctx, node.Run)
	<-node.Joined()
	run(&high, upper, s.cache.Run)
	run(&high, upper, s.work.Run)
	s.stop = sync.OnceFunc(func() { cancelUpper(); high.Wait(); cancel(); low.Wait() })
	t.Cleanup(s.stop)
	return s
}

func TestContractOverRealConnections(t *testing.T) {
	servers := realSite(t, "one", "two", "three")
	var stores []cachetest.Store
	for _, s := range servers {
		stores = append(stores, s.cache)
	}
	cachetest.Run(t, stores, false)
}

func TestARollingRestartLosesNothingAndFailsNothing(t *testing.T) {
	servers := realSite(t, "one", "two", "three")
	patient, end := context.WithTimeout(t.Context(), time.Hour) // what takes long on a busy machine is no failure
	defer end()
	ctx, cancel := context.WithCancel(patient)
	var wg sync.WaitGroup
	var acked [300]atomic.Int64
	for w := range 3 {
		wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				k := w + 3*int(n%100)
				if _, err := servers[2].cache.Put(patient, fmt.Sprint(k), fmt.Append(nil, n), 0); err != nil {
					t.Errorf("Put during the restart: %v", err)
					return
				}
				acked[k].Store(n)
			}
		})
	}
	for _, s := range servers[:2] {
		if err := s.cache.Leave(patient); err != nil {
			t.Error(err)
		}
		s.stop()
	}
	cancel()
	wg.Wait()
	for k := range acked {
		item, _, err := servers[2].cache.Get(patient, fmt.Sprint(k))
		if want := acked[k].Load(); err != nil || want > 0 && string(item.Value) != fmt.Sprint(want) {
			t.Errorf("key %d has %q %v, acknowledged %d", k, item.Value, err, want)
		}
	}
}

// BenchmarkDistributed is operations per second of 400 bytes on three members
// with two owners over mutual TLS, all on this machine.
func BenchmarkDistributed(b *testing.B) {
	servers := realSite(b, "one", "two", "three")
	value := make([]byte, 400)
	ctx := context.Background()
	var n atomic.Int64
	for _, bench := range []struct {
		name string
		do   func(c *caches.Distributed, key string) error
	}{
		{"put", func(c *caches.Distributed, key string) error { _, err := c.Put(ctx, key, value, time.Hour); return err }},
		{"get", func(c *caches.Distributed, key string) error { _, _, err := c.Get(ctx, key); return err }},
		{"get and replace", func(c *caches.Distributed, key string) error {
			item, _, err := c.Get(ctx, key)
			if err == nil {
				_, _, err = c.Replace(ctx, key, value, time.Hour, item.Version)
			}
			return err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					i := n.Add(1)
					if err := bench.do(servers[i%3].cache, fmt.Sprint("session-", i%20000)); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// BenchmarkPublish is one invalidation acknowledged by two other servers.
func BenchmarkPublish(b *testing.B) {
	servers := realSite(b, "one", "two", "three")
	for b.Loop() {
		if err := servers[0].work.Publish(context.Background(), "bench", []byte("realm")); err != nil {
			b.Fatal(err)
		}
	}
}
