package main

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// agentFlags are the flags of a command that runs a host agent.
type agentFlags struct {
	HostConfig       string        `required:"" help:"The host's file: its name, its addresses, its servers." placeholder:"FILE" type:"path"`
	JoinToken        string        `help:"File with the host's join token (gatehouse add-user --host NAME); needed for the first start only." placeholder:"FILE" type:"path"`
	DomainController []string      `help:"Addresses of controllers; they go before those of the host's file." placeholder:"HOST:PORT"`
	Properties       []string      `short:"D" sep:"none" help:"System properties, name=value; they go before all others." placeholder:"NAME=VALUE"`
	KeepServers      bool          `help:"Leave the servers running when the agent stops; the next one adopts them."`
	StopTimeout      time.Duration `default:"10s" help:"How long requests in flight may take when the agent stops its servers."`
	Health           string        `help:"Serve /health and /metrics of the host here, for example 127.0.0.1:9001. Default: nowhere." placeholder:"HOST:PORT"`
	B                string        `name:"bind" short:"b" help:"Address of the public interface, as -Djboss.bind.address=." placeholder:"ADDRESS"`
	BManagement      string        `name:"bind-management" help:"Address of the management interface, as -Djboss.bind.address.management=." placeholder:"ADDRESS"`
}

// agentCommand has the flags itself, so that `gatehouse agent --help` shows
// them; its subcommands take it as an argument.
type agentCommand struct {
	agentFlags
	logFlags
	Dir string `default:"data/host" help:"Folder that keeps everything of this host: its state, its servers' data and logs." type:"path"`

	Serve   agentServe   `cmd:"" name:"run" default:"1" help:"Run the host agent of this machine (the default)."`
	Install agentInstall `cmd:"" help:"Write a systemd unit that runs the agent with these flags."`
}

type agentServe struct{}

// Run runs the agent until ctx ends; the servers end with it unless
// --keep-servers.
func (agentServe) Run(ctx context.Context, env Env, c *agentCommand) error {
	log, recent, err := c.remembered(env)
	if err != nil {
		return err
	}
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	k := newKeeper(c.agentFlags, c.Dir, env, log, recent)
	// A new program takes this process over as it is: systemd need not know.
	run := func(ctx context.Context) error {
		defer cancel() // an agent that was shut down is the end of the process
		return restarted(env, k.Run(ctx))
	}
	return tasks.Run(ctx, tasks.Task{Name: "agent", Run: run}, supervised(env, k.Ready(), k.Alive))
}

// config is what an agent in a folder rests on.
func (c agentFlags) config(dir string, env Env, log zerolog.Logger, recent *logs.Ring) (config hostagent.Config, err error) {
	text, err := os.ReadFile(c.HostConfig)
	if err != nil {
		return config, problem.Invalid.Errorf("cannot read the host's file: %w", err)
	}
	file, err := servergroups.ParseHostFile(c.HostConfig, text)
	if err != nil {
		return config, err
	}
	token := ""
	if c.JoinToken != "" {
		text, err := os.ReadFile(c.JoinToken)
		if err != nil {
			return config, problem.Invalid.Errorf("cannot read the join token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	properties, err := c.properties()
	if err != nil {
		return config, err
	}
	return hostagent.Config{
		Dir: dir, HostFile: file, JoinToken: token, Controllers: c.DomainController,
		// A server starts with the program that is installed when it starts: a
		// rolling restart takes a replaced one into use. While it is being
		// replaced, the agent's own will do.
		Command: []string{env.Program, "server"}, Spare: ownImage, Health: c.Health,
		Env: os.Environ(), Properties: properties, KeepServers: c.KeepServers, StopTimeout: c.StopTimeout,
		Version: version, Clock: env.Clock, Rand: rand.Float64, Log: log, Recent: recent.Text,
	}, nil
}

// ownImage is the program that runs here, also when its file was replaced:
// proc(5).
const ownImage = "/proc/self/exe"

// properties reads -D and the shorthands of the guide.
func (c agentFlags) properties() (map[string]string, error) {
	out := map[string]string{}
	if c.B != "" {
		out["jboss.bind.address"] = c.B
	}
	if c.BManagement != "" {
		out["jboss.bind.address.management"] = c.BManagement
	}
	for _, p := range c.Properties {
		name, value, ok := strings.Cut(p, "=")
		if name == "" {
			return nil, problem.Invalid.Errorf("cannot read -D%s: want -Dname=value", p)
		}
		if !ok {
			value = "true" // as for a Java virtual machine
		}
		out[name] = value
	}
	return out, nil
}
