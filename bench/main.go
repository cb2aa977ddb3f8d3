// Command bench measures the ratios of the design's section 9: what the server
// does against what the machine can do at best, both measured in turn in one
// run, because machines are noisy and ratios are not. The load generator is a
// process of its own; every load is bounded in count and time and goes to the
// loopback interface unless --target names a server.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

type options struct {
	Load        loadCommand        `cmd:"" hidden:"" help:"Send one load and print its outcome (used by run)."`
	CacheMemory cacheMemoryCommand `cmd:"" hidden:"" help:"Fill the caches of three servers and print what one of them takes (used by run)."`
	Run         runCommand         `cmd:"" default:"withargs" help:"Measure everything and write the results."`
}

type loadCommand struct {
	Target  string        `required:""`
	Kind    string        `required:""`
	Workers int           `default:"4"`
	For     time.Duration `default:"2s"`
	Count   int
	Rate    float64
	Client  string `default:"bench-client"`
	User    string `default:"bench"`
}

// environment variables of the load: secrets are not arguments.
const (
	secretVariable   = "BENCH_CLIENT_SECRET"
	passwordVariable = "BENCH_PASSWORD"
)

// Run sends the load and prints its outcome as JSON.
func (l loadCommand) Run(ctx context.Context, c clock.Clock, out io.Writer) error {
	o, err := load{
		Target: l.Target, Kind: l.Kind, Workers: l.Workers, For: l.For, Count: l.Count, Rate: l.Rate,
		Client: l.Client, Secret: os.Getenv(secretVariable), User: l.User, Pass: os.Getenv(passwordVariable),
	}.run(ctx, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The thread that starts children decides on which processors they run.
	runtime.LockOSThread()
	k := kong.Parse(&options{}, kong.Name("bench"), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(clock.Real(), (*clock.Clock)(nil)), kong.BindTo(os.Stdout, (*io.Writer)(nil)))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
