package loadbalancer_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/clock/clocktest"
	"github.com/gatehouse-idp/gatehouse/server/loadbalancer"
)

// saw is what was seen of one backend.
func (f *front) saw(route string) loadbalancer.Seen {
	for _, s := range f.Seen() {
		if s.Route == route {
			return s
		}
	}
	return loadbalancer.Seen{}
}

func TestABalancerTellsWhatItSawOfEachServer(t *testing.T) {
	good := newBackend(t, "good")
	for _, tt := range []struct {
		name   string
		answer func(*backend) // what is wrong with it
		want   loadbalancer.Seen
	}{
		{"it answers", func(*backend) {}, loadbalancer.Seen{Route: "it", Requests: 1}},
		{"it breaks off", func(b *backend) { b.abort.Store(true) }, loadbalancer.Seen{Route: "it", Requests: 1, Failed: 1}},
		{"nobody listens", func(b *backend) { b.Close() }, loadbalancer.Seen{Route: "it", Requests: 1, Failed: 1}},
		{"it refuses on purpose", func(b *backend) { b.refuse.Store(true) }, loadbalancer.Seen{Route: "it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			it := newBackend(t, "it")
			entry := it.entry(t, loadbalancer.Ready)
			entry.Health = nil
			tt.answer(it)
			f := start(t, []loadbalancer.Backend{entry, good.entry(t, loadbalancer.Ready)})
			f.do("GET", "/", "", "Cookie", "AUTH_SESSION_ID=x.it")
			if got := f.saw("it"); got != tt.want {
				t.Errorf("saw %+v, want %+v", got, tt.want)
			}
			f.Set(nil) // what was seen outlives the server's place in the pool
			if got := f.saw("it"); got != tt.want {
				t.Errorf("after it left: %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAnAnswerOf5xxIsAFailure(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(broken.Close)
	u, _ := url.Parse(broken.URL)
	f := start(t, []loadbalancer.Backend{{Route: "it", URL: u}})
	for range 3 {
		f.do("POST", "/", "x")
	}
	if got, want := f.saw("it"), (loadbalancer.Seen{Route: "it", Requests: 3, Failed: 3}); got != want {
		t.Errorf("saw %+v, want %+v", got, want)
	}
}

func TestAServerThatAnswersNothingHasOverdueRequests(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	b := loadbalancer.New(loadbalancer.Config{Clock: clock.Real(), Log: zerolog.Nop()})
	b.Set([]loadbalancer.Backend{{Route: "it", URL: &url.URL{Scheme: "http", Host: silent.Addr().String()}}})
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	}()
	late := time.After(2 * time.Minute)
	for len(b.Seen()) == 0 || b.Seen()[0].Overdue != 1 {
		select {
		case <-late:
			t.Fatalf("saw %+v", b.Seen())
		case <-time.After(50 * time.Millisecond):
		}
	}
	leave()
	<-done
	if got, want := b.Seen()[0], (loadbalancer.Seen{Route: "it"}); got != want {
		t.Errorf("the client has gone: %+v, want %+v", got, want)
	}
}

func TestAServerThatIsSparedGetsItsShareOfLightLoadToo(t *testing.T) {
	fake := clocktest.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	one, two := newBackend(t, "one"), newBackend(t, "two")
	b := loadbalancer.New(loadbalancer.Config{Clock: fake, Log: zerolog.Nop()})
	b.Set([]loadbalancer.Backend{one.entry(t, loadbalancer.Ready)})
	b.Set([]loadbalancer.Backend{one.entry(t, loadbalancer.Ready), two.entry(t, loadbalancer.Ready)}) // it comes later
	for _, step := range []struct {
		after       time.Duration
		least, most int64 // of 200 requests, one at a time
	}{{0, 5, 20}, {5 * time.Second, 40, 60}, {5 * time.Second, 90, 110}} {
		fake.Advance(step.after)
		before := two.hits.Load()
		for range 200 {
			b.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		}
		if got := two.hits.Load() - before; got < step.least || got > step.most {
			t.Errorf("%s later it got %d of 200 requests, want %d to %d", step.after, got, step.least, step.most)
		}
	}
}
