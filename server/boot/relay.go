package boot

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/proto/protocol"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Environment of a spawned server; the one-time token comes as the first line
// of standard input, because environments and arguments can be read by others.
const (
	relayVariable  = "GATEHOUSE_RELAY"
	serverVariable = "GATEHOUSE_SERVER"
	hostVariable   = "GATEHOUSE_HOST"
	siteVariable   = "GATEHOUSE_SITE"
)

// reconnectEvery is how often a server looks for its agent when the link is
// down. The socket is on this machine: trying costs nothing.
const reconnectEvery = 200 * time.Millisecond

// relay is a server's link to its agent. It reconnects by itself: a server
// outlives its agent.
type relay struct {
	socket  string
	server  string
	version string
	clock   clock.Clock
	log     zerolog.Logger
	token   string // spawn token; "" once it was used
	key     string // reconnect key

	configurations chan servergroups.ServerConfig
	directories    chan []*configrelay.DirectoryServer
	commands       chan *configrelay.Command
	certificates   chan *configrelay.Certificate
	trust          *trust
	reports        *reports
	heard          chan struct{} // closed when the agent has all reports, after reports.end
}

// newRelay reads where the agent is from the environment and the spawn token
// from stdin.
func newRelay(getenv func(string) string, stdin io.Reader, c clock.Clock, version string, log zerolog.Logger) (*relay, error) {
	r := &relay{
		socket: getenv(relayVariable), server: getenv(serverVariable), version: version, clock: c, log: log,
		configurations: make(chan servergroups.ServerConfig, 1),
		directories:    make(chan []*configrelay.DirectoryServer, 1),
		commands:       make(chan *configrelay.Command, 8),
		certificates:   make(chan *configrelay.Certificate, 1),
		trust:          newTrust(),
		reports:        newReports(),
		heard:          make(chan struct{}),
	}
	if r.socket == "" || r.server == "" {
		return nil, problem.WithHint(problem.Invalid.Errorf("cannot run a server of a domain: %s and %s are not set", relayVariable, serverVariable),
			"servers are started by `gatehouse agent`; for one server without a domain use `gatehouse start-dev`")
	}
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot read the spawn token from standard input: %w", err)
	}
	r.token = strings.TrimSpace(line)
	return r, nil
}

// Run keeps the link until ctx ends. A link that the agent refuses for good
// (the token was used, the key is not known) is an error: this process is not
// one that the agent wants.
func (r *relay) Run(ctx context.Context) error {
	conn, err := grpc.NewClient("unix:"+r.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return problem.Internal.Errorf("cannot reach the agent at %s: %w", r.socket, err)
	}
	defer conn.Close()
	lost := false
	for {
		err := r.attach(ctx, configrelay.NewConfigRelayClient(conn))
		if r.reports.toldAll() {
			close(r.heard)
			<-ctx.Done()
			return ctx.Err()
		}
		switch kind := problem.KindOf(err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case kind == problem.Unauthorized || kind == problem.Forbidden || kind == problem.NotFound,
			kind == problem.Unsupported && r.key == "": // one that serves already goes on, and waits for another agent
			return problem.FromGRPC(err)
		case !lost:
			r.log.Warn().Err(err).Msg("no link to the agent; going on with the configuration there is")
		}
		lost = true
		if err := clock.Sleep(ctx, r.clock, reconnectEvery); err != nil {
			return err
		}
	}
}

// attach holds one link until it breaks.
func (r *relay) attach(ctx context.Context, client configrelay.ConfigRelayClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Attach(ctx)
	if err != nil {
		return err
	}
	hello := &configrelay.Hello{Server: r.server, Pid: uint32(os.Getpid()), SpawnToken: r.token, ReconnectKey: r.key,
		Version: r.version, Protocol: configrelay.NewestProtocol, OldestProtocol: configrelay.OldestProtocol}
	if r.key != "" {
		hello.SpawnToken = ""
	}
	if err := stream.Send(&configrelay.Report{Report: &configrelay.Report_Hello{Hello: hello}}); err != nil {
		return err
	}
	sent := make(chan error, 1)
	welcomed := make(chan struct{})
	go func() {
		select {
		case <-welcomed:
			sent <- r.reports.sendTo(ctx, stream)
		case <-ctx.Done():
			sent <- ctx.Err()
		}
	}()
	for {
		in, err := stream.Recv()
		if err != nil {
			cancel()
			<-sent
			return err
		}
		if w := in.GetWelcome(); w != nil {
			if err := r.understands(w); err != nil {
				cancel()
				<-sent
				return err
			}
			r.key, r.token = w.GetReconnectKey(), ""
			r.reports.repeat()
			close(welcomed)
			continue
		}
		r.receive(ctx, in)
	}
}

// understands refuses an agent that chose what this server does not speak, as
// none does that knows how to choose.
func (r *relay) understands(w *configrelay.Welcome) error {
	theirs := protocol.Heard(w.GetProtocol(), w.GetProtocol(), "of its agent")
	if own := configrelay.Speaking(r.version); protocol.Negotiate(own, theirs) == 0 {
		return problem.Unsupported.Errorf("cannot attach to the agent: it speaks protocol %d, this server %s", theirs.Newest, own)
	}
	return nil
}

func (r *relay) receive(ctx context.Context, in *configrelay.Instruction) {
	switch {
	case in.GetConfiguration() != nil:
		var cfg servergroups.ServerConfig
		if err := json.Unmarshal(in.GetConfiguration().GetContent(), &cfg); err != nil {
			r.reports.applied(in.GetConfiguration().GetRevision(), "", "cannot read the configuration: "+err.Error())
			return
		}
		newest(r.configurations, cfg)
	case in.GetDirectory() != nil:
		newest(r.directories, in.GetDirectory().GetServers())
	case in.GetCertificate() != nil:
		newest(r.certificates, in.GetCertificate())
	case in.GetTrust() != nil:
		r.trust.set(in.GetTrust().GetAuthorities())
	case in.GetCommand() != nil:
		select {
		case r.commands <- in.GetCommand():
		case <-ctx.Done():
		}
	}
}

// newest puts v in a channel of one, in the place of what nobody has taken yet:
// only the last one counts. Only one goroutine sends on c.
func newest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}
