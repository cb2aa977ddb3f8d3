package main

import (
	"context"
	"time"

	"github.com/gatehouse-idp/gatehouse/cli/upgrade"
)

type rollingUpgradeCommand struct {
	remote
	To         string        `help:"The version to go to, up or down. Default: that of this program." placeholder:"VERSION"`
	Group      []string      `help:"Server groups to restart, in this order. Default: all, by name." placeholder:"GROUP"`
	Plan       string        `help:"Rollout plan of each group, as in the header {rollout ...}. Default: one server at a time, each watched for a while." placeholder:"PLAN"`
	SkipAbsent bool          `help:"Leave out hosts that are not connected; run this again when they are back."`
	Wait       time.Duration `default:"2m" help:"How long a host and its servers may take to be back."`
}

// Help is the long help.
func (rollingUpgradeCommand) Help() string {
	return `Brings a running domain to the version that is installed on its hosts: first the agents, one after the
other, while their servers go on; then the servers, group by group, behind health gates. Replace the
program on the controllers and hosts before, and restart the controllers one after the other.

It stops at the first thing that is not as it should be; everything runs on then, and the same command
goes on where it stopped. The way back is the same command of the older program.`
}

// Run upgrades.
func (c rollingUpgradeCommand) Run(ctx context.Context, env Env) error {
	target, err := c.dial(ctx, env, nil)
	if err != nil {
		return err
	}
	defer target.Close()
	to := c.To
	if to == "" {
		to = version
	}
	return upgrade.Run(ctx, upgrade.Config{Management: target, To: to, Groups: c.Group, Plan: c.Plan, SkipAbsent: c.SkipAbsent,
		Wait: c.Wait, Clock: env.Clock, Out: env.Stdout})
}
