package vitals

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

func view() View {
	skew := 750 * time.Millisecond
	return View{
		Host: "h1", Version: "1.2.3", Revision: 7, Skew: &skew,
		Link:  Link{Since: time.Unix(1000, 0), Text: "no controller since then"},
		Facts: &hostlink.Facts{Cores: 2, MemoryBytes: 1 << 30, DiskFreeBytes: 5 << 30},
		Servers: []*hostlink.ServerStatus{
			{Name: "one", Group: "g", State: "STARTED", Healthy: true, Pid: 12, Restarts: 3, StartedUnixMs: 2_000_000,
				Usage: &hostlink.ServerUsage{CpuSeconds: 1.5, ResidentBytes: 4096, OpenFiles: 9, Connections: 4, GroupMemoryBytes: 8192, GroupCpuSeconds: 2}},
			{Name: "two", Group: "g", State: "BACKOFF"},
		},
	}
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestMetricsShowTheHostAndEachServer(t *testing.T) {
	s := New(Config{View: view, Alive: func() error { return nil }})
	code, text := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, text)
	}
	for _, line := range []string{
		`gatehouse_host_info{host="h1",version="1.2.3"} 1`,
		`gatehouse_host_controller_connected{host="h1"} 0`,
		`gatehouse_host_controller_link_changed_timestamp_seconds{host="h1"} 1000`,
		`gatehouse_host_clock_skew_seconds{host="h1"} 0.75`,
		`gatehouse_host_revision{host="h1"} 7`,
		`gatehouse_host_cores{host="h1"} 2`,
		`gatehouse_host_servers{host="h1",state="STARTED"} 1`,
		`gatehouse_host_servers{host="h1",state="BACKOFF"} 1`,
		`gatehouse_host_servers{host="h1",state="FAILED"} 0`,
		`gatehouse_host_server_state{group="g",host="h1",server="two",state="BACKOFF"} 1`,
		`gatehouse_host_server_restarts{group="g",host="h1",server="one"} 3`,
		`gatehouse_host_server_cpu_seconds_total{group="g",host="h1",server="one"} 1.5`,
		`gatehouse_host_server_resident_bytes{group="g",host="h1",server="one"} 4096`,
		`gatehouse_host_server_open_files{group="g",host="h1",server="one"} 9`,
		`gatehouse_host_server_connections{group="g",host="h1",server="one"} 4`,
		`gatehouse_host_server_group_memory_bytes{group="g",host="h1",server="one"} 8192`,
		`gatehouse_host_server_started_timestamp_seconds{group="g",host="h1",server="one"} 2000`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, `server_resident_bytes{group="g",host="h1",server="two"}`) {
		t.Error("a server without a process has a resident size")
	}
}

func TestAHostWithoutAControllerIsHealthyAndSaysSinceWhen(t *testing.T) {
	s := New(Config{View: view, Alive: func() error { return nil }})
	code, text := get(t, s, "/health")
	var status Status
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusOK || status.Status != "UP" || len(status.Checks) != 3 ||
		status.Checks[1].Data["link"] != "no controller since then" || status.Checks[2].Data["two"] != "BACKOFF" {
		t.Errorf("%d %s", code, text)
	}
}

func TestAnAgentThatStandsStillIsDown(t *testing.T) {
	s := New(Config{View: view, Alive: func() error { return errors.New("stands still") }})
	for _, path := range []string{"/health", "/health/live", "/health/ready"} {
		if code, text := get(t, s, path); code != http.StatusServiceUnavailable || !strings.Contains(text, "stands still") {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(Config{Listener: l, View: view, Alive: func() error { return nil }}).Run(ctx) }()
	answer, err := http.Get("http://" + l.Addr().String() + "/health/live")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s %s", answer.Status, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
