package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/logs"
)

func TestAHostsFileThatIsBrokenAtAReloadDoesNotEndTheHost(t *testing.T) {
	file := write(t, "name = \"h1\"\n[domain-controller.local]\n")
	var log strings.Builder
	k := newKeeper(agentFlags{HostConfig: file}, t.TempDir(), Env{Clock: clock.Real(), Program: ownImage}, zerolog.New(&log), logs.NewRing(1000))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{"", "name = ", "name = \"h1\"\n", "name = \"h1\"\n[domain-controller.local]\n"} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		agent, err := k.next()
		if err != nil {
			t.Fatalf("with the file %q: %v", text, err)
		}
		k.current.Store(agent)
		_ = agent.Run(over) // whatever ends it, no token or ctx, it gives the folder free
	}
	if n := strings.Count(log.String(), "cannot reload the host's file"); n != 2 {
		t.Errorf("%d of 2 broken files were told of:\n%s", n, log.String())
	}
	if err := os.WriteFile(file, []byte("name = "), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newKeeper(agentFlags{HostConfig: file}, t.TempDir(), Env{Clock: clock.Real()}, zerolog.Nop(), logs.NewRing(1000)).next(); err == nil {
		t.Error("a first start with a broken file succeeded")
	}
}
