package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse-idp/gatehouse/server/health"
)

func get(t *testing.T, h http.Handler, path string) (int, health.Status, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	var status health.Status
	body := w.Body.String()
	if strings.HasPrefix(path, "/health") {
		if err := json.Unmarshal([]byte(body), &status); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	return w.Code, status, body
}

func TestReadinessFollowsItsChecksAndLivenessDoesNot(t *testing.T) {
	var broken error
	s := health.New(health.Config{})
	s.Add(health.Live, "event loop", func(context.Context) (map[string]any, error) { return nil, nil })
	s.Add(health.Ready, "database", func(context.Context) (map[string]any, error) {
		return map[string]any{"driver": "sqlite"}, broken
	})
	h := s.Handler()
	steps := []struct {
		name                        string
		do                          func()
		live, ready, started, whole int
	}{
		{"starting", func() {}, 200, 503, 503, 503},
		{"started", s.Started, 200, 200, 200, 200},
		{"database gone", func() { broken = errors.New("connection refused") }, 200, 503, 200, 503},
		{"database back", func() { broken = nil }, 200, 200, 200, 200},
		{"draining", func() { s.Drain("suspended by the operator") }, 200, 503, 200, 503},
		{"resumed", func() { s.Drain("") }, 200, 200, 200, 200},
	}
	for _, step := range steps {
		step.do()
		for path, want := range map[string]int{"/health/live": step.live, "/health/ready": step.ready, "/health/started": step.started, "/health": step.whole} {
			code, status, body := get(t, h, path)
			if code != want || (status.Status == "UP") != (want == 200) {
				t.Errorf("%s: %s = %d, want %d: %s", step.name, path, code, want, body)
			}
		}
	}
}

func TestAFailedCheckSaysWhatIsWrong(t *testing.T) {
	s := health.New(health.Config{})
	s.Started()
	s.Add(health.Ready, "cluster", func(context.Context) (map[string]any, error) {
		return map[string]any{"members": 1}, errors.New("alone")
	})
	_, status, body := get(t, s.Handler(), "/health/ready")
	if len(status.Checks) != 1 || status.Checks[0].Name != "cluster" || status.Checks[0].Data["error"] != "alone" || status.Checks[0].Data["members"] != 1.0 {
		t.Errorf("answer %s", body)
	}
}

func TestACheckThatHangsIsDownAndNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.New(health.Config{})
		s.Started()
		hang := make(chan struct{})
		s.Add(health.Live, "deadlock", func(context.Context) (map[string]any, error) { <-hang; return nil, nil })
		code, status, body := get(t, s.Handler(), "/health/live")
		close(hang)
		if code != 503 || status.Checks[0].Name != "deadlock" {
			t.Errorf("answer %d %s", code, body)
		}
	})
}

func TestMetricsAndProfilesAreServedWhenAsked(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "gatehouse_test_total", Help: "Test."}))
	with := health.New(health.Config{Gatherer: reg, Pprof: true}).Handler()
	if code, _, body := get(t, with, "/metrics"); code != 200 || !strings.Contains(body, "gatehouse_test_total 0") {
		t.Errorf("/metrics = %d %s", code, body)
	}
	if code, _, _ := get(t, with, "/debug/pprof/"); code != 200 {
		t.Errorf("/debug/pprof/ = %d", code)
	}
	without := health.New(health.Config{}).Handler()
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if code, _, _ := get(t, without, path); code != 404 {
			t.Errorf("%s = %d, want 404", path, code)
		}
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := health.New(health.Config{Listener: l})
	s.Started()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("ready = %d", resp.StatusCode)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}
