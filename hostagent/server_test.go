package hostagent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	relaypb "github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// beServer is a server that does nothing but speak proto/configrelay. Its
// system property "greeting" says what a change of it needs: "live:..." or
// "restart:...".
func beServer() int {
	token, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return 70
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := grpc.NewClient("unix:"+os.Getenv(hostagent.EnvRelay), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 71
	}
	s := &testServer{hello: &relaypb.Hello{Version: ownVersion(), Server: os.Getenv(hostagent.EnvServer), Pid: uint32(os.Getpid()), SpawnToken: strings.TrimSpace(token)}, state: "starting"}
	for ctx.Err() == nil {
		err := s.attach(ctx, relaypb.NewConfigRelayClient(conn))
		if err == errStopped {
			return 0
		}
		if ctx.Err() == nil {
			fmt.Println("link lost:", err)
		}
		select { // no agent: try again
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return 0
}

var errStopped = fmt.Errorf("stopped by command")

type testServer struct {
	hello    *relaypb.Hello
	state    string
	revision uint64
	greeting string
}

func (s *testServer) attach(ctx context.Context, client relaypb.ConfigRelayClient) error {
	stream, err := client.Attach(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&relaypb.Report{Report: &relaypb.Report_Hello{Hello: s.hello}}); err != nil {
		return err
	}
	status := func() error {
		return stream.Send(&relaypb.Report{Report: &relaypb.Report_Status{Status: &relaypb.Status{
			State: s.state, Healthy: s.state == "ready", Revision: s.revision, Node: s.hello.GetServer()}}})
	}
	if s.revision > 0 { // attached again
		if err := status(); err != nil {
			return err
		}
	}
	for {
		in, err := stream.Recv()
		if err != nil {
			return err
		}
		switch m := in.GetInstruction().(type) {
		case *relaypb.Instruction_Welcome:
			s.hello.SpawnToken, s.hello.ReconnectKey = "", m.Welcome.GetReconnectKey()
		case *relaypb.Instruction_Configuration:
			var c servergroups.ServerConfig
			if err := json.Unmarshal(m.Configuration.GetContent(), &c); err != nil {
				return err
			}
			applied := &relaypb.Applied{Revision: m.Configuration.GetRevision()}
			next := c.SystemProperties["greeting"]
			if s.greeting != "" && next != s.greeting && strings.HasPrefix(next, "restart:") {
				applied.Required = "restart-required"
			} else {
				s.greeting, s.revision = next, m.Configuration.GetRevision()
			}
			fmt.Println("configuration", m.Configuration.GetRevision(), next)
			if err := stream.Send(&relaypb.Report{Report: &relaypb.Report_Applied{Applied: applied}}); err != nil {
				return err
			}
			if s.state == "starting" {
				s.state = "ready"
			}
			if err := status(); err != nil {
				return err
			}
		case *relaypb.Instruction_Directory:
			line := "directory"
			for _, s := range m.Directory.GetServers() {
				line += " " + s.GetHost() + "/" + s.GetName() + "=" + s.GetState()
			}
			fmt.Println(line)
		case *relaypb.Instruction_Command:
			fmt.Println("command", m.Command.GetKind())
			done := func() error {
				return stream.Send(&relaypb.Report{Report: &relaypb.Report_CommandResult{CommandResult: &relaypb.CommandResult{Id: m.Command.GetId()}}})
			}
			switch m.Command.GetKind() {
			case "stop":
				_ = done()
				_ = stream.CloseSend()
				return errStopped
			case "suspend":
				s.state = "suspended"
			case "resume", "reload":
				s.state = "ready"
			}
			if err := status(); err != nil {
				return err
			}
			if err := done(); err != nil {
				return err
			}
		}
	}
}
