package configrelay_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-idp/gatehouse/hostagent/configrelay"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
)

// world is what a relay rests on, recorded.
type world struct {
	mu    sync.Mutex
	kept  map[string][2]string
	heard chan string
	sign  error
}

func (w *world) note(text string) { w.heard <- text }

func (w *world) Attached(server, version string) { w.note("attached " + server + " " + version) }
func (w *world) Reported(server string, s *relaypb.Status) {
	w.note("reported " + server + " " + s.GetState())
}
func (w *world) Applied(server string, a *relaypb.Applied) {
	w.note("applied " + server + " " + a.GetRequired())
}
func (w *world) Used(server string, _ *relaypb.Usage) { w.note("used " + server) }
func (w *world) Trusted(server string, t *relaypb.Trusted) {
	w.note("trusted " + server + " " + t.GetIssuer())
}
func (w *world) Refused(server, why string) { w.note("refused " + server) }
func (w *world) Detached(server string)     { w.note("detached " + server) }
func (w *world) SaveKeys(server, token, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept[server] = [2]string{token, key}
	return nil
}

func (w *world) Sign(context.Context, string, []byte) ([]byte, []byte, error) {
	return []byte("certificate"), []byte("authority"), w.sign
}

func (w *world) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.heard:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("did not hear %q", want)
	}
}

func serve(t *testing.T) (*configrelay.Relay, *world, relaypb.ConfigRelayClient) {
	t.Helper()
	w := &world{kept: map[string][2]string{}, heard: make(chan string, 100)}
	socket := filepath.Join(t.TempDir(), "agent.sock")
	r := configrelay.New(configrelay.Config{Socket: socket, Observer: w, Keys: w, Signer: w, Clock: clock.Real(), Log: zerolog.Nop()})
	run(t, r)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, w, relaypb.NewConfigRelayClient(conn)
}

func run(t *testing.T, r *configrelay.Relay) {
	t.Helper()
	l, err := r.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func attach(t *testing.T, c relaypb.ConfigRelayClient, hello *relaypb.Hello) relaypb.ConfigRelay_AttachClient {
	t.Helper()
	stream, err := c.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&relaypb.Report{Report: &relaypb.Report_Hello{Hello: hello}}); err != nil {
		t.Fatal(err)
	}
	return stream
}

func recv(t *testing.T, s relaypb.ConfigRelay_AttachClient) *relaypb.Instruction {
	t.Helper()
	in, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestASpawnTokenOpensTheLinkOnce(t *testing.T) {
	r, w, c := serve(t)
	token, err := r.Expect("one")
	if err != nil {
		t.Fatal(err)
	}
	r.Configure("one", 7, []byte(`{"seven":7}`))
	s := attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token, Version: "v"})
	key := recv(t, s).GetWelcome().GetReconnectKey()
	if key == "" {
		t.Fatal("no reconnect key")
	}
	if cfg := recv(t, s).GetConfiguration(); cfg.GetRevision() != 7 || string(cfg.GetContent()) != `{"seven":7}` {
		t.Fatalf("configuration %v", cfg)
	}
	w.expect(t, "attached one v")
	// An agent killed now leaves a server without its key: the token still counts.
	lost := s
	s = attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token})
	if key = recv(t, s).GetWelcome().GetReconnectKey(); key == "" {
		t.Fatal("no reconnect key")
	}
	for err := error(nil); err == nil; _, err = lost.Recv() {
	}
	w.expect(t, "attached one ")
	_ = s.Send(&relaypb.Report{Report: &relaypb.Report_Status{Status: &relaypb.Status{State: "ready"}}})
	w.expect(t, "reported one ready")
	if w.kept["one"][0] != "" || strings.Contains(w.kept["one"][1], key) {
		t.Errorf("kept %v: the token is used up, the key itself is not stored", w.kept["one"])
	}
	for what, hello := range map[string]*relaypb.Hello{
		"the token again": {Server: "one", SpawnToken: token},
		"no secret":       {Server: "one"},
		"a wrong key":     {Server: "one", ReconnectKey: "guess"},
		"another server":  {Server: "two", ReconnectKey: key},
	} {
		if _, err := attach(t, c, hello).Recv(); !problem.Is(err, problem.Unauthorized) {
			t.Errorf("%s: %v, want Unauthorized", what, err)
		}
	}
	// The key opens it again, and the newer link replaces the older.
	again := attach(t, c, &relaypb.Hello{Server: "one", ReconnectKey: key})
	if recv(t, again).GetWelcome().GetReconnectKey() != key {
		t.Error("the reconnect key changed")
	}
	for err := error(nil); err == nil; { // the older link ends
		_, err = s.Recv()
	}
}

