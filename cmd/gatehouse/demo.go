package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gatehouse-idp/gatehouse/demo"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

type demoCommand struct {
	Check bool   `help:"Do it all unattended on free ports: log in, change, kill, undo; exit 0 only if every step held."`
	Dir   string `help:"Folder that keeps the demo's domain and data. Default: data/demo; with --check a temporary one." placeholder:"DIR"`
}

// Help is the long help.
func (demoCommand) Help() string {
	return `Boots the whole domain on this machine, each part its own process: a controller,
the hosts master and host2, a load balancer on port 8080 and two identity servers
on 8230 and 8330. Ctrl-C stops everything; the next demo goes on with the same data.`
}

// Run boots the demo and stays until ctx ends, or checks it and leaves.
func (c demoCommand) Run(ctx context.Context, env Env) error {
	binary, err := os.Executable()
	if err != nil {
		return problem.Internal.Errorf("cannot find this program's own file: %w", err)
	}
	cfg := demo.Config{Dir: c.Dir, Binary: binary, Ports: demo.DefaultPorts(), Stdout: env.Stdout, Clock: env.Clock}
	if c.Check {
		return c.check(ctx, cfg)
	}
	if cfg.Dir == "" {
		cfg.Dir = "data/demo"
	}
	d, err := demo.New(cfg)
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "booting the domain: a controller, two hosts, a balancer, two servers ...")
	if err := d.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	fmt.Fprint(env.Stdout, d.Welcome())
	err = d.Watch(ctx)
	fmt.Fprintln(env.Stdout, "\nstopping ...")
	if stopErr := d.Stop(); err == nil {
		err = stopErr
	}
	return err
}

// check runs on ports that are free now, in a folder that it removes when all
// held and keeps for inspection when not.
func (demoCommand) check(ctx context.Context, cfg demo.Config) (err error) {
	ports, release, err := demo.FreePorts()
	if err != nil {
		return err
	}
	defer release()
	cfg.Ports = ports
	temporary := cfg.Dir == ""
	if temporary {
		if cfg.Dir, err = os.MkdirTemp("", "gatehouse-demo-"); err != nil {
			return err
		}
	}
	d, err := demo.New(cfg)
	if err != nil {
		return err
	}
	if err := d.Check(ctx); err != nil {
		return err
	}
	if temporary {
		return os.RemoveAll(cfg.Dir)
	}
	return nil
}
