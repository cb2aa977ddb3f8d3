package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/client"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/profiles"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// domainCommand is the guide's domain.sh --host-config=host-master.xml.
type domainCommand struct {
	controllerFlags
	agentFlags
	logFlags
	Dir string `default:"data" help:"Folder that keeps the controller and the host." type:"path"`
}

// Run runs a controller and this machine's agent in one process. The agent
// joins over the loopback interface as any other does; its token is made at
// the first start.
func (c domainCommand) Run(ctx context.Context, env Env) error {
	log, recent, err := c.remembered(env)
	if err != nil {
		return err
	}
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	one, err := c.controllerFlags.build(filepath.Join(c.Dir, "controller"), env, log, recent)
	if err != nil {
		return err
	}
	return restarted(env, tasks.Run(ctx, append(one.tasks(log), tasks.Task{Name: "agent", Run: func(ctx context.Context) error {
		select {
		case <-one.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
		return c.runAgent(ctx, env, one, log, recent)
	}})...))
}

func (c domainCommand) runAgent(ctx context.Context, env Env, one *builtController, log zerolog.Logger, recent *logs.Ring) error {
	native, _, socket := one.Addresses()
	c.DomainController = append([]string{native}, c.DomainController...)
	if c.JoinToken == "" {
		token, err := c.ownToken(ctx, env, socket)
		if err != nil {
			return err
		}
		c.JoinToken = token
	}
	return newKeeper(c.agentFlags, filepath.Join(c.Dir, "host"), env, log, recent).Run(ctx)
}

// ownToken is the file with this host's join token, made at the first start.
func (c domainCommand) ownToken(ctx context.Context, env Env, socket string) (string, error) {
	text, err := os.ReadFile(c.HostConfig)
	if err != nil {
		return "", problem.Invalid.Errorf("cannot read the host's file: %w", err)
	}
	file, err := servergroups.ParseHostFile(c.HostConfig, text)
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.Dir, file.Name+".token")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	target, err := client.Dial(ctx, client.Config{Addresses: []string{"unix:" + socket}, Clock: env.Clock})
	if err != nil {
		return "", err
	}
	defer target.Close()
	response, err := target.Execute(ctx, profiles.Operation{Name: "add-host", Params: map[string]any{"name": file.Name}})
	if err != nil {
		return "", err
	}
	result, _ := response.Result.(map[string]any)
	token, ok := result["token"].(string)
	if !ok {
		return "", problem.Internal.Errorf("cannot add host %q: the controller gave no token", file.Name)
	}
	return path, writeToken(path, token)
}
