// Command gatehouse is the whole product in one binary: the domain controller,
// the host agent, the identity and load-balancer servers, and the command
// line. This package parses arguments and wires; it holds no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// Env is what a command may touch of the world outside.
type Env struct {
	Args []string
	// Program is the path at which this program is installed.
	Program string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Getenv  func(string) string
	Clock   clock.Clock
}

// commands is the command line: one field a command, its flags and its help
// beside its code.
type commands struct {
	Demo                demoCommand                `cmd:"" help:"Boot a whole domain on this machine: controller, two hosts, balancer, two servers."`
	Controller          controllerCommand          `cmd:"" help:"Run a domain controller."`
	Agent               agentCommand               `cmd:"" help:"Run the host agent of this machine."`
	Domain              domainCommand              `cmd:"" help:"Run a controller and this machine's agent in one process."`
	StartDev            startDevCommand            `cmd:"" help:"Run one standalone identity server for development."`
	Start               startCommand               `cmd:"" help:"Run one standalone identity server for production."`
	Server              serverCommand              `cmd:"" hidden:"" help:"Run a server of an agent (started by the agent)."`
	Cli                 cliCommand                 `cmd:"" help:"Run the management command line."`
	AddUser             addUserCommand             `cmd:"" help:"Add a management user, or a host with its join token."`
	Import              importCommand              `cmd:"" help:"Import a realm file into a database."`
	Export              exportCommand              `cmd:"" help:"Export a realm from a database as a realm file."`
	UpdateCompatibility updateCompatibilityCommand `cmd:"" help:"Say whether versions or configurations can be rolled."`
	RollingUpgrade      rollingUpgradeCommand      `cmd:"" help:"Bring a running domain to the version that is installed on its hosts."`
	Version             versionCommand             `cmd:"" help:"Print the version."`
	Reference           referenceCommand           `cmd:"" hidden:"" help:"Write the reference in docs/."`
}

func main() {
	// SIGINT and SIGTERM end the command's context; a second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }()
	env := Env{Args: os.Args[1:], Program: program(os.Args[0], os.Getenv("PATH")), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Clock: clock.Real()}
	os.Exit(run(ctx, env))
}

// run executes one command line and gives its exit code: 0, or the code of the
// error's kind (see internal/problem).
func run(ctx context.Context, env Env) int {
	exited := -1
	parser, err := kong.New(&commands{},
		kong.Name("gatehouse"),
		kong.Description("An identity provider that runs as a domain. `gatehouse demo` shows all of it on this machine."),
		kong.UsageOnError(),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(env),
	)
	if err != nil {
		fmt.Fprintln(env.Stderr, "gatehouse:", err)
		return problem.Internal.Exit()
	}
	command, err := parser.Parse(env.Args)
	if exited >= 0 {
		return exited // --help
	}
	if err == nil {
		err = command.Run()
	} else {
		err = problem.WithHint(problem.Invalid.Errorf("%w", err), "see gatehouse --help")
	}
	result := exitOf(ctx, err)
	if code := exitCode(0); result != 0 && !errors.As(err, &code) {
		fmt.Fprintln(env.Stderr, "gatehouse:", err)
	}
	return result
}

// exitOf is the exit code that an error of a command leads to: 0 for none, and
// where the command was only told to end.
func exitOf(ctx context.Context, err error) int {
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	}
	return problem.KindOf(err).Exit()
}

// exitCode ends a command with a code of its own; the command has already said
// why.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }
