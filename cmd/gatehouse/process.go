package main

import (
	"context"
	"io"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/logs"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// logFlags are the flags of every long-running command.
type logFlags struct {
	LogFormat logs.Format `enum:"auto,human,json" default:"auto" help:"Form of the log: human, json, or auto (human on a terminal)."`
	LogLevel  string      `enum:"trace,debug,info,warn,error" default:"info" help:"Least level that is logged."`
	// StopWithStdin is for parents that may be killed: a pipe that closes says so.
	StopWithStdin bool `hidden:"" help:"Stop when standard input ends."`
}

// remembers is how much of its own log a process keeps for support bundles.
const remembers = 1 << 20

// remembered is the process's logger, on standard error, and what it wrote last.
func (f logFlags) remembered(env Env) (zerolog.Logger, *logs.Ring, error) {
	level, err := zerolog.ParseLevel(f.LogLevel)
	if err != nil {
		return zerolog.Nop(), nil, problem.Invalid.Errorf("cannot use log level %q: %w", f.LogLevel, err)
	}
	ring := logs.NewRing(remembers)
	return logs.Remembering(env.Stderr, ring, f.LogFormat, level, env.Clock), ring, nil
}

// tree are the loggers of a process whose logging its configuration describes.
func (f logFlags) tree(env Env) (*logs.Tree, error) {
	level, err := zerolog.ParseLevel(f.LogLevel)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot use log level %q: %w", f.LogLevel, err)
	}
	return logs.NewTree(logs.Config{Console: env.Stderr, Format: f.LogFormat, Level: level, Clock: env.Clock}), nil
}

// lifetime is ctx, ended also when standard input ends if that was asked for.
func (f logFlags) lifetime(ctx context.Context, env Env) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if f.StopWithStdin {
		go func() {
			_, _ = io.Copy(io.Discard, env.Stdin) // whatever ended it, it ended
			cancel()
		}()
	}
	return ctx, cancel
}
