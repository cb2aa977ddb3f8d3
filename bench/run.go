package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
)

type runCommand struct {
	Binary   string        `default:"bin/gatehouse" help:"The gatehouse binary to measure."`
	Out      string        `default:"bench/results.json" help:"Where the results go."`
	Rounds   int           `default:"5" help:"Rounds of each ratio; the median counts."`
	Slice    time.Duration `default:"2s" help:"Length of one side of one round."`
	Sessions int           `default:"10000" help:"Sessions for the memory figure."`
	Postgres string        `env:"GATEHOUSE_TEST_POSTGRES" help:"Connection URL of a PostgreSQL database, for the figures that need one."`
	Target   string        `help:"Measure only the grants, against this realm address of any Keycloak-compatible server, for example http://localhost:8080/realms/bench."`
	Client   string        `default:"bench-client" help:"Client of the realm."`
	User     string        `default:"bench" help:"User of the realm."`
}

// The secrets of bench-realm.json; for --target they come from the environment.
const (
	benchSecret   = "bench-secret"
	benchPassword = "bench-password"
)

// grants are the loads that are compared with what the machine can do bare.
var grants = []struct {
	kind, what string
	goal       float64
	per        float64 // bare operations in one request
	workers    int     // requests in flight; logins wait for a commit that they share
	bare       func(clock.Clock, time.Duration) (float64, error)
}{
	{"client-credentials", "client credentials / bare RS256", 0.7, 1, 4, bareSignatures},
	{"refresh", "refresh (two signatures) / bare RS256", 0.65, 2, 4, bareSignatures},
	{"password", "password logins / bare Argon2id", 0.85, 1, 16, bareHashes},
}

// Run measures, prints each figure as it comes and writes them all.
func (r runCommand) Run(ctx context.Context, c clock.Clock, out io.Writer) error {
	var results []result
	add := func(list ...result) {
		for _, one := range list {
			one.print(out)
			results = append(results, one)
		}
	}
	var err error
	if r.Target != "" {
		err = r.ratios(ctx, c, nil, add)
	} else {
		err = r.own(ctx, c, out, add)
	}
	if len(results) > 0 {
		if writeErr := write(r.Out, results); err == nil {
			err = writeErr
		}
	}
	return err
}

// own starts our server and measures all of it.
func (r runCommand) own(ctx context.Context, c clock.Clock, out io.Writer, add func(...result)) error {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "on %d processors, %s; each ratio is the median of %d rounds of %s a side\n", runtime.NumCPU(), runtime.Version(), r.Rounds, r.Slice)
	if err := r.starts(ctx, c, dir, add); err != nil {
		return err
	}
	if runtime.NumCPU() > 1 {
		if err := pin(0); err != nil {
			return err
		}
	}
	s, err := startServer(ctx, c, r.Binary, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := r.ratios(ctx, c, s, add); err != nil {
		return err
	}
	if err := r.commits(ctx, s, add); err != nil {
		return err
	}
	if err := r.memory(ctx, c, add); err != nil {
		return err
	}
	return r.cacheMemory(ctx, add)
}

// ratios measures each grant against its bare counterpart, in turn on the same
// processor, and takes the median of the rounds' ratios.
func (r runCommand) ratios(ctx context.Context, c clock.Clock, s *server, add func(...result)) error {
	for _, g := range grants {
		var values []float64
		for range r.Rounds {
			before, err := g.bare(c, r.Slice/2)
			if err != nil {
				return err
			}
			o, err := r.send(ctx, s, load{Kind: g.kind, Workers: g.workers, For: r.Slice})
			if err != nil {
				return err
			}
			after, err := g.bare(c, r.Slice/2)
			if err != nil {
				return err
			}
			values = append(values, o.perSecond()*g.per/((before+after)/2))
		}
		add(atLeast(g.what, median(values), g.goal, fmt.Sprintf(
			"median of %d rounds: requests/s of the server on one processor (GOMAXPROCS=1), %d in flight from another process, times %g bare operations a request, over bare operations/s of one goroutine on the same processor just before and after", r.Rounds, g.workers, g.per)))
	}
	return nil
}

// send aims a load at our server, or at the target; it runs beside the
// server's processor.
func (r runCommand) send(ctx context.Context, s *server, l load) (outcome, error) {
	l.Client, l.User, l.Secret, l.Pass = r.Client, r.User, os.Getenv(secretVariable), os.Getenv(passwordVariable)
	if s == nil {
		l.Target = r.Target
		return sendLoad(ctx, l)
	}
	if l.Target == "" {
		l.Target = s.realm("bench")
	}
	l.Secret, l.Pass = benchSecret, benchPassword
	if runtime.NumCPU() > 1 {
		if err := pin(1); err != nil {
			return outcome{}, err
		}
		defer func() { _ = pin(0) }() // it worked a moment ago
	}
	return sendLoad(ctx, l)
}

// starts measures process start to first answer on a database that is there.
func (r runCommand) starts(ctx context.Context, c clock.Clock, dir string, add func(...result)) error {
	measure := func(name string, goal float64, extra ...string) error {
		var ms []float64
		for i := range r.Rounds + 1 {
			s, err := startServer(ctx, c, r.Binary, dir, extra...)
			if err != nil {
				return err
			}
			s.stop()
			if i > 0 { // the first one makes the database
				ms = append(ms, float64(s.ready.Microseconds())/1000)
			}
		}
		add(atMost(name, median(ms), "ms", goal, "from starting the process until the realm's page is answered; median; the database was there"))
		return nil
	}
	if err := measure("start to ready, SQLite", 150); err != nil {
		return err
	}
	if r.Postgres == "" {
		return nil
	}
	return measure("start to ready, PostgreSQL", 250, "--db", "postgres", "--db-url", r.Postgres)
}

// commits counts the database commits of logins at 100 a second. The users of
// realm bench-cheap have a hash that costs nothing: it is the commits that are
// measured, and the machine must keep the rate.
func (r runCommand) commits(ctx context.Context, s *server, add func(...result)) error {
	const name = "gatehouse_storage_commits_total"
	before, err := s.metric(name)
	if err != nil {
		return err
	}
	o, err := r.send(ctx, s, load{Target: s.realm("bench-cheap"), Kind: "password", Workers: 32, For: 10 * time.Second, Rate: 100})
	if err != nil {
		return err
	}
	after, err := s.metric(name)
	if err != nil {
		return err
	}
	add(atMost(fmt.Sprintf("write commits per login at %.0f logins/s", o.perSecond()), (after-before)/float64(o.Done), "commits", 0.2,
		"difference of "+name+" over the logins done in 10 s"))
	return nil
}

// memory makes sessions on a fresh server and looks at its resident memory.
func (r runCommand) memory(ctx context.Context, c clock.Clock, add func(...result)) error {
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := startServer(ctx, c, r.Binary, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if _, err := r.send(ctx, s, load{Target: s.realm("bench-cheap"), Kind: "password", Workers: 8, For: 2 * time.Minute, Count: r.Sessions}); err != nil {
		return err
	}
	mib, err := s.resident()
	if err != nil {
		return err
	}
	add(atMost(fmt.Sprintf("resident memory with %d sessions", r.Sessions), mib, "MiB", 80, "VmRSS of the server after that many logins"))
	return nil
}
