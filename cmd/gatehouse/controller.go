package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/management/access"
	"github.com/gatehouse-idp/gatehouse/profiles"
)

// controllerFlags are the flags of a command that runs a controller.
type controllerFlags struct {
	Config    string   `help:"The domain.toml that the domain begins with; used at the very first boot only. Default: the built-in one." placeholder:"FILE" type:"path"`
	Name      string   `help:"This controller's name among the controllers. Default: the machine's name."`
	Native    string   `default:":9999" help:"Address for hosts and the command line (gRPC, TLS)." placeholder:"HOST:PORT"`
	HTTP      string   `name:"http" default:"127.0.0.1:9990" help:"Address of the HTTP management API." placeholder:"HOST:PORT"`
	Raft      string   `default:":9998" help:"Address for the other controllers." placeholder:"HOST:PORT"`
	Advertise string   `help:"Host name or address at which others reach this controller. Default: that of --native, or the machine's name." placeholder:"HOST"`
	Join      []string `help:"Join an existing domain through these controllers (first boot only)." placeholder:"HOST:PORT"`
	Token     string   `name:"controller-token" help:"File with the token from :add-controller (with --join)." placeholder:"FILE" type:"path"`
	AuditLog  string   `help:"File of the audit log. Default: audit.log in the controller's folder." placeholder:"FILE" type:"path"`
	Syslog    string   `help:"Send the audit log to syslog too: local, udp://host:port or tcp://host:port." placeholder:"WHERE"`
}

// controllerCommand has the flags itself, so that `gatehouse controller --help`
// shows them; its subcommands take it as an argument.
type controllerCommand struct {
	controllerFlags
	logFlags
	Dir string `default:"data/controller" help:"Folder that keeps everything of this controller." type:"path"`

	Serve   controllerServe   `cmd:"" name:"run" default:"1" help:"Run a domain controller (the default)."`
	Install controllerInstall `cmd:"" help:"Write a systemd unit that runs the controller with these flags."`
	Recover controllerRecover `cmd:"" help:"The way back when a majority of the controllers is lost for good."`
}

type controllerServe struct{}

// Run runs a controller until ctx ends.
func (controllerServe) Run(ctx context.Context, env Env, c *controllerCommand) error {
	log, recent, err := c.remembered(env)
	if err != nil {
		return err
	}
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	one, err := c.build(c.Dir, env, log, recent)
	if err != nil {
		return err
	}
	// It works as soon as it listens: alone among three it waits for the others.
	listening := make(chan struct{})
	close(listening)
	return tasks.Run(ctx, append(one.tasks(log), supervised(env, listening, func() error { return nil }))...)
}

// builtController is a controller that is about to run.
type builtController struct {
	*controller.Controller
	audit *access.Audit
}

// build makes a controller in a folder.
func (c controllerFlags) build(dir string, env Env, log zerolog.Logger, recent *logs.Ring) (*builtController, error) {
	seed, err := c.seed()
	if err != nil {
		return nil, err
	}
	token := ""
	if c.Token != "" {
		text, err := os.ReadFile(c.Token)
		if err != nil {
			return nil, problem.Invalid.Errorf("cannot read the join token: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if c.AuditLog == "" {
		c.AuditLog = filepath.Join(dir, "audit.log")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Invalid.Errorf("cannot create the controller's folder: %w", err)
	}
	audit, err := access.NewAudit(access.AuditConfig{File: c.AuditLog, Syslog: c.Syslog, Environment: environment(env), Clock: env.Clock,
		Failed: func(err error) { log.Error().Err(err).Msg("audit log") }})
	if err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	one, err := controller.New(controller.Config{
		Dir: dir, Name: c.Name, Native: c.Native, HTTP: c.HTTP, Replication: c.Raft, Advertise: c.Advertise,
		Seed: seed, SeedFile: c.Config, Join: c.Join, JoinToken: token,
		Audit: audit, Metrics: metrics, Version: version, Clock: env.Clock, Log: log, Recent: recent.Text,
	})
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	return &builtController{one, audit}, nil
}

// seed is the text that the domain begins with.
func (c controllerFlags) seed() ([]byte, error) {
	if c.Config == "" {
		return profiles.DefaultTOML(profiles.Domain), nil
	}
	text, err := os.ReadFile(c.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.WithHint(problem.NotFound.Errorf("cannot find %s", c.Config), "examples/demo/domain.toml is one to start from; without --config the built-in one is used")
	}
	return text, err
}

// tasks are what a controller runs as.
func (b *builtController) tasks(log zerolog.Logger) []tasks.Task {
	return []tasks.Task{
		{Name: "audit log", Run: func(ctx context.Context) error { <-ctx.Done(); return b.audit.Close() }}, // closed last
		{Name: "controller", Run: b.Run},
		{Name: "announcement", Run: func(ctx context.Context) error {
			select {
			case <-b.Ready():
				native, http, socket := b.Addresses()
				log.Info().Str("hosts", native).Str("http", http).Str("socket", socket).Msg("the domain controller is ready")
			case <-ctx.Done():
			}
			return nil
		}},
	}
}
