package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/server/caches"
	"github.com/gatehouse-idp/gatehouse/server/cluster/clustertest"
)

// cacheMemoryCommand fills the caches of three servers that live in this
// process, and prints by how much its resident memory grew, for each of them.
type cacheMemoryCommand struct {
	Sessions int `default:"100000"`
	Owners   int `default:"2"`
}

// cacheServers is how many servers share the sessions, as in the design's figure.
const cacheServers = 3

// sessionBytes is the size of a session with one client as a browser's login
// leaves it in the caches, without its key; TestALoginIsSmallInMemory of
// server/caches/durable makes one.
const sessionBytes = 290

// Run prints MiB for each server, as JSON.
func (m cacheMemoryCommand) Run(ctx context.Context, c clock.Clock, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	var ends sync.WaitGroup
	defer ends.Wait()
	defer cancel()
	members, err := cacheCluster(ctx, c, m.Owners, &ends)
	if err != nil {
		return err
	}
	before, err := residentOf(os.Getpid())
	if err != nil {
		return err
	}
	if err := m.fill(ctx, members); err != nil {
		return err
	}
	after, err := residentOf(os.Getpid())
	if err != nil {
		return err
	}
	held := 0
	for _, d := range members {
		held += d.Local()
	}
	if held < m.Sessions*m.Owners {
		return problem.Internal.Errorf("the servers hold %d entries, want %d", held, m.Sessions*m.Owners)
	}
	return json.NewEncoder(out).Encode((after - before) / cacheServers)
}

// cacheCluster starts the servers and waits until all take part.
func cacheCluster(ctx context.Context, c clock.Clock, owners int, ends *sync.WaitGroup) (members []*caches.Distributed, err error) {
	net := clustertest.NewNet()
	var names []string
	for i := range cacheServers {
		names = append(names, fmt.Sprint("server-", i))
		members = append(members, caches.NewDistributed(caches.DistributedConfig{
			Name: "sessions", Mesh: net.Start(names[i]), Owners: owners, Policy: caches.Majority, Clock: c, Log: zerolog.Nop(),
		}))
	}
	net.See(names)
	for _, d := range members {
		ends.Go(func() { _ = d.Run(ctx) }) // it ends with ctx, without an error
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, d := range members {
		for !d.Complete() || !d.Covers() {
			if err := clock.Sleep(limit, c, 10*time.Millisecond); err != nil {
				return nil, problem.Timeout.Errorf("the caches were not ready in a minute")
			}
		}
	}
	return members, nil
}

// fill stores the sessions as logins do: a mark, then what was committed.
func (m cacheMemoryCommand) fill(ctx context.Context, members []*caches.Distributed) error {
	value := make([]byte, sessionBytes)
	failed := make(chan error, cacheServers)
	for worker, d := range members {
		go func() {
			for i := worker; i < m.Sessions; i += cacheServers {
				key := fmt.Sprintf("1b671a64-40d5-491e-99b0-da01ff1f3341/%036d", i)
				item, _, err := d.PutIfAbsent(ctx, key, value[:17], time.Hour)
				if err == nil {
					_, _, err = d.Replace(ctx, key, value, time.Hour, item.Version)
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range members {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}

// cacheMemory measures in a process of its own, which nothing else has grown.
func (r runCommand) cacheMemory(ctx context.Context, add func(...result)) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, self, "cache-memory").Output()
	if err != nil {
		return problem.Internal.Errorf("cannot measure the caches: %w", err)
	}
	var mib float64
	if err := json.NewDecoder(strings.NewReader(string(text))).Decode(&mib); err != nil {
		return err
	}
	add(atMost("memory of 100000 sessions, of 3 servers, 2 owners", mib, "MiB", 120,
		"growth of VmRSS of a process with three servers' caches, a third of it; sessions of 290 bytes and keys of 73, as browsers' logins leave them, garbage included"))
	return nil
}
