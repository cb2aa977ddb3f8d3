package configrelay_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-idp/gatehouse/hostagent/configrelay"
	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/protocol"
)

// serveAs is serve with an agent of another version.
func serveAs(t *testing.T, speaks protocol.Speaks) (*configrelay.Relay, *world, relaypb.ConfigRelayClient) {
	t.Helper()
	w := &world{kept: map[string][2]string{}, heard: make(chan string, 100)}
	socket := filepath.Join(t.TempDir(), "agent.sock")
	r := configrelay.New(configrelay.Config{Socket: socket, Observer: w, Keys: w, Signer: w, Speaks: speaks, Clock: clock.Real(), Log: zerolog.Nop()})
	run(t, r)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, w, relaypb.NewConfigRelayClient(conn)
}

func TestAServerOfANeighbouringVersionAttachesAndOneFurtherAwayIsRefused(t *testing.T) {
	agent := protocol.Speaks{Oldest: 2, Newest: 3, Version: "1.2.0"}
	for _, c := range []struct {
		name           string
		oldest, newest uint32 // of the server
		want           uint32 // 0: refused
	}{
		{"the same", 2, 3, 3},
		{"one minor version older", 1, 2, 2},
		{"one minor version newer", 3, 4, 3},
		{"an older one that says no oldest", 0, 2, 2},
		{"two older", 1, 1, 0},
		{"from before there were numbers", 0, 0, 0},
		{"two newer", 4, 5, 0},
		{"of far away, with numbers the wrong way round", 1 << 31, 7, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w, client := serveAs(t, agent)
			token, err := r.Expect("one")
			if err != nil {
				t.Fatal(err)
			}
			hello := &relaypb.Hello{Server: "one", SpawnToken: token, Version: "9.9.9", Protocol: c.newest, OldestProtocol: c.oldest}
			in, err := attach(t, client, hello).Recv()
			if c.want > 0 {
				if err != nil || in.GetWelcome().GetProtocol() != c.want {
					t.Fatalf("welcomed with %v, %v; want protocol %d", in, err, c.want)
				}
				return
			}
			if !problem.Is(err, problem.Unsupported) {
				t.Fatalf("attached: %v, %v; want Unsupported", in, err)
			}
			for _, word := range []string{`"one"`, "9.9.9", "1.2.0", "protocols 2 to 3"} {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("the refusal does not name %s: %v", word, err)
				}
			}
			w.expect(t, "refused one")
			// A refusal uses nothing up: the token is good for a program that fits.
			hello.Protocol, hello.OldestProtocol = 3, 2
			if recv(t, attach(t, client, hello)).GetWelcome().GetProtocol() != 3 {
				t.Error("the token does not count any more")
			}
		})
	}
}

func TestAStrangerIsNotToldWhatTheAgentSpeaks(t *testing.T) {
	r, _, client := serveAs(t, protocol.Speaks{Oldest: 2, Newest: 3, Version: "1.2.0"})
	if _, err := r.Expect("one"); err != nil {
		t.Fatal(err)
	}
	_, err := attach(t, client, &relaypb.Hello{Server: "one", SpawnToken: "guess", Protocol: 9}).Recv()
	if !problem.Is(err, problem.Unauthorized) || strings.Contains(err.Error(), "1.2.0") {
		t.Errorf("refused with %v, want Unauthorized", err)
	}
}