func TestTheNextAgentAcceptsTheKeyOfTheLast(t *testing.T) {
	r, w, c := serve(t)
	token, _ := r.Expect("one")
	key := recv(t, attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token})).GetWelcome().GetReconnectKey()
	next, _, c2 := serve(t)
	next.Restore("one", w.kept["one"][0], w.kept["one"][1])
	if got := recv(t, attach(t, c2, &relaypb.Hello{Server: "one", ReconnectKey: key})).GetWelcome().GetReconnectKey(); got != key {
		t.Errorf("welcome with key %q", got)
	}
}

func TestCommandsAreAnswered(t *testing.T) {
	r, w, c := serve(t)
	if err := r.Command(t.Context(), "one", "reload", time.Second); !problem.Is(err, problem.Unavailable) {
		t.Errorf("a command to nobody: %v", err)
	}
	token, _ := r.Expect("one")
	s := attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token})
	recv(t, s)
	w.expect(t, "attached one ")
	for _, trouble := range []string{"", "the profile is wrong"} {
		result := make(chan error, 1)
		go func() { result <- r.Command(context.Background(), "one", "reload", time.Minute) }()
		cmd := recv(t, s).GetCommand()
		if cmd.GetKind() != "reload" || cmd.GetTimeoutMs() != 60_000 {
			t.Fatalf("command %v", cmd)
		}
		_ = s.Send(&relaypb.Report{Report: &relaypb.Report_CommandResult{CommandResult: &relaypb.CommandResult{Id: cmd.GetId(), Problem: trouble}}})
		if err := <-result; (err == nil) != (trouble == "") || err != nil && !strings.Contains(err.Error(), trouble) {
			t.Errorf("answer %q gave %v", trouble, err)
		}
	}
	result := make(chan error, 1)
	go func() { result <- r.Command(context.Background(), "one", "stop", time.Minute) }()
	recv(t, s)
	_ = s.CloseSend()
	if err := <-result; !problem.Is(err, problem.Unavailable) {
		t.Errorf("a command whose server left: %v", err)
	}
	w.expect(t, "detached one")
}

func TestTheNewestConfigurationWins(t *testing.T) {
	r, w, c := serve(t)
	token, _ := r.Expect("one")
	for revision := range uint64(1000) {
		r.Configure("one", revision, nil)
	}
	s := attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token})
	recv(t, s)
	w.expect(t, "attached one ")
	if got := recv(t, s).GetConfiguration().GetRevision(); got != 999 {
		t.Errorf("revision %d first, want the newest", got)
	}
	_ = s.Send(&relaypb.Report{Report: &relaypb.Report_Applied{Applied: &relaypb.Applied{Required: "reload-required"}}})
	w.expect(t, "applied one reload-required")
}

func TestWithoutAControllerAServerIsToldSo(t *testing.T) {
	r, w, c := serve(t)
	token, _ := r.Expect("one")
	s := attach(t, c, &relaypb.Hello{Server: "one", SpawnToken: token})
	recv(t, s)
	ask := func() *relaypb.Certificate {
		_ = s.Send(&relaypb.Report{Report: &relaypb.Report_CertificateRequest{CertificateRequest: []byte("request")}})
		return recv(t, s).GetCertificate()
	}
	if got := ask(); string(got.GetCertificate()) != "certificate" || got.GetProblem() != "" {
		t.Errorf("certificate %v", got)
	}
	w.sign = errors.New("no controller since noon")
	if got := ask(); got.GetProblem() != "no controller since noon" || got.GetCertificate() != nil {
		t.Errorf("certificate %v", got)
	}
}

func TestTheSocketIsTheAgentsOwn(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent.sock")
	if err := os.WriteFile(socket, nil, 0o644); err != nil { // what a dead agent left
		t.Fatal(err)
	}
	r := configrelay.New(configrelay.Config{Socket: socket, Clock: clock.Real(), Log: zerolog.Nop()})
	l, err := r.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v; want mode 0600", info.Mode(), err)
	}
	if c, err := net.Dial("unix", socket); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
}
