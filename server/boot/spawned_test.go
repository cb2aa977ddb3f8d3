package boot

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// fakeAgent is the agent's end of the local socket.
type fakeAgent struct {
	configrelay.UnimplementedConfigRelayServer
	reports chan *configrelay.Report
	links   chan chan *configrelay.Instruction // one for each link that was welcomed

	mu       sync.Mutex
	token    string // not used yet
	key      string
	protocol uint32 // that it chooses; 0 as agents that know of none
}

func (a *fakeAgent) Attach(stream configrelay.ConfigRelay_AttachServer) error {
	in, err := stream.Recv()
	if err != nil {
		return err
	}
	a.mu.Lock()
	known := in.GetHello().GetSpawnToken() == a.token && a.token != "" || in.GetHello().GetReconnectKey() == a.key
	a.token = ""
	a.mu.Unlock()
	if !known {
		return status.Error(codes.Unauthenticated, "the spawn token was used")
	}
	link := make(chan *configrelay.Instruction, 8)
	if err := stream.Send(&configrelay.Instruction{Instruction: &configrelay.Instruction_Welcome{Welcome: &configrelay.Welcome{ReconnectKey: a.key, Protocol: a.protocol}}}); err != nil {
		return err
	}
	a.links <- link
	go func() {
		for {
			report, err := stream.Recv()
			if err != nil {
				return
			}
			a.reports <- report
		}
	}()
	for {
		select {
		case i, ok := <-link:
			if !ok {
				return status.Error(codes.Unavailable, "the agent is gone")
			}
			if err := stream.Send(i); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// until waits for reports that are wanted, in whatever order: what describes a
// state may be told before the answers to commands that wait beside it.
func (a *fakeAgent) until(t *testing.T, what string, wanted ...func(*configrelay.Report) bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for len(wanted) > 0 {
		select {
		case r := <-a.reports:
			wanted = slices.DeleteFunc(wanted, func(is func(*configrelay.Report) bool) bool { return is(r) })
		case <-limit.C:
			t.Fatalf("no report: %s", what)
		}
	}
}

func (a *fakeAgent) untilState(t *testing.T, state string) {
	t.Helper()
	a.until(t, state, func(r *configrelay.Report) bool { return r.GetStatus().GetState() == state })
}

func startAgent(t *testing.T) (*fakeAgent, func(name string) string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	a := &fakeAgent{reports: make(chan *configrelay.Report, 64), links: make(chan chan *configrelay.Instruction, 4), token: "once", key: "again"}
	srv := grpc.NewServer()
	configrelay.RegisterConfigRelayServer(srv, a)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return a, func(name string) string {
		return map[string]string{relayVariable: socket, serverVariable: "load-balancer", hostVariable: "master", siteVariable: "default"}[name]
	}
}

// balancerConfig is a balancer's configuration of the built-in domain, after
// some operations.
func balancerConfig(t *testing.T, revision uint64, ops ...profiles.Operation) *configrelay.Instruction {
	t.Helper()
	tree, err := profiles.Default(profiles.Domain)
	if err != nil {
		t.Fatal(err)
	}
	host, err := servergroups.ParseHostFile("host.toml", []byte("name = \"master\"\n[domain-controller.local]\n[server.load-balancer]\ngroup = \"load-balancer-group\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range append([]profiles.Operation{host.Operation(tree)}, ops...) {
		if tree, _, _, err = profiles.Apply(tree, op); err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := servergroups.Snapshot(tree, "master", revision)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := snapshot.Resolve("load-balancer", servergroups.Lookup{Properties: map[string]string{"jboss.http.port": "0", "jboss.https.port": "0", "gatehouse.health.port": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &configrelay.Instruction{Instruction: &configrelay.Instruction_Configuration{Configuration: &configrelay.Configuration{Revision: revision, Content: text}}}
}

func write(t *testing.T, address, name string, value any) profiles.Operation {
	t.Helper()
	at, err := profiles.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return profiles.Operation{Name: "write-attribute", Address: at, Params: map[string]any{"name": name, "value": value}}
}

func command(id, kind string) *configrelay.Instruction {
	return &configrelay.Instruction{Instruction: &configrelay.Instruction_Command{Command: &configrelay.Command{Id: id, Kind: kind, TimeoutMs: 60_000}}}
}

func applied(revision uint64, required string) func(*configrelay.Report) bool {
	return func(r *configrelay.Report) bool {
		a := r.GetApplied()
		return a != nil && a.GetRevision() == revision && a.GetRequired() == required && a.GetProblem() == ""
	}
}

func done(id string, trouble bool) func(*configrelay.Report) bool {
	return func(r *configrelay.Report) bool {
		return r.GetCommandResult().GetId() == id && (r.GetCommandResult().GetProblem() != "") == trouble
	}
}

func runSpawned(t *testing.T, ctx context.Context, getenv func(string) string, token string) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Process{Dir: t.TempDir(), Getenv: getenv, Stdin: strings.NewReader(token + "\n"), Clock: clock.Real(), Logs: logs.Discard()})
	}()
	return ended
}

func TestASpawnedServerLivesAsItsAgentSays(t *testing.T) {
	agent, getenv := startAgent(t)
	ended := runSpawned(t, t.Context(), getenv, "once")
	link := <-agent.links

	link <- balancerConfig(t, 1)
	agent.untilState(t, "ready")

	level := write(t, "/profile=load-balancer/subsystem=logging/root-logger=ROOT", "level", "WARN")
	link <- balancerConfig(t, 2, level)
	agent.until(t, "a live change is applied", applied(2, ""))

	limit := write(t, "/profile=load-balancer/subsystem=http/server=default-server/http-listener=default", "proxy-address-forwarding", true)
	link <- balancerConfig(t, 3, level, limit)
	agent.until(t, "another change waits for a reload", applied(3, "reload-required"))

	link <- command("r", "reload")
	agent.until(t, "the reload is answered, and brings the change", done("r", false), applied(3, ""))

	link <- command("s", "suspend")
	agent.until(t, "suspended", done("s", false))
	link <- command("u", "resume")
	agent.until(t, "resumed", done("u", false))
	link <- command("x", "explode")
	agent.until(t, "an unknown command is refused", done("x", true))

	close(link) // the agent dies
	link = <-agent.links
	agent.until(t, "a new link is told the state without being asked", func(r *configrelay.Report) bool { return r.GetStatus().GetState() == "ready" })

	link <- command("z", "stop")
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("told to stop, it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("told to stop, it goes on")
	}
}

func TestASpawnTokenThatWasUsedEndsTheServer(t *testing.T) {
	_, getenv := startAgent(t)
	err := <-runSpawned(t, t.Context(), getenv, "stolen")
	if err == nil || !strings.Contains(err.Error(), "spawn token") {
		t.Errorf("Run = %v", err)
	}
}

func TestAnAgentThatChoosesAnUnknownProtocolEndsTheServerThatSaysWhy(t *testing.T) {
	agent, getenv := startAgent(t)
	agent.protocol = configrelay.NewestProtocol + 1
	err := <-runSpawned(t, t.Context(), getenv, "once")
	if !problem.Is(err, problem.Unsupported) || !strings.Contains(err.Error(), "protocol 2") {
		t.Errorf("Run = %v, want Unsupported", err)
	}
}

func TestAServerStartedByHandSaysHowItIsDone(t *testing.T) {
	err := Run(t.Context(), Process{Dir: t.TempDir(), Getenv: func(string) string { return "" }, Stdin: strings.NewReader(""), Clock: clock.Real(), Logs: logs.Discard()})
	if err == nil || !strings.Contains(err.Error(), "gatehouse agent") || errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
}
