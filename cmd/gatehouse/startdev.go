package main

import (
	"context"
)

type startDevCommand struct {
	standaloneFlags
	logFlags
}

// Help is the long help.
func (startDevCommand) Help() string {
	return `The first administrator comes from KC_BOOTSTRAP_ADMIN_USERNAME and
KC_BOOTSTRAP_ADMIN_PASSWORD, or is made in the browser on this machine. It listens
on the loopback interface; -Djboss.bind.address=0.0.0.0 opens it. The database's
password comes from KC_DB_PASSWORD.

The folder keeps standalone.toml, the configuration. Change it while the server runs:
gatehouse cli --controller=DIR/management.sock. Flags go before the file, and are not
written into it.`
}

// Run runs one standalone server until ctx ends.
func (c startDevCommand) Run(ctx context.Context, env Env) error {
	tree, err := c.tree(env)
	if err != nil {
		return err
	}
	defer tree.Close()
	ctx, cancel := c.lifetime(ctx, env)
	defer cancel()
	return c.serve(ctx, env, tree, flagged{standaloneFlags: c.standaloneFlags, env: env})
}
