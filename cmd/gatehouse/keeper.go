package main

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/hostagent"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// keeper runs the agent of a folder, and a new one each time that the domain
// has it reload: the host's file is read again.
type keeper struct {
	flags   agentFlags
	dir     string
	env     Env
	log     zerolog.Logger
	recent  *logs.Ring
	ready   chan struct{}
	current atomic.Pointer[hostagent.Agent]
	last    hostagent.Config // of the newest agent; only Run's goroutine uses it
}

func newKeeper(flags agentFlags, dir string, env Env, log zerolog.Logger, recent *logs.Ring) *keeper {
	return &keeper{flags: flags, dir: dir, env: env, log: log, recent: recent, ready: make(chan struct{})}
}

// Run runs agents until ctx ends or one ends otherwise. hostagent.ErrRestart is
// for its caller: see restarted.
func (k *keeper) Run(ctx context.Context) error {
	for {
		agent, err := k.next()
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

// next makes the next agent. A host's file that cannot be used must not end a
// host that runs: it goes on with what the file said before.
func (k *keeper) next() (*hostagent.Agent, error) {
	config, err := k.flags.config(k.dir, k.env, k.log, k.recent)
	if err == nil {
		var agent *hostagent.Agent
		if agent, err = hostagent.New(config); err == nil {
			k.last = config
			return agent, nil
		}
	}
	if k.current.Load() == nil {
		return nil, err
	}
	k.log.Error().Err(err).Msg("cannot reload the host's file; going on with what it said before")
	return hostagent.New(k.last)
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
	return again(env)
}

// again replaces this process by the installed program, with the same arguments.
// It returns only when that cannot be.
func again(env Env) error {
	why := syscall.Exec(env.Program, append([]string{env.Program}, env.Args...), os.Environ())
	return problem.Internal.Errorf("cannot start %s anew: %w", env.Program, why)
}
