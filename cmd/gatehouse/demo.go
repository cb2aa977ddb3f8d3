package main

import (
	"context"
	"fmt"
	"net"
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
	if cfg.Ports, err = freePorts(); err != nil {
		return err
	}
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

// freePorts finds a base so that every port of the demo is free: the balancer,
// both servers, their health and cluster ports, and the controller's.
func freePorts() (demo.Ports, error) {
	for base := 20000; base < 60000; base += 500 {
		p := demo.Ports{Balancer: base, Health: base + 10, Cluster: base + 20, Native: base + 30, HTTP: base + 31, Raft: base + 32, Hosts: base + 33, OneShift: 100, TwoShift: 200}
		if allFree(p.Native, p.HTTP, p.Raft, p.Hosts, p.Hosts+1) && allFree(p.Balancer, p.Health, p.Cluster) &&
			allFree(p.Balancer+p.OneShift, p.Health+p.OneShift, p.Cluster+p.OneShift) &&
			allFree(p.Balancer+p.TwoShift, p.Health+p.TwoShift, p.Cluster+p.TwoShift) {
			return p, nil
		}
	}
	return demo.Ports{}, problem.Unavailable.Errorf("cannot find free ports between 20000 and 60000 for the demo")
}

func allFree(ports ...int) bool {
	for _, p := range ports {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p})
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
