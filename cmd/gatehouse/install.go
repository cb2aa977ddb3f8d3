package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-idp/gatehouse/hostagent/systemd"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
)

// serviceFlags are those of a command that writes a systemd unit.
type serviceFlags struct {
	ServiceUser string `default:"gatehouse" help:"The user that runs it; it must exist and own the folder." placeholder:"NAME"`
	UnitDir     string `default:"/etc/systemd/system" help:"Where the unit is written." placeholder:"DIR" type:"path"`
	Print       bool   `help:"Print the unit instead of writing it."`
}

type agentInstall struct {
	serviceFlags
	LowPorts bool `help:"Let servers listen on ports below 1024."`
}

// Help is the long help.
func (agentInstall) Help() string { return installHelp }

const installHelp = `Writes a systemd unit that runs the command with the flags given here. Secrets do not belong on a
command line: put them into a file that only the service's user reads, and name it with
"systemctl edit" as EnvironmentFile=.`

// Run writes the agent's unit.
func (i agentInstall) Run(k *kong.Context, env Env, of *agentCommand) error {
	return i.install(k, env, systemd.Service{Role: "agent", Dir: of.Dir, LowPorts: i.LowPorts})
}

type controllerInstall struct{ serviceFlags }

// Help is the long help.
func (controllerInstall) Help() string { return installHelp }

// Run writes the controller's unit.
func (i controllerInstall) Run(k *kong.Context, env Env, of *controllerCommand) error {
	return i.install(k, env, systemd.Service{Role: "controller", Dir: of.Dir})
}

func (f serviceFlags) install(k *kong.Context, env Env, s systemd.Service) error {
	binary, err := os.Executable()
	if err != nil {
		return problem.Internal.Errorf("cannot find this program's own file: %w", err)
	}
	s.Binary, s.User, s.Arguments = binary, f.ServiceUser, given(k)
	text, err := s.Unit()
	if err != nil {
		return err
	}
	if f.Print {
		_, err := fmt.Fprint(env.Stdout, text)
		return err
	}
	path := filepath.Join(f.UnitDir, s.File())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return problem.Invalid.Errorf("cannot write the unit: %w", err)
	}
	fmt.Fprintf(env.Stdout, "Wrote %s. It runs as user %s and writes below %s; see that both are there, then:\n  systemctl daemon-reload && systemctl enable --now %s\n", path, s.User, s.Dir, s.File())
	return nil
}

// given are the flags of the command above install, as they were set on the
// line or in the environment, with absolute paths; the folder always.
func given(k *kong.Context) []string {
	var out []string
	seen := map[string]bool{}
	command := k.Selected().Parent
	for _, element := range k.Path {
		flag := element.Flag
		if flag == nil || seen[flag.Name] || flag.Name == "dir" {
			continue
		}
		seen[flag.Name] = true
		for _, own := range command.Flags {
			if own.Name == flag.Name {
				out = append(out, words(flag, k.FlagValue(flag))...)
			}
		}
	}
	for _, own := range command.Flags {
		if own.Name == "dir" {
			out = append(out, words(own, k.FlagValue(own))...)
		}
	}
	return out
}

// words is a flag with its value, each element of a list by itself.
func words(flag *kong.Flag, value any) []string {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return []string{fmt.Sprintf("--%s=%v", flag.Name, value)}
	}
	var out []string
	for i := range v.Len() {
		out = append(out, fmt.Sprintf("--%s=%v", flag.Name, v.Index(i)))
	}
	return out
}

// supervised tells systemd, where it started the process, that it is ready and
// goes on being alive.
func supervised(env Env, ready <-chan struct{}, alive func() error) tasks.Task {
	return tasks.Task{Name: "service manager", Run: func(ctx context.Context) error {
		n := systemd.NewNotifier(env.Getenv)
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
		if err := n.Ready(); err != nil {
			return err
		}
		err := n.Watch(ctx, env.Clock, alive)
		if ctx.Err() != nil {
			return n.Stopping()
		}
		return err
	}}
}
