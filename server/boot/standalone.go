package boot

import (
	"context"
	"errors"

	"github.com/gatehouse-idp/gatehouse/internal/tasks"
	"github.com/gatehouse-idp/gatehouse/servergroups"
)

// Standalone runs one server by itself from a configuration that its caller
// read: no agent, no cluster. It calls ready once requests are answered and
// serves until ctx ends.
func Standalone(ctx context.Context, p Process, cfg servergroups.ServerConfig, ready func()) error {
	levels := newLevels(p.Log)
	p.Log = levels.log.With().Str("node", cfg.Host+"."+cfg.Name).Str("site", cfg.Site).Logger()
	env := environment{
		Process: p,
		say:     func(message string) { p.Log.Info().Msg(message) },
		level:   levels.set,
	}
	gen, err := newGeneration(ctx, env, cfg)
	if err != nil {
		return err
	}
	return tasks.Run(ctx,
		tasks.Task{Name: "server", Run: func(ctx context.Context) error {
			return gen.run(ctx, func() { gen.resume(); ready() })
		}},
		tasks.Task{Name: "drain", Run: func(ctx context.Context) error {
			<-ctx.Done()
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
			defer cancel()
			if err := gen.suspend(limited); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		}})
}
