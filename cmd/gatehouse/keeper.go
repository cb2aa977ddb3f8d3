package main

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// keeper runs the agent of a folder, and a new one each time that the domain
// has it reload: the host's file is read again.
type keeper struct {
	flags   agentFlags
	dir     string
	env     Env
	log     zerolog.Logger
	ready   chan struct{}
	current atomic.Pointer[hostagent.Agent]
}

func newKeeper(flags agentFlags, dir string, env Env, log zerolog.Logger) *keeper {
	return &keeper{flags: flags, dir: dir, env: env, log: log, ready: make(chan struct{})}
}

// Run runs agents until ctx ends or one ends otherwise. hostagent.ErrRestart is
// for its caller: see restarted.
func (k *keeper) Run(ctx context.Context) error {
	for {
		agent, err := k.flags.build(k.dir, k.env, k.log)
		if err != nil {
			return err
		}
		if k.current.Swap(agent) == nil {
			go func() {
				select {
				case <-agent.Ready():
					close(k.ready)
				case <-ctx.Done():
				}
			}()
		}
		if err := agent.Run(ctx); !errors.Is(err, hostagent.ErrReload) {
			return err
		}
	}
}

// Ready is closed when the first agent serves its servers.
func (k *keeper) Ready() <-chan struct{} { return k.ready }

// Alive fails when the present agent stands still.
func (k *keeper) Alive() error {
	if agent := k.current.Load(); agent != nil {
		return agent.Alive()
	}
	return nil
}

// restarted replaces this process by the installed program, with the same
// arguments, where the domain asked for it; otherwise it gives err back. The
// servers stay children of this process, so that their ends are known.
func restarted(env Env, err error) error {
	if !errors.Is(err, hostagent.ErrRestart) {
		return err
	}
	why := syscall.Exec(env.Program, append([]string{env.Program}, env.Args...), os.Environ())
	return problem.Internal.Errorf("cannot start %s anew: %w", env.Program, why)
}
