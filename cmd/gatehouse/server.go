package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gatehouse-idp/gatehouse/proto/configrelay"
	"github.com/gatehouse-idp/gatehouse/server/boot"
)

type serverCommand struct {
	logFlags
	// Name is what people see in a list of processes; the agent gives it.
	Name       string   `arg:"" optional:"" help:"The server's name."`
	Properties []string `short:"D" sep:"none" help:"System properties, name=value." placeholder:"NAME=VALUE"`
}

// Run serves what the agent's configuration says, in the working directory.
func (c serverCommand) Run(ctx context.Context, env Env) error {
	tree, err := c.tree(env)
	if err != nil {
		return err
	}
	defer tree.Close()
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	err = boot.Run(ctx, boot.Process{Dir: dir, Getenv: env.Getenv, Stdin: env.Stdin, Version: version, Clock: env.Clock, Logs: tree})
	ending := configrelay.Ending{PID: os.Getpid(), Code: exitOf(ctx, err), At: env.Clock.Now()}
	if failed := ending.Write(dir); failed != nil { // an agent that is not our parent will not know how we ended
		fmt.Fprintln(env.Stderr, "gatehouse:", failed)
	}
	return err
}
